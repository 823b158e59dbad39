"""The sample class, graded by plain `nbgrader autograde`, gets the scores it deserves."""

import io
import json
import re
import shutil
import subprocess

import psutil
import pytest
from nbgrader.api import Gradebook
from rich.console import Console

from autograder.cells import parse_grade_id
from autograder.course import HOME, Course
from autograder.course.commands import run_nbgrader
from autograder.demo.run import DemoError, refuse_a_real_class, remove, run
from autograder.demo.sample_class import PREFIX, cases
from autograder.gradebook.record import collect
from autograder.gradebook.table import (
    TABLE_WIDTH,
    ClassTable,
    Row,
    as_csv,
    class_table,
    show_table,
)
from autograder.grading.outcomes import (
    GRADED,
    NOT_GRADED,
    UNFINISHED,
    Outcome,
    load_outcome,
)

from . import warm
from .autograder import leaks
from .golden import LIMIT_S, Graded
from .shared import copy_of, released

pytestmark = pytest.mark.timeout(1200)

FIRST = Course.at().chapters()[0]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return Graded(tmp_path_factory, FIRST, thorough=True)


#: Written out, so that a case that vanishes from the sample class is missed here.
CASES = [
    *("all_right_1", "all_right_2", "all_right_3", "misconceptions_1", "misconceptions_2"),
    *("half_done", "untouched", "calls_the_package", "noisy_stderr", "without_theory"),
    *("duplicated_cells", "deleted_tests", "edited_tests", "no_cell_ids", "missing_kernelspec"),
    *("corrupt_json", "truncated_json", "empty_file", "renamed_notebook", "no_notebook"),
    *("endless_loop", "ten_million_prints", "killed_kernel", "orphan_process"),
    *("broken_theory", "quits_the_kernel", "makes_a_folder"),
]


def sample_names():
    return [PREFIX + name for name in CASES]


@pytest.mark.parametrize("student", sample_names())
def test_each_submission_gets_the_score_it_deserves(graded, student):
    case, row = graded.cases[student], graded.rows[student]
    assert row.scores == case.scores


@pytest.mark.parametrize("student", sample_names())
def test_the_table_says_what_was_special(graded, student):
    case, row = graded.cases[student], graded.rows[student]
    notes = "; ".join(row.notes)
    assert case.reason in notes and case.remark in notes
    if not case.reason and not case.remark:
        assert notes == ""


def test_a_loop_without_an_end_is_stopped_at_the_limit_and_its_cells_are_named(graded):
    (note,) = graded.rows[PREFIX + "endless_loop"].notes
    assert re.fullmatch(rf"stopped after {LIMIT_S} s: cells [\d, ]+ \(littles_law\)", note)


def test_the_read_me_shows_rows_of_this_table(graded):
    stream = io.StringIO()
    show_table(Console(file=stream, width=TABLE_WIDTH), graded.table)
    text = stream.getvalue().replace(f"stopped after {LIMIT_S} s", "stopped after 10 s")
    rows = [line.split() for line in text.splitlines()]
    read_me = (HOME / "README.md").read_text(encoding="utf-8")
    told = [line.split() for line in read_me.splitlines() if line.startswith(f" {PREFIX}")]
    assert len(told) > 15 and [row for row in told if row not in rows] == []


@pytest.mark.parametrize("student", sample_names())
def test_the_log_says_so_too(graded, student):
    case = graded.cases[student]
    for told in filter(None, (case.reason, case.remark)):
        lines = [line for line in graded.done.stdout.splitlines() if student in line]
        assert any(told in line for line in lines)


def test_every_kind_of_submission_is_in_the_class(graded):
    assert set(graded.rows) == set(sample_names())
    assert any(case.scores is None for case in graded.cases.values())


def test_the_exit_code_says_that_not_all_could_be_graded(graded):
    assert graded.done.returncode == 1
    assert not graded.table.all_graded


def test_no_process_of_a_submission_is_left(graded):
    sleepers = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"] == ["sleep", "3601"]
    ]
    assert sleepers == []


@pytest.fixture(scope="module")
def pages(graded):
    """Return the feedback page of each student."""
    done = run_nbgrader(graded.course.root, "generate_feedback", FIRST)
    assert done.returncode == 0, done.stderr
    return {
        path.parent.parent.name: path.read_text(encoding="utf-8")
        for path in graded.course.feedback.glob(f"*/{FIRST}/exercises.html")
    }


def test_everybody_has_feedback_with_a_score_or_a_reason_and_no_hidden_test(graded, pages):
    assert pages.keys() == graded.rows.keys()
    secrets = leaks.secrets(graded.chapter.built, graded.chapter.blank())
    total = sum(graded.chapter.points.values())
    for student, page in pages.items():
        row, text = graded.rows[student], leaks.readings(page)[2]
        if row.scores is None:
            assert "could not be graded" in text and graded.cases[student].reason in text
            continue
        assert f"{row.total:g} of {total:g} points" in text
        submitted = graded.course.submitted / student / FIRST / "exercises.ipynb"
        cells = json.loads(submitted.read_text(encoding="utf-8"))["cells"]
        own = leaks.flat("\n".join("".join(cell["source"]) for cell in cells))
        assert leaks.found_in(page, {text for text in secrets if text not in own}) == [], student


def test_feedback_names_misconceptions_from_what_the_tests_asked(graded, pages):
    hints = [
        leaks.flat(exercise.wrong[0].hint).replace("`", "") for exercise in graded.chapter.exercises
    ]

    def named(student):
        return leaks.found_in(pages[PREFIX + student], hints)

    assert len(named("misconceptions_1")) >= 8
    assert named("all_right_1") == named("calls_the_package") == named("untouched") == []


def test_a_resubmission_that_cannot_be_graded_takes_back_the_old_score(graded):
    student = PREFIX + "without_theory"
    path = graded.course.submitted / student / FIRST / "exercises.ipynb"
    good = path.read_bytes()
    try:
        path.write_bytes(good[:1000])
        done = run_nbgrader(graded.course.root, "autograde", FIRST, "--student", student, "--force")
        assert done.returncode == 1
        outcome = load_outcome(graded.course.root, FIRST, student)
        assert "not valid JSON" in outcome.reason
        with Gradebook(f"sqlite:///{graded.course.database}") as gradebook:
            submission = gradebook.find_submission(FIRST, student)
            assert submission.score == 0
            assert submission.needs_manual_grade
    finally:
        path.write_bytes(good)


def test_a_run_that_was_killed_is_finished_by_running_it_again(graded):
    """What kill -9 leaves: a folder, half written, and no finished outcome.

    A run without hopeless cases, too: it ends with exit code 0.
    """
    student = PREFIX + "all_right_2"
    done = graded.course.autograded / student / FIRST
    for path in done.iterdir():
        path.unlink()
    outcome = Outcome(student, FIRST, NOT_GRADED, UNFINISHED)
    outcome.save(graded.course.root)
    ended = run_nbgrader(graded.course.root, "autograde", FIRST, "--student", student)
    assert ended.returncode == 0, ended.stderr
    assert (done / "exercises.ipynb").is_file()
    assert load_outcome(graded.course.root, FIRST, student).status == GRADED


def test_what_is_not_in_the_gradebook_is_not_a_zero(graded, tmp_path, tmp_path_factory):
    course = copy_of(released(tmp_path_factory, FIRST), tmp_path)
    student = PREFIX + "all_right_1"
    shutil.copytree(graded.course.submitted / student, course.submitted / student)
    Outcome(student, FIRST).save(course.root)
    (row,) = class_table(collect(course, FIRST)).rows
    assert row.scores is None
    assert row.notes == ("not in the gradebook; grade again",)


def test_the_table_prints_whatever_a_file_is_called(capsys):
    notes = ("exercises.ipynb is missing; the folder holds home [final] v2 [/b].ipynb",)
    table = ClassTable(FIRST, {"mm1": 2.0}, (Row("s [1]", None, notes), Row("t", {"mm1": 1.5}, ())))
    show_table(Console(width=TABLE_WIDTH), table)
    printed = capsys.readouterr().out
    assert "home [final] v2" in printed and "s [1]" in printed and "1.5" in printed
    assert as_csv(table).splitlines() == [
        "student,total,mm1,notes",
        f"s [1],,,{notes[0]}",
        "t,1.5,1.5,",
    ]


def test_a_ta_gets_the_table_from_one_command(graded):
    done = subprocess.run(
        [warm.programs() / "servemath", "--course", graded.course.root, "table", FIRST],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for student in graded.rows:
        assert student in done.stdout


def test_the_demo_never_touches_a_real_class(graded):
    real = graded.course.submitted / "a_real_student" / FIRST
    real.mkdir(parents=True)
    try:
        with pytest.raises(DemoError, match="a real class"):
            refuse_a_real_class(graded.course)
        with pytest.raises(DemoError, match="a real class"):
            run(graded.course, [FIRST])
    finally:
        real.rmdir()
        real.parent.rmdir()


def test_cases_are_made_from_the_release_alone(graded):
    """No hidden test reaches `submitted/`: learners could not have had it."""
    for case, _ in cases(graded.chapter):
        for path in (graded.course.submitted / case.student).rglob("*.ipynb"):
            assert "BEGIN HIDDEN TESTS" not in path.read_text(encoding="utf-8", errors="replace")


def test_every_graded_cell_of_the_gradebook_follows_the_scheme(graded):
    with Gradebook(f"sqlite:///{graded.course.database}") as gradebook:
        for notebook in gradebook.find_assignment(FIRST).notebooks:
            for cell in notebook.grade_cells:
                parse_grade_id(cell.name)


def test_removing_the_sample_class_leaves_everybody_else(graded):
    """Last in this file: it empties the course."""
    real = graded.course.submitted / "a_real_student" / FIRST
    real.mkdir(parents=True)
    root = graded.course.root
    (root / "reports" / "of_the_sample_alone").mkdir(parents=True)
    (root / "reports" / FIRST).mkdir()
    with (root / "timings" / f"{FIRST}.csv").open("a") as timings:
        timings.write("a_real_student,mm1,0.5\n")
    assert remove(graded.course) == len(CASES)
    assert not list((root / "transcripts").glob(f"*/{PREFIX}*"))
    lines = (root / "timings" / f"{FIRST}.csv").read_text().splitlines()
    assert lines == ["student,exercise,seconds", "a_real_student,mm1,0.5"]
    assert [path.name for path in (root / "reports").iterdir()] == [FIRST]
    assert [path.name for path in graded.course.submitted.iterdir()] == ["a_real_student"]
    assert not list(graded.course.outcomes.glob(f"*/{PREFIX}*"))
    with Gradebook(f"sqlite:///{graded.course.database}") as gradebook:
        assert [student.id for student in gradebook.students] == []
