"""Messages between processes: JSON with its length before it, limited in size and time."""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!Q")
_encode = json.JSONEncoder(separators=(",", ":")).encode

#: Bytes read at once: room for more would be got from the kernel, and given back, each time.
_CHUNK = 1 << 16

#: The largest message that a trusted process takes from a learner's.
MAX_LEARNER_MESSAGE = 24_000_000

#: The largest message between trusted processes: a notebook with its files and figures.
MAX_TRUSTED_MESSAGE = 400_000_000


class ChannelClosed(Exception):
    """The other side is gone."""


class ChannelTimeout(Exception):
    """The time allowed is over."""


class ChannelGarbage(Exception):
    """The other side sent what is no message."""


class Channel:
    """Two ends that exchange JSON messages.

    Parameters
    ----------
    sock : socket.socket
        A connected stream socket, which waits without a limit of its own.
    limit : int
        Bytes of the largest message to accept.
    """

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self.sock = sock
        self._limit = limit
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Return the socket's descriptor, for `select`."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close this end."""
        self.sock.close()

    def send(self, message: Any, deadline: float | None = None) -> None:
        """Send one message; `deadline` is a value of `time.monotonic`."""
        body = _encode(message).encode("ascii")
        data = _LENGTH.pack(len(body)) + body
        try:
            # A call and its answer fit at once: two system calls less than with a limit of time.
            sent = self._send_at_once(data)
            if sent < len(data):
                self._send_in_time(memoryview(data)[sent:], deadline)
        except TimeoutError:
            raise ChannelTimeout from None
        except OSError:
            raise ChannelClosed from None

    def _send_at_once(self, data: bytes) -> int:
        """Return how many bytes there was room for."""
        try:
            return self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def _send_in_time(self, data: memoryview, deadline: float | None) -> None:
        self.sock.settimeout(_left(deadline))
        try:
            self.sock.sendall(data)
        finally:
            self.sock.settimeout(None)

    def receive(self, deadline: float | None = None) -> Any:
        """Return the next message; `deadline` is a value of `time.monotonic`."""
        while True:
            message = self.poll()
            if message is not None:
                return message
            if deadline is not None:
                ready, _, _ = select.select([self.sock], [], [], _left(deadline))
                if not ready:
                    raise ChannelTimeout
            self.fill()

    def fill(self) -> None:
        """Read what has arrived; call when `select` says there is something."""
        try:
            data = self.sock.recv(_CHUNK)
        except OSError:
            raise ChannelClosed from None
        if not data:
            raise ChannelClosed
        self._buffer += data

    def poll(self) -> Any | None:
        """Return the next message if it has arrived whole, else None."""
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > self._limit:
            raise ChannelGarbage(f"a message of {length:,} bytes")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        try:
            message = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError, MemoryError):
            raise ChannelGarbage("a message that is not JSON") from None
        if not isinstance(message, dict):
            raise ChannelGarbage("a message that is no object")
        return message


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.001, deadline - time.monotonic())
