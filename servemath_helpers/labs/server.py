"""An extension of the Jupyter server: what a kernel says reaches the page at once.

A slider's move is answered by several small messages: busy, an echo, the new picture, idle.
Unless told otherwise, TCP holds the second back until the receipt of the first has been
acknowledged (Nagle's algorithm), and Linux acknowledges up to 40 ms late: a lab would
stutter although its picture is long drawn. Labs work without the extension, only less
smoothly. ``python -m servemath_helpers.labs.server`` switches it on for every JupyterLab of
that environment; ``make`` does so when it sets up its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_server.services.kernels.connection.base import BaseKernelWebsocketConnection

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["at_once", "switch_on"]

_NAME = "servemath_helpers.labs.server"
_Connection = type[BaseKernelWebsocketConnection]


def at_once(connection: _Connection) -> _Connection:
    """Return a kind of connection between page and kernel that holds no message back.

    Parameters
    ----------
    connection : type
        The kind that the server is set up to use.

    Returns
    -------
    type
        A subclass that differs in nothing else.

    Examples
    --------
    >>> issubclass(at_once(BaseKernelWebsocketConnection), BaseKernelWebsocketConnection)
    True
    """

    class AtOnce(connection):  # type: ignore[misc, valid-type]
        def connect(self) -> Any:
            self.websocket_handler.set_nodelay(True)
            return super().connect()

    return AtOnce


def switch_on(prefix: Path) -> Path:
    """Let every Jupyter server of an environment load this extension.

    Parameters
    ----------
    prefix : Path
        The environment's folder, `sys.prefix`.

    Returns
    -------
    Path
        The file that says so; removing it switches the extension off.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     switch_on(Path(folder)).name
    'servemath.json'
    """
    path = prefix / "etc" / "jupyter" / "jupyter_server_config.d" / "servemath.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"ServerApp": {"jpserver_extensions": {_NAME: True}}}
    path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return path


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": _NAME}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    name = "kernel_websocket_connection_class"
    app.web_app.settings[name] = at_once(app.web_app.settings[name])


if __name__ == "__main__":
    print(f"labs answer at once in every JupyterLab that reads {switch_on(Path(sys.prefix))}")
