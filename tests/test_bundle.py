"""What learners receive, and what they never do."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import nbformat
import pytest

from autograder import bank
from autograder.authoring.bundle import bundle, contents
from autograder.authoring.release import scratch_course
from autograder.course import HOME, Course

COURSE = Course.at(HOME)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with zipfile.ZipFile(bundle(COURSE, tmp_path_factory.mktemp("dist"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(archive):
    return {name: archive.read(name).decode("utf-8") for name in archive.namelist()}


def test_the_bundle_holds_what_a_learner_needs(files):
    assert "servemath/environment.yml" in files
    assert "servemath/requirements-learn.lock" in files
    assert "servemath/README.md" in files
    assert {name for name in files if name.startswith("servemath/docs/")} == {
        "servemath/docs/glossary.md",
        "servemath/docs/how-to/simulate.md",
        "servemath/docs/symbols.md",
    }
    assert "servemath/servemath_helpers/queueing.py" in files
    assert any(name.startswith("servemath/servemath_helpers/data/") for name in files)
    assert "servemath/release/your_service.ipynb" in files
    assert "](../" not in files["servemath/docs/how-to/simulate.md"]
    for chapter in COURSE.chapters():
        assert f"servemath/release/{chapter}/exercises.ipynb" in files
        assert f"servemath/release/{chapter}/theory.ipynb" in files


def test_the_bundle_holds_nothing_of_staff(files):
    top = {name.split("/")[1] for name in files}
    assert top == {
        "CITATION.cff",
        "LICENSE",
        "LICENSE-TEXT.md",
        "README.md",
        "docs",
        "environment.yml",
        "jupyter",
        "jupyter_lab_config.py",
        "pyproject.toml",
        "release",
        "requirements-learn.lock",
        "servemath_helpers",
    }
    assert not any(name.endswith((".toml.bak", ".db")) for name in files)
    assert "autograder" not in files["servemath/pyproject.toml"]


def test_no_file_of_the_bundle_holds_a_solution_or_a_hidden_test(files):
    marks = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS)")
    assert [name for name, text in files.items() if marks.search(text)] == []


def test_released_notebooks_hold_no_line_of_a_solution_or_of_a_hidden_test(files):
    """Compare line by line: what the source keeps secret is nowhere in the release."""
    for chapter in COURSE.chapters():
        source = nbformat.read(COURSE.source / chapter / "exercises.ipynb", as_version=4)
        secret, public = set(), set()
        for cell in source.cells:
            inside = False
            for line in cell.source.splitlines():
                if "### BEGIN" in line:
                    inside = True
                elif "### END" in line:
                    inside = False
                else:
                    (secret if inside else public).add(line.strip())
        secret = {line for line in secret - public if len(line) > 12}
        assert len(secret) > 100
        released = nbformat.reads(
            files[f"servemath/release/{chapter}/exercises.ipynb"], as_version=4
        )
        told = {line.strip() for cell in released.cells for line in cell.source.splitlines()}
        assert told & secret == set()


def test_no_bank_solution_is_in_the_bundle(files):
    everything = "\n".join(files.values())
    for chapter in COURSE.chapters():
        for exercise in bank.load(chapter):
            for solution in (*exercise.right, *exercise.wrong):
                assert json.dumps(solution.code.strip())[1:-1] not in everything
                assert solution.code.strip() not in everything


def test_the_same_course_gives_the_same_bundle(tmp_path):
    first = bundle(COURSE, tmp_path / "a").read_bytes()
    assert bundle(COURSE, tmp_path / "b").read_bytes() == first


def test_what_lies_about_in_the_release_folder_does_not_go_out(tmp_path):
    """A checkpoint, a notebook that somebody solved in place: the bundle is made afresh."""
    chapter = COURSE.chapters()[0]
    course = scratch_course(tmp_path, [chapter])
    shutil.copytree(HOME / "docs", tmp_path / "docs")
    shutil.copytree(HOME / "servemath_helpers", tmp_path / "servemath_helpers")
    for name in ("pyproject.toml", "environment.yml", "requirements-learn.lock"):
        shutil.copy(HOME / name, tmp_path)
    solved = course.source / chapter / "exercises.ipynb"
    for folder in (course.release / chapter, course.release / chapter / ".ipynb_checkpoints"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(solved, folder)
    files = contents(course)
    assert not any(".ipynb_checkpoints" in name for name in files)
    assert b"BEGIN SOLUTION" not in files[f"release/{chapter}/exercises.ipynb"]


def test_the_bundled_package_installs_and_imports_without_the_course(archive, tmp_path):
    archive.extractall(tmp_path)
    folder = tmp_path / "servemath"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    whole = tomllib.loads((HOME / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == whole["project"]["dependencies"]
    assert project["project"]["requires-python"] == whole["project"]["requires-python"]
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--target", str(tmp_path / "site"), str(folder)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, installed = HOME / "servemath_helpers", tmp_path / "site" / "servemath_helpers"
    for path in ours.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (installed / path.relative_to(ours)).is_file(), path
    assert not (tmp_path / "site" / "autograder").exists()


def test_the_bundle_lists_each_file_once(archive):
    names = archive.namelist()
    assert len(names) == len(set(names))
