"""What stands in the gradebook is what nbgrader's own preprocessors would have written."""

import copy
import datetime as dt
import shutil
import sqlite3
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades
from nbgrader.utils import compute_checksum
from traitlets.config import Config, Configurable

from autograder.cells import RUBRIC, grade_id_of
from autograder.gradebook.reader import comments_of
from autograder.grading.run_gradebook import RunGradebook
from autograder.grading.save_grades import AssignPenalties, SaveGrades

from .conftest import code_cell, notebook_of

ASSIGNMENT = "chapter"
STUDENTS = ("early", "late", "graded_by_hand", "penalised_before")
DUE = dt.datetime(2024, 1, 1)

ROWS = """
    SELECT submitted_assignment.student_id, notebook.name, base_cell.name, {columns}
    FROM {table}
    JOIN base_cell ON base_cell.id = {table}.cell_id
    JOIN submitted_notebook ON submitted_notebook.id = {table}.notebook_id
    JOIN notebook ON notebook.id = submitted_notebook.notebook_id
    JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
"""
QUERIES = (
    ROWS.format(
        table="grade", columns="auto_score, manual_score, extra_credit, needs_manual_grade"
    ),
    ROWS.format(table="comment", columns="auto_comment, manual_comment"),
    """
    SELECT submitted_assignment.student_id, notebook.name, flagged, late_submission_penalty
    FROM submitted_notebook
    JOIN notebook ON notebook.id = submitted_notebook.notebook_id
    JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
    """,
)


def executed_notebook():
    """Passed, failed, partly right, written and unanswered cells, as they stand after a run."""
    solution = code_cell("def half(x): return x / 2", "s", grade=False, solution=True, locked=False)
    untouched = code_cell("raise NotImplementedError", "u", grade=False, solution=True)
    untouched.metadata.nbgrader["checksum"] = compute_checksum(untouched)
    passed = code_cell("assert half(4) == 2", "passed", points=2)
    failed = code_cell("assert half(4) == 3", "failed", points=2)
    failed.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    partly = code_cell("1.5", "partly", points=2)
    partly.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "1.5"})]
    written = code_cell("", "written", solution=True, locked=False, points=3)
    written.cell_type = "markdown"
    written.source = "An answer."
    del written["outputs"], written["execution_count"]
    task = copy.deepcopy(written)
    task.id = "a-cell-of-its-own"
    task.metadata.nbgrader.update(
        grade_id="task", grade=False, solution=False, task=True, locked=True
    )
    return notebook_of(solution, untouched, passed, failed, partly, written, task)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """A gradebook with every student's submission, some of them marked before."""
    database = tmp_path_factory.mktemp("marked") / "gradebook.db"
    with Gradebook(f"sqlite:///{database}") as gradebook:
        gradebook.add_assignment(ASSIGNMENT, duedate=DUE)
        for name in ("exercises", "theory"):
            gradebook.add_notebook(name, ASSIGNMENT)
        for cell in executed_notebook().cells:
            nbgrader = cell.metadata.nbgrader
            place = (nbgrader.grade_id, "exercises", ASSIGNMENT)
            worth = {"max_score": nbgrader.points, "cell_type": cell.cell_type}
            if nbgrader.task:
                gradebook.add_task_cell(*place, **worth)
            if nbgrader.grade:
                gradebook.add_grade_cell(*place, **worth)
            if nbgrader.solution:
                gradebook.add_solution_cell(*place)
        for student in STUDENTS:
            gradebook.add_student(student)
            after = dt.timedelta(days=1 if student != "early" else -1)
            gradebook.add_submission(ASSIGNMENT, student, timestamp=DUE + after)
        by_hand = gradebook.find_grade("passed", "exercises", ASSIGNMENT, "graded_by_hand")
        by_hand.manual_score, by_hand.needs_manual_grade = 0.5, False
        told = gradebook.find_comment("u", "exercises", ASSIGNMENT, "graded_by_hand")
        told.manual_comment = "See me."
        before = gradebook.find_submission(ASSIGNMENT, "penalised_before")
        before.timestamp = None
        for notebook in before.notebooks:
            notebook.late_submission_penalty = 1.0
        gradebook.db.commit()
    return database


def course_with(gradebook, folder):
    """Return a course folder in which timestamps say what the gradebook has of them."""
    shutil.copy(gradebook, folder)
    for student in STUDENTS[:3]:
        handed_in = folder / "submitted" / student / ASSIGNMENT
        handed_in.mkdir(parents=True)
        (handed_in / "timestamp.txt").write_text(f"{DUE} UTC")
    return folder


@pytest.fixture
def course(marked, tmp_path):
    return course_with(marked, tmp_path)


def rows(root):
    connection = sqlite3.connect(root / "gradebook.db")
    try:
        return [sorted(connection.execute(query).fetchall(), key=repr) for query in QUERIES]
    finally:
        connection.close()


class Exporter(Configurable):
    """What preprocessors look for in theirs: the gradebook of the run."""

    def __init__(self, root, config):
        super().__init__(config=config)
        self.run = SimpleNamespace(gradebook=RunGradebook(CourseDirectory(root=str(root))))


def save(root, preprocessors, penalty="none"):
    """Save each student's notebooks with the given preprocessors; return all rows."""
    exporter = Exporter(root, Config({"LateSubmissionPlugin": {"penalty_method": penalty}}))
    for student in STUDENTS:
        for name, notebook in (("exercises", executed_notebook()), ("theory", notebook_of())):
            names = {
                "student": student,
                "assignment": ASSIGNMENT,
                "notebook": name,
                "db_url": f"sqlite:///{root}/gradebook.db",
            }
            for preprocessor in preprocessors:
                preprocessor(parent=exporter).preprocess(notebook, {"nbgrader": names})
    return rows(root)


@pytest.mark.parametrize("penalty", ["none", "zero"])
def test_the_same_rows_as_with_nbgraders_own(course, tmp_path_factory, penalty):
    stock = tmp_path_factory.mktemp("stock")
    shutil.copy(course / "gradebook.db", stock)
    before = rows(course)
    ours = save(course, [SaveGrades, AssignPenalties], penalty)
    assert ours == save(stock, [SaveAutoGrades, AssignLatePenalties], penalty)
    assert all(new != old for new, old in zip(ours, before, strict=True))


def test_a_rubric_waits_in_formgraders_comment_box_and_is_not_told_to_learners(course):
    statement = nbformat.v4.new_markdown_cell(f"Why?\n\n{RUBRIC}\n\n- a reason\n- a number")
    statement.metadata.nbgrader = {"grade_id": "written__statement", "locked": True}
    names = {"student": "early", "assignment": ASSIGNMENT, "notebook": "exercises"}
    exporter = Exporter(course, Config())
    told = []
    for answered in (True, False):
        notebook = executed_notebook()
        notebook.cells.insert(0, statement)
        answer = next(cell for cell in notebook.cells if grade_id_of(cell) == "written")
        if not answered:
            answer.metadata.nbgrader["checksum"] = compute_checksum(answer)
        SaveGrades(parent=exporter).preprocess(notebook, {"nbgrader": names})
        with exporter.run.gradebook.open() as gradebook:
            where = ("exercises", ASSIGNMENT, "early")
            told.append(gradebook.find_comment("written", *where).auto_comment)
            learners = comments_of(gradebook, ASSIGNMENT, "early", "exercises")
            assert learners.get("written") == (None if answered else "No response.")
    assert told == ["Rubric:\n- a reason\n- a number", "No response."]


def test_a_second_grading_changes_nothing(course):
    once = save(course, [SaveGrades, AssignPenalties], "zero")
    assert save(course, [SaveGrades, AssignPenalties], "zero") == once


def test_a_notebook_is_saved_whole_or_not_at_all(course):
    notebook = executed_notebook()
    notebook.cells.append(code_cell("pass", "nobody_knows_me"))
    names = {"student": "early", "assignment": ASSIGNMENT, "notebook": "exercises"}
    before = rows(course)
    exporter = Exporter(course, Config())
    with pytest.raises(MissingEntry, match="nobody_knows_me"):
        SaveGrades(parent=exporter).preprocess(notebook, {"nbgrader": names})
    assert rows(course) == before


def test_no_connection_is_held_between_uses(course):
    exporter = Exporter(course, Config())
    with exporter.run.gradebook.open() as gradebook:
        gradebook.find_student("early")
    assert gradebook.engine.pool.checkedin() == gradebook.engine.pool.checkedout() == 0
    with exporter.run.gradebook.open() as again:
        assert again is gradebook and again.find_student("late").id == "late"


def test_what_the_course_says_is_read_once_a_run(course):
    run = Exporter(course, Config()).run.gradebook
    first = run.originals(ASSIGNMENT)
    assert first["exercises"].is_graded and not first["theory"].is_graded
    with run.open() as gradebook:
        gradebook.remove_notebook("theory", ASSIGNMENT)
    assert run.originals(ASSIGNMENT) is first
    assert Exporter(course, Config()).run.gradebook.originals(ASSIGNMENT).keys() == {"exercises"}


def test_an_assignment_that_the_gradebook_does_not_know_has_no_notebooks(course):
    assert Exporter(course, Config()).run.gradebook.originals("unheard_of") == {}
