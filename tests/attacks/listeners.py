"""A helper on this machine that attacks try to reach: TCP, UDP and two Unix sockets."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType


class Listeners:
    """Listen until closed; `received` holds what came and by which way."""

    def __init__(self, name: str) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="servemath-listen-")
        self.path = str(Path(self._folder.name, "socket"))
        Path(self._folder.name).chmod(0o777)
        self._sockets = {
            "tcp": socket.create_server(("127.0.0.1", 0)),
            "udp": socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "abstract": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
            "path": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        }
        self._sockets["udp"].bind(("127.0.0.1", 0))
        self._sockets["abstract"].bind(f"\0{name}")
        self._sockets["path"].bind(self.path)
        Path(self.path).chmod(0o777)
        self._closed = threading.Event()
        for way, listener in self._sockets.items():
            listener.settimeout(0.2)
            threading.Thread(target=self._listen, args=(way, listener), daemon=True).start()

    def port(self, way: str) -> int:
        """Return the port of the ``tcp`` or ``udp`` listener."""
        return int(self._sockets[way].getsockname()[1])

    def _listen(self, way: str, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if listener.type == socket.SOCK_STREAM:
                listener.listen(16)
        while not self._closed.is_set():
            try:
                self.received.append((way, self._take(listener)))
            except TimeoutError:
                continue
            except OSError:
                return

    @staticmethod
    def _take(listener: socket.socket) -> bytes:
        if listener.type == socket.SOCK_DGRAM:
            return listener.recv(1024)
        line, _ = listener.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(b"24\n")
        return b"a connection"

    def __enter__(self) -> Listeners:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        for listener in self._sockets.values():
            listener.close()
        self._folder.cleanup()
