"""The four tracks of lab 4: who asks, what is at stake, what can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from servemath_helpers import facts, memory
from servemath_helpers.labs.frame.session import Control
from servemath_helpers.labs.frame.words import Words, fill
from servemath_helpers.labs.queueing_lab.model import (
    ALPHA_MS,
    ANSWER_TOKENS,
    BETA_MS,
    PROMPT_TOKENS,
    REFRESH_HZ,
    idle_sojourn_ms,
)

__all__ = [
    "BUDGET_USD",
    "FILL",
    "HOLD",
    "MAX_ENERGY_UJ",
    "MAX_LOSS",
    "PARTS",
    "REPLICA_USD",
    "TRACKS",
    "WORDS",
    "Track",
    "controls",
    "scenario",
    "slo_ms",
]

WORDS: Final = Words.of(__package__)
#: Utilisation that part 3 asks to hold.
HOLD: Final = 0.8
#: Share of the room that part 1 asks to use.
FILL: Final = 0.9
MAX_LOSS: Final = 0.01
#: 1 mW for the 10 ms of an audio frame.
MAX_ENERGY_UJ: Final = 10.0
#: Price of a replica, and what the CFO allows, each for an hour; both assumed.
REPLICA_USD: Final = 20
BUDGET_USD: Final = 160
PARTS: Final = ("part1", "part2", "part3")
_N_GPUS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Track:
    """One story, with the numbers that its gauge needs.

    Who the learner is, what is at stake, who asks for part 3 and what, and what a broken promise
    is called are texts; `thing` is what is in flight, in the plural, `room` what holds it, and
    `size` what makes one of them large. `promise` is "p99" or "worst"; part 1 begins with `lam_rps`
    and `W_ms`, and its mission asks for `peak`.
    """

    key: str
    label: str
    role: str
    mission: str
    crisis: str
    stakeholder: str
    demand: str
    thing: str
    room: str
    missed: str
    promise: str
    limit_ms: float
    lam_rps: float
    lam_max_rps: float
    W_ms: float
    W_max_ms: float
    size: str
    peak: Mapping[str, float]
    bytes_each: float
    room_bytes: float

    @property
    def slots(self) -> float:
        """How many fit into the room."""
        return self.room_bytes / self.bytes_each


def _rooms() -> dict[str, tuple[int, int]]:
    """Return what one in flight holds on each track, and how much there is [bytes]."""
    model, gpu = facts.get_model("Llama-3-70B"), facts.get_accelerator("H100-SXM")
    cache_bytes = int(model.kv_bytes_per_token() * (PROMPT_TOKENS + ANSWER_TOKENS))
    pool_bytes = memory.kv_pool_bytes(_N_GPUS, gpu.memory_bytes, model.weight_bytes())
    camera_bytes, glasses_bytes = 1920 * 1080 * 3 // 2, 1280 * 720 * 3 // 2
    audio_bytes = 16_000 // 100 * 2
    return {
        "cloud": (cache_bytes, int(pool_bytes)),
        "edge": (camera_bytes, 6 * camera_bytes),
        "mobile": (glasses_bytes, 3 * glasses_bytes),
        "tiny": (audio_bytes, audio_bytes),
    }


def _track(key: str, each_bytes: int, room_bytes: int) -> Track:
    said = WORDS.get(f"tracks.{key}")
    given = {
        "limit_ms": said["limit_ms"],
        "hold": HOLD,
        "n_gpus": _N_GPUS,
        "replica_usd": REPLICA_USD,
        "budget_usd": BUDGET_USD,
        "refresh_hz": REFRESH_HZ,
        "frame_ms": ALPHA_MS["mobile"] + BETA_MS["mobile"],
        "wait_ms": WORDS.get("mobile.part2.scenario.wait_ms"),
        "max_energy_uj": MAX_ENERGY_UJ,
        "power_mw": MAX_ENERGY_UJ * said["lam_rps"] / 1e3,
    }
    texts = {name: fill(text, **given) for name, text in said.items() if isinstance(text, str)}
    return Track(**{**said, **texts}, key=key, bytes_each=each_bytes, room_bytes=room_bytes)


#: The tracks by key, in the order shown.
TRACKS: Final[Mapping[str, Track]] = MappingProxyType(
    {key: _track(key, *room) for key, room in _rooms().items()}
)


def scenario(track: str, part: str) -> Mapping[str, Any]:
    """Return the frozen scenario that a part's questions are about."""
    if part == "part1":
        story = TRACKS[track]
        return {"lam_rps": 2 * story.lam_rps, "W_ms": story.W_ms, "size": 100}
    return MappingProxyType(WORDS.get(f"{track}.{part}.scenario"))


def slo_ms(track: str, part: str) -> float:
    """Return the latency promised in a part [ms]; to the cloud's pool ten service times."""
    if (track, part) == ("cloud", "part3"):
        return 10 * idle_sojourn_ms()
    return TRACKS[track].limit_ms


def _gauge(track: Track) -> tuple[Control, ...]:
    lam, W = track.lam_max_rps / 80, track.W_max_ms / 80
    return (
        Control("lam_rps", "Arrivals λ", track.lam_rps, lam, track.lam_max_rps, lam, unit="1/s",
                help=f"{track.thing} that arrive per second"),
        Control("W_ms", "Mean stay W", track.W_ms, W, track.W_max_ms, W, unit="ms",
                help="waiting and execution of one"),
        Control("size", track.size, 100, 25, 200, 5, unit="% of today's",
                help="the room that one takes grows with it"),
    )  # fmt: skip


@cache
def controls(track: str, part: str) -> tuple[Control, ...]:
    """Return what can be changed in a part, with defaults that break no promise."""
    if part == "part1":
        return _gauge(TRACKS[track])
    return WORDS.controls(f"{track}.{part}.controls")
