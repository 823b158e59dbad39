"""The server extension: every connection to a kernel sends at once, nothing else changes."""

import json
import runpy
import sys
from types import SimpleNamespace

from jupyter_server.extension.manager import ExtensionPackage

from servemath_helpers.labs import server


class Connection:
    def __init__(self):
        self.said = []
        self.websocket_handler = SimpleNamespace(
            set_nodelay=lambda value: self.said.append(("nodelay", value))
        )

    def connect(self):
        self.said.append("connected")
        return "a future"


def test_a_connection_says_so_before_it_connects():
    connection = server.at_once(Connection)()
    assert connection.connect() == "a future"
    assert connection.said == [("nodelay", True), "connected"]


def test_jupyter_server_takes_it_for_an_extension_and_loads_it():
    package = ExtensionPackage(name="servemath_helpers.labs.server", enabled=True)
    assert package.validate()
    settings = {"kernel_websocket_connection_class": Connection, "other": 1}
    app = SimpleNamespace(web_app=SimpleNamespace(settings=settings))
    server._load_jupyter_server_extension(app)
    assert settings["kernel_websocket_connection_class"].__mro__[1] is Connection
    assert settings["other"] == 1


def test_it_is_switched_on_for_an_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    runpy.run_path(server.__file__, run_name="__main__")
    (path,) = (tmp_path / "etc" / "jupyter" / "jupyter_server_config.d").iterdir()
    assert str(path) in capsys.readouterr().out
    config = json.loads(path.read_text())["ServerApp"]["jpserver_extensions"]
    assert config == {"servemath_helpers.labs.server": True}
