"""An exercise and a chapter added by what the guides say, and by nothing else."""

import json
import re
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


@pytest.fixture
def course(followed):
    return followed[0]


def files(course):
    """Return what would be committed, by name."""
    return {
        path.relative_to(course).as_posix(): path.read_bytes()
        for part in ("autograder", "docs", "release", "servemath_helpers", "source", "tests")
        for path in (course / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def in_copy(course, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=course,
        env=shell.environment(course, course.parent / "home"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def faults(course, chapter):
    """Return what `servemath check` says is wrong."""
    done = in_copy(course, "autograder", "check", chapter, "--json")
    findings = json.loads(done.stdout)["findings"]
    told = [f"{one['subject']}: {one['found']}" for one in findings if one["state"] != "ok"]
    assert done.returncode == (1 if told else 0)
    return "\n".join(told)


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
    # What `progress` knows, and where the section leads to its exercise.
    derived |= {"servemath_helpers/data/course.json", f"release/{TO_CHAPTER}/theory.ipynb"}
    derived.add(f"source/{TO_CHAPTER}/theory.ipynb")
    assert followed[1] == by_hand | derived


def test_check_and_the_tests_own_rules_are_content(course):
    assert faults(course, TO_CHAPTER) == faults(course, NEW_CHAPTER) == ""
    chosen = f"{TO_CHAPTER} or {NEW_CHAPTER}"
    options = ("-q", "-n", "0", "-p", "no:cacheprovider", "-k", chosen)
    done = in_copy(course, "pytest", "tests/notebooks/test_rules.py", *options)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


#: What an author may forget in the record: a pattern, what stands there instead, what is said.
FORGOTTEN = [
    ("visible = 0.5", "visible = 1", "headroom_rps: points must be 0.5 visible"),
    (r'\[\[right\]\]\nname = "seconds(.|\n)*?\n(?=\[\[)', "", "headroom_rps: 2 right solutions"),
    ("Room for more", "Headroom", f"notebooks of {TO_CHAPTER}: not what the text gives"),
]
#: Without it the record cannot be read, so nothing else is said.
NO_HINT = (
    r'hint = "Nothing can be.*\n',
    "",
    "headroom_rps.toml is not a bank file: wrong negative",
)


@pytest.mark.parametrize("changes", [FORGOTTEN, [NO_HINT]], ids=["points, right, title", "hint"])
def test_what_an_author_forgets_is_refused_with_a_line_that_helps(course, changes):
    """More breaks than these stand in tests/autograder/test_check.py."""
    path = course / RECORD
    kept = text = path.read_text(encoding="utf-8")
    for old, new, _ in changes:
        text, times = re.subn(old, new, text)
        assert times
    path.write_text(text, encoding="utf-8")
    try:
        found = faults(course, TO_CHAPTER)
    finally:
        path.write_text(kept, encoding="utf-8")
    for *_, told in changes:
        assert told in found
