"""How far a run is: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import heapq
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between two lines in a log.
LOG_EVERY_S = 15.0

#: How many of the slowest submissions are named.
SLOWEST = 3


class RunProgress:
    """Counts submissions as they are done.

    Parameters
    ----------
    total : int
        Submissions of this run.
    log : logging.Logger
        Where lines go when there is no terminal, and whose lines go above the bar.
    stream : file
        Where the bar goes.
    """

    def __init__(self, total: int, log: Any, stream: TextIO | None = None) -> None:
        self._total = total
        self._log = log
        self._stream = sys.stderr if stream is None else stream
        self._started = self._said = time.monotonic()
        self._count = 0
        self._slowest: list[tuple[float, str]] = []
        self._bar: Progress | None = None
        self._undo = contextlib.ExitStack()
        if self._stream.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        self._bar = Progress(
            TextColumn("grading"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[slowest]}"),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._bar.add_task("grading", total=self._total, rate="", slowest="")
        self._undo.enter_context(self._bar)
        self._undo.enter_context(_lines_above(self._bar, self._log))

    def done(self, student: str, seconds: float) -> None:
        """Count one submission, which took `seconds` to run."""
        self._count += 1
        heapq.heappush(self._slowest, (seconds, student))
        if len(self._slowest) > SLOWEST:
            heapq.heappop(self._slowest)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, rate=self._rate(), slowest=self._names())
        elif time.monotonic() - self._said >= LOG_EVERY_S and self._count < self._total:
            self._said = time.monotonic()
            self._log.info("%s", self.line())
        if self._count >= self._total:
            self.close()

    def line(self) -> str:
        """Return where the run stands, in one line."""
        left = (self._total - self._count) * self._seconds() / max(self._count, 1)
        ending = f", about {left:.0f} s left" if self._count < self._total else ""
        slowest = f"; {self._names()}" if self._slowest else ""
        return f"{self._count} of {self._total} graded, {self._rate()}{ending}{slowest}"

    def close(self) -> None:
        """Take the bar away and say how the run went."""
        if self._total:
            self._undo.close()
            self._bar = None
            self._log.info("%s in %.0f s", self.line(), self._seconds())
        self._total = 0

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _rate(self) -> str:
        return f"{self._count / max(self._seconds(), 1e-9):.1f}/s"

    def _names(self) -> str:
        named = sorted(self._slowest, reverse=True)
        return "slowest: " + ", ".join(f"{student} {seconds:.1f} s" for seconds, student in named)


@contextlib.contextmanager
def _lines_above(bar: Progress, log: Any) -> Iterator[None]:
    """Send what a logger writes to the terminal through the bar, which keeps it above itself."""
    moved = []
    logger = getattr(log, "logger", log)  # traitlets hands out adapters too
    while isinstance(logger, logging.Logger):
        moved += [
            handler
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream.isatty()
        ]
        logger = logger.parent if logger.propagate else None
    before = [handler.stream for handler in moved]
    for handler in moved:
        handler.setStream(_Above(bar))
    try:
        yield
    finally:
        for handler, stream in zip(moved, before, strict=True):
            handler.setStream(stream)


class _Above:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    def write(self, text: str) -> int:
        if text.strip():
            self._bar.console.out(text.rstrip("\n"), highlight=False)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
