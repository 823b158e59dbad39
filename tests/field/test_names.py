"""Folders and learners as people name them: brackets, per cent, question marks, accents."""

import subprocess
import sys
from pathlib import Path

import nbgrader.api
import pytest
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.dbutil import _temp_alembic_ini
from sqlalchemy import text

from autograder.cli.frame.names import meant
from autograder.course import mends, settings
from autograder.course.commands import run_nbgrader
from autograder.exports import ExportError, MoodleExporter
from autograder.gradebook.reader import opened
from autograder.gradebook.record import collect
from autograder.report import write_report

from ..autograder.small_course import NAME, RIGHT, WRONG, fill_gradebook, hand_in, make
from ..autograder.small_course import record as record_grades

#: What a pattern, an address or a template may take for something else, all in one path.
COURSE = "[a-z] 100%25, what? #1 {new} * Übung"
STUDENTS = ["s[1]", "s1", "50% *", "who?", "José {x}", "a+b & c#"]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    parent = tmp_path_factory.mktemp("course")
    # What the path would match, were it a pattern, is not this course.
    hand_in(make(parent / COURSE.replace("[a-z]", "q")), "stranger", **RIGHT)
    course = make(parent / COURSE)
    for student in STUDENTS:
        hand_in(course, student, **RIGHT)
    for arguments in (["generate_assignment", NAME], ["autograde", NAME]):
        done = run_nbgrader(course.root, *arguments)
        assert done.returncode == 0, done.stderr
    return course


def test_everything_is_graded_and_stays_within_the_course(course):
    record = collect(course, NAME)
    assert {one.student: one.total for one in record.submissions} == dict.fromkeys(STUDENTS, 5.0)
    assert (course.root / "gradebook.db").is_file()
    assert write_report(course, NAME).is_file()
    folders = sorted(path.name for path in course.root.parent.iterdir())
    assert folders == sorted([COURSE.replace("[a-z]", "q"), COURSE])


def test_one_student_is_that_student(course):
    hand_in(course, "s[1]", **WRONG)
    hand_in(course, "s1", **RIGHT)
    other = course.autograded / "s1" / NAME / "exercises.ipynb"
    before = other.stat().st_mtime_ns
    for command in ("autograde", "generate_feedback"):
        done = run_nbgrader(course.root, command, NAME, "--student=s[1]", "--force")
        assert done.returncode == 0, done.stderr
    totals = {one.student: one.total for one in collect(course, NAME).submissions}
    assert (totals["s[1]"], totals["s1"]) == (2.0, 5.0)
    assert other.stat().st_mtime_ns == before
    assert (course.feedback / "s[1]" / NAME / "exercises.html").is_file()


def test_formgrader_finds_the_same_class(course, monkeypatch):
    monkeypatch.chdir(course.root)
    config = settings.settings(course)
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    assert api.get_submitted_students(NAME) == set(STUDENTS)
    assert api.get_source_assignments() == {NAME}


def test_a_name_that_is_there_is_meant_and_the_course_s_path_is_no_pattern(tmp_path, monkeypatch):
    root = tmp_path / "[ab] course"
    for place in ("[ab] course/s[1]/a", "[ab] course/s1/a", "[ab] course/*/a", "a course/s1/a"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.setattr(mends, "_ROOTS", {str(root)})
    for pattern, found in {
        "s[1]": ["s[1]"],
        "s[1]/*": ["s[1]/a"],
        "s[12]": ["s1"],
        "s?": ["s1"],
        "*": ["*", "s1", "s[1]"],
        "*/a": ["*/a", "s1/a", "s[1]/a"],
        "none*": [],
    }.items():
        assert mends.matches(f"{root}/{pattern}") == [str(root / one) for one in found]


def test_a_new_gradebook_has_the_number_that_alembic_says_and_starts_no_program(
    course, tmp_path, monkeypatch
):
    settings.settings(course)  # which mends nbgrader
    monkeypatch.setattr(nbgrader.api, "sp", None)
    with nbgrader.api.Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        kept = gradebook.db.execute(text("SELECT version_num FROM alembic_version")).scalar()
    with _temp_alembic_ini("sqlite://") as ini:
        command = [Path(sys.executable).with_name("alembic"), "-c", ini, "heads"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split()[0] == kept


COMPOSED, DECOMPOSED = "Jos\u00e9", "Jose\u0301"


@pytest.fixture
def accents(tmp_path, monkeypatch):
    """A course in which one name is written in either form of Unicode, and a mapping of it."""
    course = make(tmp_path / "course")
    fill_gradebook(course)
    monkeypatch.chdir(course.root)

    def graded(student, mapped):
        hand_in(course, student, **RIGHT)
        record_grades(course, student, 1)
        (course.root / "students.csv").write_text(f"student,email\n{mapped},j@example.org\n")
        with opened(course) as gradebook:
            return MoodleExporter().write(gradebook).read_text()

    return course, graded


@pytest.mark.parametrize("mapped", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("folder", [COMPOSED, DECOMPOSED])
def test_an_accent_is_an_accent_however_it_is_encoded(accents, folder, mapped):
    _, graded = accents
    assert graded(folder, mapped).splitlines()[1] == "j@example.org,5"
    assert meant(mapped, [folder], "student", begun=False) == folder


def test_two_folders_that_look_alike_are_told(accents):
    course, graded = accents
    graded(COMPOSED, COMPOSED)
    with pytest.raises(ExportError, match="stands twice"):
        graded(DECOMPOSED, COMPOSED)
    for one in collect(course, NAME).submissions:
        assert "another folder has this name" in one.remarks[0]
