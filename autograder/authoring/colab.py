"""The cell that lets a notebook run in Google Colab, and badges that open notebooks elsewhere.

Both follow one setting, ``repository`` of ``[tool.servemath]`` in pyproject.toml: where on
GitHub the course lies, as ``owner/name``; empty as long as it lies nowhere.
"""

from __future__ import annotations

import re
import tomllib

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from autograder.course import HOME, Course

#: What the cell is known by.
TAG = "colab"

_CELL = """\
# In Google Colab this installs the course's package; anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    import importlib.util
    import subprocess

    if importlib.util.find_spec("servemath_helpers") is None:
        {remark}
        package = "{package}"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, package], check=True)
        importlib.invalidate_caches()"""
_GITHUB = "https://github.com"
_START = "release/ch1_serving_tradeoffs/theory.ipynb"
_MARKED = re.compile(r"(<!-- badges -->\n).*?(<!-- /badges -->\n)", re.DOTALL)


def repository() -> str:
    """Return where on GitHub the course lies, as ``owner/name``, or an empty string.

    Raises
    ------
    ValueError
        If the setting is something else.
    """
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    where: str = project["tool"]["servemath"]["repository"]
    if where and not re.fullmatch(r"[\w.-]+/[\w.-]+", where):
        raise ValueError(
            f"repository of [tool.servemath] must be owner/name or empty, got {where!r}"
        )
    return where


def cell(where: str) -> NotebookNode:
    """Return the cell: from GitHub if the course lies there, else from an uploaded bundle.

    Dependencies stay those of Colab, which has all that the package needs: what is
    imported already cannot be replaced without a restart.
    """
    if where:
        remark, package = "# From where the course lies.", f"git+{_GITHUB}/{where}"
    else:
        remark = "# First upload the zip to Colab's files (the folder at the left)."
        package = "servemath-learner.zip"
    made = new_code_cell(_CELL.format(remark=remark, package=package))
    made.metadata = {"jupyter": {"source_hidden": True}, "tags": [TAG]}
    return made


def with_cell(cells: list[NotebookNode], where: str) -> list[NotebookNode]:
    """Return the cells of a notebook with this one behind the first, its title."""
    return [*cells[:1], cell(where), *cells[1:]]


def badges(where: str) -> str:
    """Return the line of badges; a line that says why there is none without a repository."""
    if not where:
        return "<!-- none: repository of [tool.servemath] in pyproject.toml is empty -->\n"
    hub = f"https://mybinder.org/v2/gh/{where}/HEAD?urlpath=lab/tree/release/start.ipynb"
    colab = f"https://colab.research.google.com/github/{where}/blob/HEAD/{_START}"
    return (
        f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({hub})\n"
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})\n"
    )


def readme(course: Course, where: str) -> str:
    """Return README.md with its badges as they should be."""
    text = (course.root / "README.md").read_text(encoding="utf-8")
    return _MARKED.sub(lambda found: found[1] + badges(where) + found[2], text)
