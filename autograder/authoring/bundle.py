"""The zip that learners receive: release, helper package, environment files."""

from __future__ import annotations

import json
import re
import tomllib
import zipfile
from pathlib import Path

from autograder.authoring import learner_lab
from autograder.authoring.fresh import fresh_release
from autograder.course import Course

#: What the bundle holds, relative to the course folder.
FILES = (
    "CITATION.cff",
    "LICENSE",
    "LICENSE-TEXT.md",
    "docs/glossary.md",
    "docs/how-to/simulate.md",
    "docs/symbols.md",
    "environment.yml",
    "requirements-learn.lock",
)
GLOBS = (
    "servemath_helpers/**/*.py",
    "servemath_helpers/**/*.json",
    # Words and look of the labs.
    "servemath_helpers/labs/*/lab.*",
)
EXTRA = ("servemath_helpers/py.typed",)

_LINK = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")
#: A fixed time stamp: the same course gives the same bytes.
_TIME = (2026, 1, 1, 0, 0, 0)


def contents(course: Course) -> dict[str, bytes]:
    """Return the files of the bundle by their name in the zip.

    Notebooks come from a fresh release, not from the folder ``release/``, in which
    somebody may have worked. `pyproject.toml` and the read-me are the learner's
    own: they name nothing that the bundle does not hold.

    Parameters
    ----------
    course : Course
        The course.

    Raises
    ------
    ValueError
        If nbgrader refuses a notebook.
    """
    paths = {course.root / name for name in (*FILES, *EXTRA)}
    for pattern in GLOBS:
        paths.update(course.root.glob(pattern))
    files = {
        path.relative_to(course.root).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }
    for chapter in course.chapters():
        for name, text in fresh_release(course, chapter).items():
            files[f"release/{chapter}/{name}"] = text.encode()
    page = "docs/how-to/simulate.md"
    # The page stands alone here: what it links to lies elsewhere.
    files[page] = _LINK.sub(r"\1", files[page].decode()).encode()
    for name, text in learner_lab.companions(course).items():
        files[f"release/{name}"] = text.encode()
    if course.start.is_file():
        config = learner_lab.lab_config("jupyter", f"release/{learner_lab.START}")
        files[learner_lab.CONFIG] = config.encode()
        files |= {name: text.encode() for name, text in learner_lab.settings("jupyter").items()}
    files["pyproject.toml"] = _learner_project(course).encode()
    files["README.md"] = (course.root / "docs" / "learner-guide.md").read_bytes()
    return files


def _learner_project(course: Course) -> str:
    """Return a pyproject.toml that installs what learners import and nothing else."""
    whole = tomllib.loads((course.root / "pyproject.toml").read_text(encoding="utf-8"))
    project, build = whole["project"], whole["build-system"]
    return f"""\
[build-system]
requires = {json.dumps(build["requires"])}
build-backend = {json.dumps(build["build-backend"])}

[project]
name = {json.dumps(project["name"])}
version = {json.dumps(project["version"])}
license = {json.dumps(project["license"])}
license-files = {json.dumps(project["license-files"])}
description = {json.dumps(project["description"])}
requires-python = {json.dumps(project["requires-python"])}
dependencies = {json.dumps(project["dependencies"])}

[project.optional-dependencies]
learn = {json.dumps(project["optional-dependencies"]["learn"])}

[tool.setuptools.packages.find]
include = ["servemath_helpers*"]

[tool.setuptools.package-data]
servemath_helpers = {json.dumps(whole["tool"]["setuptools"]["package-data"]["servemath_helpers"])}
"""


def bundle(course: Course, folder: Path) -> Path:
    """Write ``servemath-learner.zip`` into `folder` and return its path; see `contents`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "servemath-learner.zip"
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(contents(course).items()):
            entry = zipfile.ZipInfo(f"servemath/{name}", _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    partial.replace(target)
    return target
