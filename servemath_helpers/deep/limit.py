"""End a call that goes on for too long, on any system, without a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from typing import Self

__all__ = ["Spent", "TooLong", "Watch"]

#: Seconds between two looks at the clock.
_TICK_S = 0.05

#: Who waits, or works where others have the machine, may take this many times what is allowed.
_STARVED = 4


class TooLong(BaseException):
    """A call went on for too long; no ``except Exception`` of a learner stops it."""


class Spent:
    """Seconds of a core since it was made, or a part of those that the clock shows, if more."""

    def __init__(self) -> None:
        self._worked_s, self._began_s = time.process_time(), time.monotonic()

    def seconds(self) -> float:
        """Return how many there are by now."""
        worked_s = time.process_time() - self._worked_s
        return max(worked_s, (time.monotonic() - self._began_s) / _STARVED)


class Watch:
    """Watch calls of the thread that makes it, and raise `TooLong` in one that does not end.

    Parameters
    ----------
    call_s : float
        Seconds of a core that one call may take.
    """

    def __init__(self, call_s: float) -> None:
        self._call_s = call_s
        self._caller = threading.get_ident()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._spent: Spent | None = None

    def __enter__(self) -> Self:
        """Begin to watch."""
        with contextlib.suppress(RuntimeError):  # a Python without threads, in a browser
            threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no longer."""
        self._done.set()

    @contextlib.contextmanager
    def one_call(self) -> Iterator[None]:
        """Limit what happens within."""
        with self._lock:
            self._spent = Spent()
        try:
            yield
        finally:
            with self._lock:
                self._spent = None

    def _look(self) -> None:
        while not self._done.wait(_TICK_S):
            with self._lock:
                if self._spent is not None and self._spent.seconds() > self._call_s:
                    self._spent = Spent()  # once more, should it be swallowed
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(
                        ctypes.c_ulong(self._caller), ctypes.py_object(TooLong)
                    )
