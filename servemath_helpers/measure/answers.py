"""What a load test saw, request by request, and the file that keeps it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from servemath_helpers._files import replace_text
from servemath_helpers.sim.measurement import Measurement, Row, measurement_of

__all__ = ["COLUMNS", "Answer", "csv_text", "measurement", "save_csv"]

#: Columns of the file; `sim.load_measurement_csv` reads it.
COLUMNS = (
    *("request", "scheduled_s", "arrival_s", "prompt_tokens", "output_tokens"),
    *("first_token_s", "last_token_s", "longest_gap_s", "error"),
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request of a load test. Instants are seconds since its start.

    Parameters
    ----------
    request : int
        Its number, from 0.
    scheduled_s, sent_s : float
        When it was to be sent, and when it was.
    prompt_tokens, output_tokens : int
        As the server counted them; where it does not say, pieces are counted as tokens.
    token_s : tuple of float
        When each piece of the answer came; a piece can be more than one token.
    error : str, optional
        What went wrong, empty if nothing did.
    """

    request: int
    scheduled_s: float
    sent_s: float
    prompt_tokens: int
    output_tokens: int
    token_s: tuple[float, ...]
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was answered in full."""
        return not self.error

    @property
    def lag_s(self) -> float:
        """How late it was sent."""
        return self.sent_s - self.scheduled_s

    @property
    def ttft_s(self) -> float:
        """Time to first token, from when it was sent."""
        return self.token_s[0] - self.sent_s

    @property
    def e2e_s(self) -> float:
        """Time to the last token, from when it was sent."""
        return self.token_s[-1] - self.sent_s

    @property
    def tpot_s(self) -> float | None:
        """Mean time per token after the first; None for an answer of one token."""
        later = self.output_tokens - 1
        return (self.token_s[-1] - self.token_s[0]) / later if later else None

    @property
    def gaps_s(self) -> list[float]:
        """Times between neighbouring pieces."""
        return [b - a for a, b in zip(self.token_s, self.token_s[1:], strict=False)]

    @property
    def instants_s(self) -> tuple[float, ...]:
        """An instant for each token: where a piece held several, they are spread evenly."""
        if len(self.token_s) == self.output_tokens:
            return self.token_s
        spread = np.linspace(self.token_s[0], self.token_s[-1], self.output_tokens)
        return tuple(spread.tolist())


def csv_text(answers: Iterable[Answer]) -> str:
    """Return answers as a table, one a row, in the order in which they were sent.

    Parameters
    ----------
    answers : iterable of Answer
        What came back.

    Returns
    -------
    str
        CSV with a header.

    Examples
    --------
    >>> answer = Answer(request=0, scheduled_s=0.0, sent_s=0.5, prompt_tokens=8,
    ...                 output_tokens=3, token_s=(0.75, 1.0, 1.5))
    >>> print(csv_text([answer]), end="")
    request,scheduled_s,arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s,longest_gap_s,error
    0,0.000000,0.500000,8,3,0.750000,1.500000,0.500000,
    >>> from servemath_helpers.sim import load_measurement_csv
    >>> load_measurement_csv(csv_text([answer]).splitlines()).ttft_s.tolist()
    [0.25]
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in sorted(answers, key=lambda one: (one.sent_s, one.request)):
        ends = (one.token_s[0], one.token_s[-1]) if one.token_s else (None, None)
        times = (*ends, max(one.gaps_s, default=None))
        table.writerow(
            (
                one.request,
                f"{one.scheduled_s:.6f}",
                f"{one.sent_s:.6f}",
                one.prompt_tokens,
                one.output_tokens,
                *("" if value is None else f"{value:.6f}" for value in times),
                one.error,
            )
        )
    return text.getvalue()


def save_csv(answers: Iterable[Answer], path: Path) -> None:
    """Write answers to a file in one step: the old one stays if that fails.

    Parameters
    ----------
    answers : iterable of Answer
        What came back.
    path : Path
        Where to; its folder must exist, else OSError.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_csv([], Path(folder) / "run.csv")
    ...     (Path(folder) / "run.csv").read_text().startswith("request,scheduled_s")
    True
    """
    replace_text(path, csv_text(answers))


def measurement(answers: Sequence[Answer]) -> Measurement:
    """Return what `sim.calibrate` reads.

    Parameters
    ----------
    answers : sequence of Answer
        What came back; those that failed are left out.

    Returns
    -------
    sim.Measurement
        Arrivals are when requests were sent.

    Examples
    --------
    >>> answer = Answer(request=0, scheduled_s=0.0, sent_s=0.5, prompt_tokens=8,
    ...                 output_tokens=3, token_s=(0.75, 1.0, 1.5))
    >>> measurement([answer]).e2e_s.tolist()
    [1.0]
    """
    return measurement_of(
        Row(
            f"request {one.request}",
            one.sent_s,
            one.prompt_tokens,
            one.output_tokens,
            one.ttft_s,
            one.e2e_s,
        )
        for one in answers
        if one.ok
    )
