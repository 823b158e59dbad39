"""The four tracks of the queueing lab: who asks, what is at stake, what can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from servemath_helpers import facts, memory
from servemath_helpers.labs.frame.session import Control
from servemath_helpers.labs.queueing_lab.model import (
    CAMERA_HZ,
    REFRESH_HZ,
    idle_sojourn_ms,
)

__all__ = [
    "BUDGET_USD_H",
    "FILL",
    "HOLD",
    "MAX_ENERGY_UJ",
    "MAX_LOSS",
    "PARTS",
    "TRACKS",
    "USD_H",
    "Track",
    "controls",
    "slo_ms",
]

#: Utilisation that part 3 asks to hold.
HOLD: Final = 0.8
#: Share of the room that part 1 asks to use.
FILL: Final = 0.9
MAX_LOSS: Final = 0.01
#: 1 mW for the 10 ms of an audio frame.
MAX_ENERGY_UJ: Final = 10.0
#: Price of a replica, and what the CFO allows [USD per hour]; both assumed.
USD_H: Final = 20
BUDGET_USD_H: Final = 160
PARTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "part1": "1 · The concurrency invariant",
        "part2": "2 · The batching tax",
        "part3": "3 · The utilisation cliff",
    }
)
_PROMPT_TOKENS, _ANSWER_TOKENS = 1024, 256
_N_GPUS = 8


@dataclass(frozen=True)
class Track:
    """One story, with the numbers that its gauge needs.

    Attributes
    ----------
    key, label, role, mission, crisis : str
        Who the learner is, and what is at stake.
    stakeholder, demand : str
        Who asks for part 3, and for what.
    thing : str
        What is in flight, in the plural.
    lam_rps, W_ms : float
        Where part 1 begins: arrivals per second, mean time in the system.
    lam_max_rps, W_max_ms : float
        Ends of part 1's sliders.
    bytes_each, room_bytes : float
        What one in flight holds, and how much there is.
    room : str
        What that room is.
    limit_ms : float
        Latency promise: P99 for the cloud and the glasses, worst case elsewhere.
    promise : {"p99", "worst"}
        Which of the two.
    """

    key: str
    label: str
    role: str
    mission: str
    crisis: str
    stakeholder: str
    demand: str
    thing: str
    lam_rps: float
    W_ms: float
    lam_max_rps: float
    W_max_ms: float
    bytes_each: float
    room_bytes: float
    room: str
    limit_ms: float
    promise: str

    @property
    def slots(self) -> float:
        """How many fit into the room."""
        return self.room_bytes / self.bytes_each


@cache
def _cloud() -> tuple[int, int]:
    """Return bytes of one request's cache, and of the pool, from the facts files."""
    model = facts.get_model("Llama-3-70B")
    gpu = facts.get_accelerator("H100-SXM")
    each = model.kv_bytes_per_token() * (_PROMPT_TOKENS + _ANSWER_TOKENS)
    pool = memory.kv_pool_bytes(_N_GPUS, gpu.memory_bytes, model.weight_bytes())
    return int(each), int(pool)


def _tracks() -> dict[str, Track]:
    kv_bytes, pool_bytes = _cloud()
    camera_bytes, glasses_bytes = 1920 * 1080 * 3 // 2, 1280 * 720 * 3 // 2
    audio_bytes = 16_000 // 100 * 2
    return {
        "cloud": Track(
            key="cloud",
            label="Cloud Titan",
            role="LLM architect",
            mission="Serve as many users of Llama-3-70B as eight H100s can hold.",
            crisis="The TTFT wall: under load the first token takes seconds, and users leave. "
            "Continuous batching and admission with an eye on the cache have to save the day.",
            stakeholder="CFO",
            demand=f"Zero lag, at {HOLD:.0%} utilisation, for at most ${BUDGET_USD_H} an hour: "
            f"idle accelerators are ${USD_H} an hour each that nobody pays us back.",
            thing="requests",
            lam_rps=40.0,
            W_ms=2000.0,
            lam_max_rps=400.0,
            W_max_ms=8000.0,
            bytes_each=kv_bytes,
            room_bytes=pool_bytes,
            room=f"KV pool of {_N_GPUS} H100s after the weights",
            limit_ms=100.0,
            promise="p99",
        ),
        "edge": Track(
            key="edge",
            label="Edge Guardian",
            role="autonomous-vehicle systems lead",
            mission="A safety loop that answers every camera within 10 ms, every time.",
            crisis="Concurrency jitter: cameras that trigger at once form a queue, and the last "
            "of them misses the window.",
            stakeholder="Safety lead",
            demand="Zero lag means zero misses: I cannot sign a percentile. "
            "Show me the worst case of six cameras.",
            thing="frames",
            lam_rps=6 * CAMERA_HZ,
            W_ms=8.0,
            lam_max_rps=480.0,
            W_max_ms=40.0,
            bytes_each=camera_bytes,
            room_bytes=6 * camera_bytes,
            room="six pinned camera buffers",
            limit_ms=10.0,
            promise="worst",
        ),
        "mobile": Track(
            key="mobile",
            label="Mobile Nomad",
            role="AR-glasses developer",
            mission="Translation that sticks to the world: 60 frames a second, each at most "
            "20 ms old.",
            crisis="The frame skip: 15 ms of computing fit a frame, 5 ms of waiting on top do "
            "not, and the glasses fall to half their rate.",
            stakeholder="UX designer",
            demand="Zero lag: every frame that is older than 20 ms makes somebody ill. And use "
            f"{HOLD:.0%} of the chip: we paid for it in grams.",
            thing="frames",
            lam_rps=REFRESH_HZ,
            W_ms=20.0,
            lam_max_rps=240.0,
            W_max_ms=80.0,
            bytes_each=glasses_bytes,
            room_bytes=3 * glasses_bytes,
            room="a triple buffer",
            limit_ms=20.0,
            promise="p99",
        ),
        "tiny": Track(
            key="tiny",
            label="Tiny Pioneer",
            role="hearables lead",
            mission="Take the noise away in under 10 ms, on 1 mW.",
            crisis="The memory-queueing wall: there is room for one audio frame. A second one "
            "that comes early has nowhere to wait, and is lost.",
            stakeholder="Hardware lead",
            demand=f"Zero lag and no more than {MAX_ENERGY_UJ:g} µJ a frame. A buffer is silicon: "
            "tell me what it buys.",
            thing="frames",
            lam_rps=100.0,
            W_ms=8.0,
            lam_max_rps=200.0,
            W_max_ms=20.0,
            bytes_each=audio_bytes,
            room_bytes=audio_bytes,
            room="one frame buffer",
            limit_ms=10.0,
            promise="worst",
        ),
    }


#: The tracks by key, in the order shown.
TRACKS: Final[Mapping[str, Track]] = MappingProxyType(_tracks())


def slo_ms(track: str, part: str) -> float:
    """Return the latency promise that holds in a part [ms].

    Parameters
    ----------
    track, part : str
        Keys.

    Returns
    -------
    float
        The track's limit; for the cloud's pool ten times the service time of one request.

    Examples
    --------
    >>> slo_ms("cloud", "part2"), slo_ms("cloud", "part3"), slo_ms("edge", "part3")
    (100.0, 210.0, 10.0)
    """
    if (track, part) == ("cloud", "part3"):
        return 10 * idle_sojourn_ms()
    return TRACKS[track].limit_ms


_TRAFFIC: Final = (("periodic", "periodic"), ("Poisson", "poisson"), ("bursty", "bursty"))


def _gauge(track: Track) -> tuple[Control, ...]:
    return (
        Control(
            "lam_rps",
            "Arrivals λ",
            track.lam_rps,
            low=track.lam_max_rps / 80,
            high=track.lam_max_rps,
            step=track.lam_max_rps / 80,
            unit="1/s",
            help=f"{track.thing} that arrive per second",
        ),
        Control(
            "W_ms",
            "Mean stay W",
            track.W_ms,
            low=track.W_max_ms / 80,
            high=track.W_max_ms,
            step=track.W_max_ms / 80,
            unit="ms",
            help="waiting and execution of one",
        ),
    )


def _settings() -> dict[tuple[str, str], tuple[Control, ...]]:
    return {
        ("cloud", "part2"): (
            Control("lam_rps", "Arrivals λ", 100.0, low=10, high=400, step=10, unit="1/s"),
            Control("B", "Batch size B", 4, low=1, high=128),
            Control(
                "policy",
                "Policy",
                "fixed",
                choices=(("fixed", "fixed"), ("greedy", "greedy"), ("window", "window")),
                help="wait for B; take whoever waits; wait for B or for the window",
            ),
            Control(
                "window_ms",
                "Window",
                20.0,
                low=0,
                high=200,
                step=5,
                unit="ms",
                help="for the policy 'window': how long the oldest waits for company",
            ),
        ),
        ("cloud", "part3"): (
            Control("rho", "Utilisation ρ", 0.5, low=0.1, high=0.99, step=0.01),
            Control("arrivals", "Traffic", "poisson", choices=_TRAFFIC),
            Control("replicas", "Replicas c", 2, low=1, high=16),
            Control(
                "policy",
                "Policy",
                "single",
                choices=(("one at a time", "single"), ("greedy batches", "greedy")),
            ),
            Control(
                "block",
                "KV block (tokens)",
                16,
                choices=tuple((str(n), n) for n in (1, 16, 64, 256)),
                help="tokens in a block of the KV cache",
            ),
            Control("prefix_hit", "Prefix hits", 0.0, low=0, high=0.9, step=0.05),
        ),
        ("edge", "part2"): (
            Control("sensors", "Cameras N", 2, low=1, high=12),
            Control("B", "Batch size B", 1, low=1, high=12),
        ),
        ("edge", "part3"): (
            Control("sensors", "Cameras N", 2, low=1, high=12),
            Control(
                "trigger",
                "Trigger",
                "together",
                choices=(("all at once", "together"), ("staggered", "staggered")),
            ),
            Control("jitter_ms", "Jitter", 0.0, low=0, high=15, step=0.5, unit="ms"),
            Control("accelerators", "Accelerators c", 1, low=1, high=4),
            Control("batched", "Batch what waits", False),
        ),
        ("mobile", "part2"): (
            Control("B", "Batch size B", 1, low=1, high=4),
            Control(
                "wait_ms",
                "Wait in the queue",
                1.0,
                low=0,
                high=15,
                step=0.5,
                unit="ms",
                help="behind the other users of the chip",
            ),
            Control("pipelined", "Pipelined", False),
        ),
        ("mobile", "part3"): (
            Control("compute_ms", "Computing time", 12.0, low=8, high=18, step=0.25, unit="ms"),
            Control(
                "scene", "Scene", "calm", choices=tuple((k, k) for k in ("calm", "busy", "hectic"))
            ),
            Control("arrivals", "Frames arrive", "periodic", choices=_TRAFFIC),
            Control(
                "cap_ms",
                "Early exit after",
                40.0,
                low=10,
                high=40,
                step=0.5,
                unit="ms",
                help="a frame that takes longer is shown as far as it is done",
            ),
            Control("pipelined", "Pipelined", True),
        ),
        ("tiny", "part2"): (
            Control("lam_rps", "Frames λ", 80.0, low=20, high=200, step=5, unit="1/s"),
            Control("S_ms", "Computing time S", 8.0, low=2, high=12, step=0.25, unit="ms"),
            Control(
                "arrivals",
                "Frames arrive",
                "clock",
                choices=(("by the clock", "clock"), ("Poisson", "poisson")),
            ),
            Control("jitter_ms", "Clock jitter", 0.0, low=0, high=8, step=0.5, unit="ms"),
        ),
        ("tiny", "part3"): (
            Control("lam_rps", "Frames λ", 100.0, low=20, high=200, step=5, unit="1/s"),
            Control("S_ms", "Computing time S", 7.0, low=2, high=12, step=0.25, unit="ms"),
            Control(
                "arrivals",
                "Frames arrive",
                "clock",
                choices=(("by the clock", "clock"), ("Poisson", "poisson"), ("bursty", "bursty")),
            ),
            Control("jitter_ms", "Clock jitter", 0.0, low=0, high=8, step=0.5, unit="ms"),
            Control("buffer", "Places to wait", 0, choices=tuple((str(n), n) for n in range(3))),
            Control("slots", "Processors", 1, choices=(("1", 1), ("2", 2))),
        ),
        **{(key, "part1"): _gauge(track) for key, track in TRACKS.items()},
    }


_CONTROLS: Final = MappingProxyType(_settings())


def controls(track: str, part: str) -> tuple[Control, ...]:
    """Return what can be changed in a part, with defaults that break no promise.

    Parameters
    ----------
    track, part : str
        Keys.

    Returns
    -------
    tuple of Control
        In the order shown.

    Examples
    --------
    >>> [control.key for control in controls("edge", "part2")]
    ['sensors', 'B']
    """
    return _CONTROLS[track, part]
