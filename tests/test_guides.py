"""An exercise and a chapter added by what the guides say, and by nothing else."""

import subprocess
import sys

import pytest

from . import markdown_pages as markdown
from . import shell_session as shell

pytestmark = pytest.mark.timeout(1200)

EXERCISE, CHAPTER = "docs/how-to/add-an-exercise.md", "docs/how-to/add-a-chapter.md"
TO_CHAPTER, NEW_CHAPTER = "ch4_queueing_lab", "ch9_practice"
TEXT = f"source/{TO_CHAPTER}/exercises.py"
RECORD = f"autograder/bank/{TO_CHAPTER}/headroom_rps.toml"


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Return a copy of the course to which the guides added both, and which files they wrote."""
    folder = tmp_path_factory.mktemp("guides")
    course = shell.copy_course(folder / "course")
    before = files(course)
    steps = [*markdown.steps(EXERCISE), *markdown.steps(CHAPTER)[:-1]]  # the last takes it out
    shell.assert_all_went_well(steps, shell.run(steps, course, folder / "home"))
    after = files(course)
    return course, {name for name, text in after.items() if text != before.get(name)}


def files(course):
    """Return what would be committed, by name."""
    return {
        path.relative_to(course).as_posix(): path.read_bytes()
        for part in ("autograder", "docs", "release", "servemath_helpers", "source", "tests")
        for path in (course / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_guides_write_five_files_by_hand_and_the_rest_is_derived(followed):
    by_hand = {TEXT, RECORD} | {
        f"source/{NEW_CHAPTER}/exercises.py",
        f"source/{NEW_CHAPTER}/theory.py",
        f"autograder/bank/{NEW_CHAPTER}/idle_share.toml",
    }
    derived = {
        f"{part}/{name}"
        for part in ("source", "release")
        for name in (
            f"{TO_CHAPTER}/exercises.ipynb",
            f"{NEW_CHAPTER}/exercises.ipynb",
            f"{NEW_CHAPTER}/theory.ipynb",
        )
    }
    derived.add(f"servemath_helpers/data/questions/{NEW_CHAPTER}.json")
    # What `progress` and the start page know, and where the section leads to its exercise.
    derived |= {"servemath_helpers/data/course.json", f"release/{TO_CHAPTER}/theory.ipynb"}
    derived |= {f"source/{TO_CHAPTER}/theory.ipynb", "release/start.ipynb"}
    assert followed[1] == by_hand | derived


def test_the_tests_own_rules_are_content(followed):
    """They are those of `servemath check`, which the guides have typed, and it ended well.

    Of the old chapter the two that take long were looked at there, and are not again.
    """
    course, _ = followed
    chosen = f"{NEW_CHAPTER} or {TO_CHAPTER} and not deep_checks and not feedback"
    options = ("-q", "-n", "0", "-p", "no:cacheprovider", "-k", chosen)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/notebooks/test_rules.py", *options],
        cwd=course,
        env=shell.environment(course, course.parent / "home"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
