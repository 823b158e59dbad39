"""Processes and threads of a jail are made only if its keeper says so, who counts them.

The kernel's own limit counts all processes of a user, on the whole machine: where a jail has
no user of its own it would count the grader's programs, and those of other containers.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import select
import struct
from collections.abc import Callable

_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_CONTINUE = 1

#: `struct seccomp_notif`, of which only the first field is looked at; `seccomp_notif_resp`.
_REQUEST_BYTES = 80
_ANSWER = struct.Struct("=QqiI")


class Forks:
    """Answers the calls that `seccomp.ask_before_forks` holds up.

    Parameters
    ----------
    listener
        The descriptor that it returned.
    count
        Returns how many processes and threads the jail has.
    most
        How many it may have.
    """

    def __init__(self, listener: int, count: Callable[[], int], most: int) -> None:
        self._listener = listener
        self._count = count
        self.most = most
        self._room = 0

    def serve(self) -> None:
        """Answer until no process of the jail is left."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while poll.poll()[0][1] & select.POLLIN:
            request = bytearray(_REQUEST_BYTES)
            # Whoever asked may have been killed before it is heard, or answered.
            with contextlib.suppress(FileNotFoundError, InterruptedError):
                fcntl.ioctl(self._listener, _RECEIVE, request)
                (number,) = struct.unpack_from("=Q", request)
                fcntl.ioctl(self._listener, _SEND, self._answer(number))

    def _answer(self, number: int) -> bytes:
        # Only they themselves end them: what there was room for then, there is room for now.
        if self._room <= 0:
            self._room = self.most - self._count()
        if self.most == 0 or self._room <= 0:
            return _ANSWER.pack(number, 0, -errno.EAGAIN, 0)
        self._room -= 1
        return _ANSWER.pack(number, 0, 0, _CONTINUE)
