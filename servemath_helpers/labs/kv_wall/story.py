"""The two stories of lab 3: who asks, for what, and what can be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from servemath_helpers.labs.frame.numbers import number_text
from servemath_helpers.labs.frame.session import Control
from servemath_helpers.labs.frame.words import Words, fill
from servemath_helpers.labs.kv_wall.model import Configuration, Goals, MemorySetup, Workload

__all__ = ["CONTEXTS", "WORDS", "Context", "context_of", "controls"]

WORDS: Final = Words.of(__package__)


@dataclass(frozen=True, kw_only=True)
class Context:
    """One of the two stories: who asks for what in each act, and what "users" are called.

    `seq_tokens` and `n_gpus` are the context of each user and the cards of act I; act II is about
    `workload` and `goals`, and its sliders begin with `start_rps`, `modes` and `batches` (of A and
    B). `mission1` and `mission2` are what the missions ask of the settings.
    """

    key: str
    label: str
    role: str
    act1_message: str
    act2_message: str
    users_word: str
    seq_tokens: int
    n_gpus: int
    mission1: Mapping[str, Any]
    mission2: Mapping[str, Any]
    workload: Workload
    start_rps: float
    goals: Goals
    modes: tuple[str, str]
    batches: tuple[int, int]

    @property
    def setup(self) -> MemorySetup:
        """Act I as asked."""
        return MemorySetup(seq_tokens=self.seq_tokens, n_gpus=self.n_gpus)


def _context(key: str) -> Context:
    said = dict(WORDS.get(f"contexts.{key}"))
    workload, volume = Workload(**said.pop("workload")), said.pop("volume", None)
    goals = Goals(**said.pop("goals", {}))
    given: dict[str, Any] = {**vars(goals), **vars(workload), "seq_tokens": said["seq_tokens"]}
    if volume:
        output = volume["documents"] * workload.mean_output
        goals = Goals(target_tok_s=output / (60 * volume["minutes"]))
        given |= {**volume, "documents": number_text(volume["documents"], 5)}
    texts = {name: fill(text, **given) for name, text in said.items() if isinstance(text, str)}
    return Context(**{**said, **texts}, key=key, workload=workload, goals=goals)


#: The two stories by key.
CONTEXTS: Final[Mapping[str, Context]] = MappingProxyType(
    {key: _context(key) for key in ("latency", "throughput")}
)


def context_of(key: str) -> Context:
    """Return the story of a key; ValueError if there is none."""
    if key not in CONTEXTS:
        raise ValueError(f"context must be one of {sorted(CONTEXTS)}, got {key!r}")
    return CONTEXTS[key]


def controls(context: Context, act: str) -> tuple[Control, ...]:
    """Return what can be changed in an act, as the story begins."""
    if act == "act1":
        return WORDS.controls("controls.act1", defaults=asdict(context.setup))
    asked = {**asdict(context.workload), "lam_rps": context.start_rps}
    shared = WORDS.controls("controls.act2", defaults=asked)
    # In pairs, so that A and B stand side by side.
    own = [
        WORDS.controls(
            "controls.own",
            prefix=f"{name}_",
            defaults=asdict(Configuration(mode=mode, max_batch=batch)),
            which=name.upper(),
        )
        for name, mode, batch in zip("ab", context.modes, context.batches, strict=True)
    ]
    return (*shared, *(control for pair in zip(*own, strict=True) for control in pair))
