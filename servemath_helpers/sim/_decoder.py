"""Decoding, step by step: what a step costs and gives, with or without drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from servemath_helpers.sim._arrays import FloatArray

if TYPE_CHECKING:
    from servemath_helpers.sim._plan import Draws
    from servemath_helpers.sim.server import LLMServer

__all__ = ["Decoder"]

#: So many steps are added up faster one by one than as an array; the sums are the same.
_FEW = 12


class Decoder:
    """Time of decode steps, and the tokens they give."""

    def __init__(self, server: LLMServer, draws: Draws | None) -> None:
        self.draws = draws
        self.due = np.zeros(1024, dtype=np.int64)  # drafts: tokens that each step will give
        self.step = self.drafter = server.step_time
        self.width = server.tokens_per_sequence
        self.drafts = 0.0  # draft steps in units of a step of the drafter
        self.slope: float | None = self.step.context_s
        speculation = server.speculation
        if speculation is not None:
            self.drafts = float(speculation.gamma)
            if speculation.draft is not None:
                self.drafter = speculation.draft
            if speculation.cost_ratio is not None:
                self.drafts *= speculation.cost_ratio
            rise = self.drafter.context_s
            if self.slope is not None:
                self.slope = None if rise is None else self.slope + self.drafts * rise

    @property
    def closed_form(self) -> bool:
        """Whether the time of a stretch follows from its first step."""
        return self.slope is not None and self.draws is None

    def drafting_s(self, sequences: int, context: int) -> float:
        """Return the time of the drafts of one step."""
        if not self.drafts:
            return 0.0
        return self.drafts * self.drafter.iteration_s(sequences, context, 0, 0)

    def step_s(self, sequences: int, context: int) -> float:
        """Return the time of one step without prompts."""
        seconds = self.step.iteration_s(sequences * self.width, context, 0, 0)
        return seconds + self.drafting_s(sequences, context)

    def base(self, max_batch: int) -> list[float]:
        """Return the time of a step without context, for every batch."""
        return [0.0, *(self.step_s(d, 0) for d in range(1, max_batch + 1))]

    def schedule(self, i: int, g: int, steps: int) -> None:
        """Note which tokens request i will get at the steps after g."""
        if self.draws is None:
            return
        while self.due.size < g + steps:
            self.due = np.concatenate((self.due, np.zeros_like(self.due)))
        first = self.draws.first[i]
        self.due[g : g + steps] += self.draws.tokens[first : first + steps]

    def given(self, g: int, sequences: int) -> int:
        """Return the tokens that the next step gives."""
        return sequences if self.draws is None else int(self.due[g])

    def stretch(
        self, g: int, sequences: int, context: int, most: int, until: float
    ) -> tuple[FloatArray, int]:
        """Return the ends of the next steps, up to `until` or `most`, and the tokens given."""
        if self.slope is None or self.draws is None:
            return np.array([self.step_s(sequences, context)]), self.given(g, sequences)
        base = self.step_s(sequences, 0)
        first = base + self.slope * context
        if until < most * first:  # the context only grows: no later step is shorter
            most = min(most, 2 + int(until / first))
        due = self.due[g : g + most]
        if most <= _FEW:
            soon, at, so_far = [], 0.0, 0
            for tokens in due.tolist():
                at += base + self.slope * (context + so_far)
                so_far += tokens
                soon.append(at)
                if at >= until:
                    break
            return np.array(soon), so_far
        given = due.cumsum()
        ends = (base + self.slope * (context + given - due)).cumsum()
        steps = min(most, int(ends.searchsorted(until)) + 1)
        return ends[:steps], int(given[steps - 1])
