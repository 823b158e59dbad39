"""A JupyterLab of the tests' own on loopback, and what a person does in it.

Nothing here sleeps: whoever waits, waits for a state of the page or of the server, and
gives up after a time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from autograder.course.commands import environment

#: Seconds that a page, a kernel, a cell may take on a slow machine with both cores busy.
PATIENCE_S = 60.0

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Headless, and nothing that talks to the network behind the tests' back.
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # containers give it no namespaces of its own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: Settings of a JupyterLab that asks nothing: plugin -> settings.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}

#: Every cell stands in the page, not only those in view: for what asks about all of them.
ALL_CELLS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}


class NoChromium(RuntimeError):
    """There is no browser to drive; the message says how to get one."""


def chromium() -> str:
    """Return the path of the system's Chromium."""
    named = os.environ.get("CHROMIUM")
    for name in [named] if named else CHROMIUM_NAMES:
        found = shutil.which(name)
        if found:
            return found
    raise NoChromium(
        f"no Chromium: looked on PATH for {named or ', '.join(CHROMIUM_NAMES)}. "
        "On Debian: apt install chromium. Elsewhere name yours: CHROMIUM=/path/to/chromium"
    )


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the system's Chromium, headless."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: where it listens, and the secret that opens it."""

    url: str
    token: str

    def request(self, method: str, path: str) -> Any:
        """Ask the server itself, past the browser."""
        request = urllib.request.Request(
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_sessions(self, path: str | None = None) -> None:
        """Shut down every kernel or that of one notebook: the next start is a fresh one."""
        for session in self.request("GET", "api/sessions"):
            if path not in (None, session["path"]):
                continue
            with contextlib.suppress(urllib.error.HTTPError):  # it ended by itself
                self.request("DELETE", f"api/sessions/{session['id']}")


def _write_settings(folder: Path, settings: dict[str, dict[str, Any]]) -> None:
    for plugin, values in settings.items():
        package, _, name = plugin.partition(":")
        path = folder / package / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


@contextlib.contextmanager
def jupyter_lab(
    root: Path,
    home: Path,
    settings: dict[str, dict[str, Any]] | None = None,
    nbgrader_config: str = "",
    *arguments: str,
    program: Sequence[str] | None = None,
) -> Iterator[Server]:
    """Run JupyterLab in the folder `root`, with everything it remembers under `home`.

    `settings` are added to those of a JupyterLab that asks nothing; `nbgrader_config` is
    what stands in this person's own nbgrader configuration; `arguments` are typed after the rest.
    `program` is a module with its arguments that starts it in another way.
    """
    folders = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    _write_settings(folders["JUPYTERLAB_SETTINGS_DIR"], {**SETTINGS, **(settings or {})})
    (folders["JUPYTER_CONFIG_DIR"] / "nbgrader_config.py").write_text(
        f"c = get_config()\n{nbgrader_config}", encoding="utf-8"
    )
    token, log = secrets.token_hex(16), home / "server.log"
    if program is None:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0"]
        command += ["--allow-root", "--LabApp.expose_app_in_browser=True"]
        command += [f"--ServerApp.root_dir={root}", *arguments]
    else:  # it types its own arguments: what those above say stands in files
        command = [sys.executable, "-m", *program]
        server = {"allow_root": True, "ip": "127.0.0.1", "open_browser": False, "port": 0}
        said = {"ServerApp": server, "LabApp": {"expose_app_in_browser": True}}
        for name in ("jupyter_server_config", "jupyter_lab_config"):
            path = folders["JUPYTER_CONFIG_DIR"] / f"{name}.json"
            path.write_text(json.dumps(said), encoding="utf-8")
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command,
            cwd=root,
            env={
                **environment(),
                **{name: str(folder) for name, folder in folders.items()},
                "SERVEMATH_LEDGER": str(home / "ledger.json"),
                "SERVEMATH_PROGRESS": str(home / "progress.json"),
                "JUPYTER_TOKEN": token,
            },
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            server = Server(_until_it_listens(process, folders["JUPYTER_RUNTIME_DIR"], log), token)
            yield server
            server.end_sessions()
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)


def _until_it_listens(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Return where the server says that it listens; it says so when it does."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for path in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # it is being written
                return f"http://127.0.0.1:{json.loads(path.read_text(encoding='utf-8'))['port']}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}")


#: So that no page opens what another left open.
_workspaces = itertools.count(1)


class Lab:
    """JupyterLab in one browser page, as one person uses it."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        #: What broke in the page's own scripts.
        self.page_errors: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))

    def goto(self, path: str = "") -> None:
        """Load JupyterLab, on the file `path` if there is one, in a workspace of its own."""
        tree = f"/tree/{urllib.parse.quote(path)}" if path else ""
        workspace = f"w{os.getpid()}-{next(_workspaces)}"
        self.page.goto(
            f"{self.server.url}/lab/workspaces/{workspace}{tree}?token={self.server.token}"
        )
        self._until_it_is_there()

    def _until_it_is_there(self) -> None:
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget !== undefined")

    def open(self, path: str) -> None:
        """Open a notebook by its path below the server's root and wait for its kernel."""
        self.goto(path)
        self.until_ready(path)

    def reload(self, path: str) -> None:
        """Reload the page as the browser's own button does."""
        self.page.reload()
        self._until_it_is_there()
        self.until_ready(path)

    def until_ready(self, path: str) -> None:
        """Wait until the notebook is the one shown and its kernel has started."""
        self.page.wait_for_function(
            """(path) => {
              const panel = window.jupyterapp.shell.currentWidget;
              return panel?.context?.path === path && panel.context.isReady
                && panel.content.widgets.length > 0
                && panel.sessionContext.isReady
                && panel.sessionContext.session?.kernel?.status === 'idle';
            }""",
            arg=path,
        )
        self.page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Run a command of JupyterLab and wait until it has ended."""
        self.begin(name, arguments)
        self.until_done()

    def begin(self, name: str, arguments: dict[str, Any] | None = None) -> None:
        """Start a command of JupyterLab, as soon as its extension has brought it."""
        self.page.wait_for_function(
            "(name) => window.jupyterapp.commands.hasCommand(name)", arg=name
        )
        self.page.evaluate(
            """([name, options]) => {
              window.commandEnded = undefined;
              window.jupyterapp.commands.execute(name, options).then(
                () => { window.commandEnded = 'well'; },
                (error) => { window.commandEnded = String(error); });
            }""",
            [name, arguments or {}],
        )

    def until_done(self) -> None:
        """Wait until the command that was started has ended."""
        self.page.wait_for_function("() => window.commandEnded !== undefined")
        ended = self.page.evaluate("() => window.commandEnded")
        if ended != "well":
            raise RuntimeError(f"JupyterLab: {ended}")

    def run_all(self) -> None:
        """Run every cell and wait until the kernel is idle again."""
        self.command("notebook:run-all-cells")
        self.until_idle()

    def until_idle(self) -> None:
        """Wait until the kernel is idle; a narrow window has no room for its indicator."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget"
            ".sessionContext.session?.kernel?.status === 'idle'"
        )

    def in_kernel(self, code: str) -> None:
        """Run code in the notebook's kernel without a cell of its own."""
        self.page.evaluate(
            "(code) => window.jupyterapp.shell.currentWidget"
            ".sessionContext.session.kernel.requestExecute({code}).done",
            code,
        )

    def cells(self) -> list[dict[str, Any]]:
        """Return every cell of the notebook as JupyterLab holds it."""
        found = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        )
        assert isinstance(found, list)
        return found

    def set_source(self, grade_id: str, source: str) -> None:
        """Put `source` into the cell that nbgrader knows as `grade_id`."""
        done = self.page.evaluate(
            """([gradeId, source]) => {
              const cells = window.jupyterapp.shell.currentWidget.content.widgets;
              const cell = cells.find(
                (cell) => cell.model.getMetadata('nbgrader')?.grade_id === gradeId);
              if (cell) { cell.model.sharedModel.setSource(source); }
              return cell !== undefined;
            }""",
            [grade_id, source],
        )
        assert done, f"no cell {grade_id} in the notebook"


def outputs(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all outputs of all cells."""
    return [output for cell in cells for output in cell.get("outputs", [])]


def errors(cells: list[dict[str, Any]]) -> list[str]:
    """Return what went wrong when cells ran: exceptions, and anything on stderr."""
    return [
        f"{output['ename']}: {output['evalue']}"
        if output["output_type"] == "error"
        else str(output["text"])
        for output in outputs(cells)
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
