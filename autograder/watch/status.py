"""How a watcher stands: what `servemath watch --status` shows, and the log that a person reads."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import statistics
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.files import Held, held, is_held, write_atomically

#: Errors that are kept.
MOST_ERRORS = 10

#: Answers of which the rate and the times are told.
MOST_ANSWERS = 200

#: Bytes after which the log is begun anew, and old ones that stay.
LOG_BYTES, OLD_LOGS = 2_000_000, 3


class OneIsAtWork(RuntimeError):
    """A watcher of this course is at work already; the message says which."""


def folder(course: Course) -> Path:
    """Return where a watcher keeps what is its own."""
    return course.state / "watch"


@contextlib.contextmanager
def alone(course: Course, patience_s: float = 0.0) -> Iterator[None]:
    """Let one watcher of a course work at a time.

    Parameters
    ----------
    course : Course
        The course.
    patience_s : float
        Seconds to wait for one that is about to end.

    Raises
    ------
    OneIsAtWork
        If another one is at work.
    """
    with contextlib.ExitStack() as taken:
        try:
            taken.enter_context(held(_lock(course), "a watcher", patience_s=patience_s))
        except Held as error:
            raise OneIsAtWork(f"one is at work in this course: {error}") from None
        yield


def is_at_work(course: Course) -> bool:
    """Tell whether a watcher of the course is at work."""
    return is_held(_lock(course))


def _lock(course: Course) -> Path:
    return folder(course) / "lock"


@dataclass
class Status:
    """What a watcher says of itself; times are ISO 8601 in UTC, durations seconds.

    Parameters
    ----------
    assignments : list of str
        What is watched.
    started, looked : str
        When it began, and when it looked for submissions last.
    waiting : list of dict
        What came and is not answered: `student`, `assignment`, `came`.
    answered : int
        Attempts answered since it began.
    answers : deque
        Of the last ones: when, and seconds from submission to feedback.
    errors : deque
        The last errors: `time`, `said`.
    not_taken : dict
        What lies in the exchange and is not taken, and why.
    """

    assignments: list[str] = field(default_factory=list)
    started: str = ""
    looked: str = ""
    waiting: list[dict[str, str]] = field(default_factory=list)
    answered: int = 0
    answers: deque[list[Any]] = field(default_factory=lambda: deque(maxlen=MOST_ANSWERS))
    errors: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=MOST_ERRORS))
    not_taken: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def _path(course: Course) -> Path:
        return folder(course) / "status.json"

    def save(self, course: Course) -> None:
        """Keep it where ``--status`` looks."""
        kept = {**asdict(self), "answers": list(self.answers), "errors": list(self.errors)}
        write_atomically(self._path(course), json.dumps(kept, indent=1) + "\n")

    @classmethod
    def load(cls, course: Course) -> Status | None:
        """Return what the last watcher said, None if there never was one."""
        try:
            kept = json.loads(cls._path(course).read_text(encoding="utf-8"))
            found = cls(**kept)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return cls(errors=deque([{"time": "", "said": "its status file is damaged"}]))
        found.answers = deque(found.answers, maxlen=MOST_ANSWERS)
        found.errors = deque(found.errors, maxlen=MOST_ERRORS)
        return found

    def per_minute(self, now: datetime, over: timedelta = timedelta(minutes=5)) -> float:
        """Return attempts answered a minute, over the last minutes.

        >>> status = Status(answers=deque([["2026-12-01T12:00:00+00:00", 3.0]] * 10))
        >>> status.per_minute(datetime(2026, 12, 1, 12, 1, tzinfo=UTC))
        2.0
        """
        late = [at for at, _ in self.answers if now - datetime.fromisoformat(at) <= over]
        return len(late) / (over / timedelta(minutes=1))

    def lines(self, at_work: bool, now: datetime | None = None) -> list[str]:
        """Return what a person is told."""
        now = now or datetime.now(UTC)
        seconds = [taken for _, taken in self.answers]
        told = [
            f"{'At work' if at_work else 'NOT at work'}: {', '.join(self.assignments)}",
            f"Began: {_plain(self.started)}; looked last: {_plain(self.looked)}",
            f"Waiting: {len(self.waiting)}",
            *(
                f"  {one['student']}  {one['assignment']}  {_plain(one['came'])}"
                for one in self.waiting
            ),
            f"Answered: {self.answered}; {self.per_minute(now):.1f} a minute over the last five",
        ]
        if seconds:
            told.append(
                f"From submission to feedback, last {len(seconds)}: median "
                f"{statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s"
            )
        told += [f"Not taken: {name}: {why}" for name, why in self.not_taken.items()]
        told.append(f"Errors: {len(self.errors) or 'none'}")
        told += [f"  {_plain(one['time'])}  {one['said']}" for one in self.errors]
        return told


def _plain(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S UTC") if iso else "never"


def log_of(course: Course) -> Path:
    """Return the log of a course's watcher."""
    return course.outcomes / "watch.log"


@contextlib.contextmanager
def opened_log(course: Course) -> Iterator[logging.Logger]:
    """Open the log; what it cannot write, on a full disk say, is lost and stops nothing."""
    path = log_of(course)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _Handler(path, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8")
    handler.setFormatter(_Utc("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S UTC"))
    log = logging.getLogger("servemath.watch")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


class _Handler(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: there is no place to say it."""


class _Utc(logging.Formatter):
    converter = staticmethod(time.gmtime)
