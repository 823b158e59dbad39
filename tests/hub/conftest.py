"""A course for ten on a JupyterHub, made by what the how-to tells; then a browser."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from .. import markdown_pages as markdown
from .. import shell_session as shell
from . import machine

if find_spec("playwright") and find_spec("axe_playwright_python"):
    from playwright.sync_api import expect

    from ..browser.jupyter import ALL_CELLS, SETTINGS, open_browser

    expect.set_options(timeout=60_000)
else:
    # `make test-hub` installs them; the rest of the suite goes without.
    collect_ignore_glob = ["*.py"]

PAGE = "docs/how-to/jupyterhub.md"
COURSE = Path("/srv/servemath/course")
#: What the page keeps of everybody, and where they live.
PASSWORDS, HOMES = Path.home() / "passwords", Path("/home")
URL = "http://127.0.0.1:8000"


def environment():
    """Return root's environment on a new machine: this Python is the machine's own.

    What it takes to reach package indexes here stays.
    """
    uv = shutil.which("uv")
    programs = [
        *(Path(sys.base_prefix) / "bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin"),
        *("/usr/bin", "/sbin", "/bin"),
        *([Path(uv).parent] if uv else []),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept.pop("VIRTUAL_ENV", None)
    return {
        **kept,
        "PATH": os.pathsep.join(map(str, programs)),
        "HOME": str(Path.home()),
        "LANG": "C.UTF-8",
    }


def typed(steps):
    """Type what the page says into root's shell."""
    results = shell.run(steps, Path("/"), Path.home(), variables=environment())
    shell.assert_all_went_well(steps, results)


@pytest.fixture(scope="session")
def hub():
    """Return the passwords of a running hub's people."""
    if machine.INSIDE not in os.environ:
        pytest.skip("needs a machine of its own: make test-hub")
    os.umask(0o022)
    # Programs of this Python and of uv are for everybody, wherever they lie.
    for folder in Path(sys.base_prefix).parents:
        folder.chmod(folder.stat().st_mode | 0o055)
    shell.copy_course(COURSE)
    programs, people, _ = parts()
    typed(programs)
    machine.leave_the_network()
    start_postgresql()
    settle_labs()
    typed(people)
    until_it_answers()
    lines = PASSWORDS.read_text().split()
    return dict(line.split(":", 1) for line in lines)


def parts():
    """Return what the page tells: what takes a network, what starts the hub, what comes later."""
    steps = markdown.steps(PAGE)
    people, later = (
        next(number for number, step in enumerate(steps) if said in step.command)
        for said in ("groupadd", "watch --status")
    )
    return steps[:people], steps[people:later], steps[later:]


def settle_labs():
    """Let tests reach into learners' JupyterLab, and let it ask nothing."""
    installed = Path("/opt/servemath")
    config = installed / "etc/jupyter/jupyter_lab_config.json"
    config.write_text(json.dumps({"LabApp": {"expose_app_in_browser": True}}))
    overrides = installed / "share/jupyter/lab/settings/overrides.json"
    overrides.parent.mkdir(exist_ok=True)
    overrides.write_text(json.dumps(SETTINGS | ALL_CELLS))


def start_postgresql():
    """Do what installing PostgreSQL does on a new machine."""
    for folder in ("/etc/postgresql", "/var/lib/postgresql", "/run/postgresql"):
        for path in Path(folder).glob("*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    version = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)).name
    subprocess.run(["pg_createcluster", version, "main", "--start"], check=True, timeout=120)


def until_it_answers():
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{URL}/hub/api/", timeout=10):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise AssertionError(Path("/var/log/jupyterhub.log").read_text()) from error
        time.sleep(0.2)


@pytest.fixture(scope="session")
def browser(hub):
    with open_browser() as browser:
        yield browser
