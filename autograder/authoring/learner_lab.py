"""JupyterLab as a learner meets it: it opens the start page, and what only staff need is not there.

Validate stays. A hub's learners keep the assignment list, which is how they hand in: this is for
somebody's own computer.
"""

from __future__ import annotations

import json

#: The notebook that is opened first, beside the folders of the chapters.
START = "start.ipynb"

#: Where a folder that Jupyter looks for configuration in keeps the page's.
PAGE = "labconfig/page_config.json"

_STAFF = ("assignment-list", "course-list", "create-assignment", "formgrader", "menu")


def page_config() -> str:
    """Return the configuration that leaves out what only staff need, as JSON text."""
    disabled = {f"@jupyter/nbgrader:{name}": True for name in _STAFF}
    return json.dumps({"disabledExtensions": disabled}, indent=1) + "\n"


def lab_config(folder: str, start: str) -> str:
    """Return a ``jupyter_lab_config.py``, which JupyterLab reads where it is started.

    Parameters
    ----------
    folder : str
        The folder with `PAGE` in it, relative to the file.
    start : str
        The notebook to open, relative to the file.
    """
    return f"""\
# JupyterLab reads this where it is started: it opens the start page, and has no menus for staff.
import os
from pathlib import Path

c = get_config()  # noqa: F821
c.LabApp.default_url = "/lab/tree/{start}"
folders = [str(Path(__file__).resolve().parent / "{folder}"), os.environ.get("JUPYTER_CONFIG_PATH")]
os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, folders))
"""
