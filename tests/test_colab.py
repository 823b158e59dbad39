"""The cell for Google Colab, and badges: what they do there, and that they do nothing elsewhere."""

import subprocess
import sys

import nbformat
import pytest

from autograder.authoring import colab
from autograder.course import HOME, Course

COURSE = Course.at(HOME)


def notebooks():
    return sorted(COURSE.release.rglob("*.ipynb"))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_notebook_has_the_cell_before_its_other_code(path):
    cells = nbformat.read(path, as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert first.source == colab.cell(colab.repository()).source
    assert "nbgrader" not in first.metadata


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout


NOTES = """
import subprocess, sys, types
subprocess.run = lambda command, check: print(*command[1:])
"""
IN_COLAB = f"{NOTES}sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
WITHOUT = "import importlib.util\nimportlib.util.find_spec = lambda name: None\n"


@pytest.mark.parametrize(
    ("place", "where", "said"),
    [
        (NOTES + WITHOUT, "", ""),
        (IN_COLAB, "", ""),  # installed already
        (IN_COLAB + WITHOUT, "", "-m pip install --quiet --no-deps servemath-learner.zip\n"),
        (
            IN_COLAB + WITHOUT,
            "owner/course",
            "-m pip install --quiet --no-deps git+https://github.com/owner/course\n",
        ),
    ],
)
def test_it_installs_in_colab_alone_and_once(place, where, said):
    assert run(place + colab.cell(where).source) == said


def test_badges_follow_the_one_setting():
    assert colab.readme(COURSE, colab.repository()) == (HOME / "README.md").read_text("utf-8")
    page = colab.readme(COURSE, "owner/course")
    assert "/v2/gh/owner/course/HEAD?urlpath=lab/tree/release/start.ipynb)" in page
    assert "/github/owner/course/blob/HEAD/release/ch1_serving_tradeoffs/theory.ipynb)" in page


def test_a_repository_is_an_owner_and_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(colab, "HOME", tmp_path)
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.servemath]\nrepository = "https://a.example/b"\n')
    with pytest.raises(ValueError, match=r"repository of \[tool.servemath\] must be owner/name"):
        colab.repository()
    project.write_text('[tool.servemath]\nrepository = "owner/course"\n')
    assert colab.repository() == "owner/course"
