"""Who works on the hub, in a browser and in a terminal."""

from __future__ import annotations

import itertools
import os
import subprocess
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from ..browser.jupyter import Lab, Server

URL = "http://127.0.0.1:8000"
#: Where pictures of the pages go, if anywhere.
PICTURES = os.environ.get("SERVEMATH_PICTURES")
_numbers = itertools.count(1)


def picture(page: Page, name: str) -> None:
    """Keep what the page looks like, for a person."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{next(_numbers):02d}-{name}.png")


def log_in(context: BrowserContext, name: str, password: str, to: str = "") -> Page:
    """Log in as JupyterHub asks, and go on to where one wanted to go."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{URL}{to}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    picture(page, f"log-in-{name}")
    page.get_by_role("button", name="Sign in").click()
    return page


class HubLab(Lab):
    """A person's JupyterLab on the hub: the log-in is the key, not a token."""

    def __init__(self, page: Page, name: str) -> None:
        super().__init__(page, Server(f"{URL}/user/{name}", ""))
        self.name = name
        page.wait_for_url(f"{URL}/user/{name}/lab*")
        page.set_default_timeout(60_000)
        self._until_it_is_there()

    def goto(self, path: str = "") -> None:
        """Load JupyterLab, on the file `path` if there is one."""
        self.page.goto(f"{self.server.url}/lab/tree/{urllib.parse.quote(path)}?reset")
        self._until_it_is_there()


def typed_by(name: str, *command: str | Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody with an account, at home."""
    return subprocess.run(
        ["runuser", "-u", name, "--", "env", "-i", f"HOME=/home/{name}",
         "PATH=/opt/servemath/bin:/usr/bin:/bin", "LANG=C.UTF-8", *command],
        cwd=f"/home/{name}", stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
