"""What is committed is what the text gives: notebooks, outputs apart from pictures, release."""

import re

import nbformat
import pytest

from autograder.authoring.build import build_text
from autograder.authoring.release import release_texts
from autograder.course import EXECUTED

from .conftest import CHAPTERS, COURSE

PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")
TEXTS = [path for chapter in CHAPTERS for path in COURSE.texts(chapter)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_committed_notebook_is_what_its_text_gives(path):
    """Pictures are compared as places: their bytes depend on fonts and platform."""
    committed = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    rebuilt = build_text(path)
    assert PICTURE.sub("PNG", committed) == PICTURE.sub("PNG", rebuilt), "run: make notebooks"


def test_the_committed_release_is_what_the_notebooks_give():
    committed = {
        str(path.relative_to(COURSE.release)): path.read_text(encoding="utf-8")
        for path in COURSE.release.glob("*/*.ipynb")
    }
    fresh = release_texts()
    assert committed.keys() == fresh.keys()
    for name in fresh:
        assert committed[name] == fresh[name], f"{name}: run: make release"


def test_the_release_holds_notebooks_only():
    others = [path for path in COURSE.release.rglob("*.*") if path.suffix != ".ipynb"]
    assert [path for path in others if ".ipynb_checkpoints" not in path.parts] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_only_theory_keeps_outputs(path):
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    has_outputs = any(cell.get("outputs") for cell in notebook.cells)
    assert has_outputs == (path.stem in EXECUTED)
