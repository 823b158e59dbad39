"""What a run of the model server looked like against time: batch, cache, who was inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from servemath_helpers._validate import whole
from servemath_helpers.sim._arrays import FloatArray, IntArray
from servemath_helpers.sim.results import StepFunction

__all__ = ["Stays", "Timeline"]


@dataclass(frozen=True, eq=False)
class Stays:
    """Every time that a request was inside the server; more than one if it was thrown out.

    Attributes
    ----------
    request : numpy.ndarray
        Index of the request.
    admitted_s, decoding_s, left_s : numpy.ndarray
        When it was let in, when its prompt was computed (NaN if it was thrown out before
        that), and when it left.
    finished : numpy.ndarray
        Whether it left with its answer; otherwise it was thrown out.
    """

    request: IntArray
    admitted_s: FloatArray
    decoding_s: FloatArray
    left_s: FloatArray
    finished: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Timeline:
    """Rows of a run: an iteration with prompts, or a stretch of decode steps of one batch.

    Attributes
    ----------
    start_s, duration_s : numpy.ndarray
        When each row began and how long it took. Between rows the server was idle.
    steps, decodes : numpy.ndarray
        Decode steps in the row (0 if only prompts were computed) and sequences that decode.
    context_tokens : numpy.ndarray
        Tokens that the first decode step attends to.
    prefill_tokens, prefill_pairs : numpy.ndarray
        Prompt tokens computed, and pairs of tokens their attention needs.
    sequences : numpy.ndarray
        Sequences inside, decoding or not.
    kv_start_tokens, kv_end_tokens : numpy.ndarray
        Tokens of cache in use (reserved, where the policy reserves) at the start of the row
        and just before its end.
    given_tokens : numpy.ndarray
        Tokens that decoding gave.
    kv_capacity_tokens : int or None
        Tokens that the cache holds.
    max_batch : int
        Most sequences at a time.
    stays : Stays
        Who was inside when.
    """

    start_s: FloatArray
    duration_s: FloatArray
    steps: IntArray
    decodes: IntArray
    context_tokens: IntArray
    prefill_tokens: IntArray
    prefill_pairs: FloatArray
    sequences: IntArray
    kv_start_tokens: IntArray
    kv_end_tokens: IntArray
    given_tokens: IntArray
    kv_capacity_tokens: int | None
    max_batch: int
    stays: Stays

    @property
    def end_s(self) -> FloatArray:
        """When each row ended."""
        return self.start_s + self.duration_s

    @property
    def iterations(self) -> int:
        """Iterations of the server."""
        return int(np.maximum(self.steps, 1).sum())

    def batch_size(self) -> StepFunction:
        """Return the number of sequences inside against time.

        Returns
        -------
        StepFunction
            0 while the server is idle.
        """
        end = self.end_s
        idle = np.append(end[:-1] < self.start_s[1:], np.ones(min(1, end.size), dtype=bool))
        time = np.concatenate((self.start_s, end[idle]))
        value = np.concatenate((self.sequences, np.zeros(int(idle.sum()), dtype=np.int64)))
        order = np.argsort(time, kind="stable")
        return StepFunction(time[order], value[order])

    def kv_occupancy(self) -> tuple[FloatArray, IntArray]:
        """Return the cache in use against time, as the corners of a line.

        Returns
        -------
        time_s, tokens : numpy.ndarray
            Two corners a row: its start and its end.
        """
        time = np.column_stack((self.start_s, self.end_s)).ravel()
        return time, np.column_stack((self.kv_start_tokens, self.kv_end_tokens)).ravel()

    def kv_peak_tokens(self) -> int:
        """Return the most tokens of cache that were in use.

        Returns
        -------
        int
            Tokens; 0 for a run without requests.
        """
        return int(self.kv_end_tokens.max(initial=0))

    def draw_gantt(self, ax: Any, first: int = 0, last: int = 40) -> None:
        """Draw when requests were inside: one bar each, prompt and decoding apart.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            Where to draw.
        first, last : int, optional
            Requests from `first` up to, not including, `last`.

        Raises
        ------
        ValueError
            If `last` is not above `first`.

        Notes
        -----
        Prompts are hatched and decoding is plain, so the picture does not depend on colour.
        A stay that ended without the answer ends with a cross.
        """
        first = whole("first", first)
        last = whole("last", last, first + 1)
        stays = self.stays
        shown = (stays.request >= first) & (stays.request < last)
        request, left = stays.request[shown], stays.left_s[shown]
        admitted, decoding = stays.admitted_s[shown], stays.decoding_s[shown]
        computed = np.where(np.isnan(decoding), left, decoding)
        ax.barh(
            request,
            computed - admitted,
            left=admitted,
            height=0.7,
            hatch="////",
            facecolor="white",
            edgecolor="0.25",
            label="prompt",
        )
        ax.barh(request, left - computed, left=computed, height=0.7, color="0.55", label="decoding")
        out = ~stays.finished[shown]
        if out.any():
            ax.plot(left[out], request[out], "kx", label="thrown out")
        ax.set_xlabel("time [s]")
        ax.set_ylabel("request")
        ax.invert_yaxis()
        ax.legend()

    def draw_occupancy(self, ax: Any) -> None:
        """Draw the cache in use against time, with the capacity as a dashed line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            Where to draw.
        """
        ax.plot(*self.kv_occupancy(), color="0.25", label="in use")
        if self.kv_capacity_tokens is not None:
            ax.axhline(self.kv_capacity_tokens, color="black", linestyle="--", label="capacity")
        ax.set_xlabel("time [s]")
        ax.set_ylabel("KV cache [tokens]")
        ax.legend()

    def draw_batch(self, ax: Any) -> None:
        """Draw the number of sequences inside against time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            Where to draw.
        """
        batch = self.batch_size()
        ax.step(batch.time_s, batch.value, where="post", color="0.25", label="inside")
        ax.axhline(self.max_batch, color="black", linestyle="--", label="largest batch")
        ax.set_xlabel("time [s]")
        ax.set_ylabel("sequences")
        ax.legend()
