"""What submissions of one run share; whole runs are in tests/test_golden_class.py."""

import gc
import io
import logging
import shutil
from concurrent.futures import Future
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader.converters import autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Configurable

from autograder import bank
from autograder.grading.ahead import Ahead
from autograder.grading.engine import pipeline
from autograder.grading.engine.outputs import error_output
from autograder.grading.engine.service import EngineError
from autograder.grading.exporter import SubmissionExporter
from autograder.grading.outcomes import GRADED, NOT_GRADED, Outcome, load_outcome
from autograder.grading.own_work import CreditOwnWork
from autograder.grading.run import GradingRun
from autograder.grading.run_gradebook import RunGradebook

from ..shared import copy_of
from .conftest import code_cell, notebook_of
from .in_process import Formgrader
from .small_course import (
    NAME,
    RIGHT,
    WRONG,
    fill_gradebook,
    gradebook_of,
    hand_in,
    make,
    record,
    released,
)


def test_who_cannot_be_graded_any_more_loses_the_old_score_and_waits_for_a_person(tmp_path):
    course = make(tmp_path)
    fill_gradebook(course)
    record(course, "now damaged", 1)
    record(course, "somebody else", 1)
    places = SimpleNamespace(
        db_url=course.database_url,
        course_id="",
        source_directory="source",
        format_path=lambda *_: "nowhere",
    )
    run = object.__new__(GradingRun)  # one that starts no engine
    run.gradebook = RunGradebook(places)
    run.flag_for_a_person({"assignment": NAME, "student": "now damaged"})
    run.flag_for_a_person({"assignment": NAME, "student": "not in the gradebook yet"})
    with gradebook_of(course) as gradebook:
        grades = gradebook.find_submission(NAME, "now damaged").notebooks[0].grades
        assert [grade.auto_score for grade in grades] == [None] * 4
        assert all(grade.needs_manual_grade for grade in grades)
        others = gradebook.find_submission(NAME, "somebody else").notebooks[0].grades
        assert sum(grade.auto_score for grade in others) == 5
        assert not any(grade.needs_manual_grade for grade in others)


def test_nbgrader_is_lent_one_gradebook_for_all_its_questions(tmp_path):
    course = make(tmp_path)
    fill_gradebook(course)
    lender = RunGradebook(SimpleNamespace(db_url=course.database_url, course_id="c"))
    own = autograde.Gradebook
    with pytest.raises(ZeroDivisionError), lender.lent_to(autograde):
        opened = []
        for _ in range(2):
            with autograde.Gradebook(course.database_url, "c") as gradebook:
                assert gradebook.find_assignment(NAME).name == NAME
                opened.append(gradebook)
        assert opened == [lender.open()] * 2
        assert opened[0].course_id == "c"
        _ = 1 / 0
    assert autograde.Gradebook is own


class Runner:
    """Stands for the engine: tests of `x ** 2` fail, all others pass."""

    slots = 2
    made = ()

    def __init__(self, spec, **_how):
        self.closed, self.jobs = False, []
        Runner.made = (*Runner.made, self)

    def submit(self, job):
        self.jobs.append(job)
        wrong = any("x ** 2" in cell["source"] for cell in job["cells"])
        cells = {}
        for number, cell in enumerate(job["cells"], 1):
            ran = {"outputs": [], "count": number, "seconds": 0.5, "stopped": False}
            if wrong and cell["kind"] == "test" and cell["slug"] == "double":
                ran["outputs"] = [error_output("AssertionError", "no")]
            cells[cell["id"]] = ran
        of_run = {"replaced": [], "overwritten": [], "wall": "no jail"}
        own_work = {"relying": {}, "compares": [], "unclear": []}
        future = Future()
        future.set_result(
            {"cells": cells, "incidents": {}, "transcripts": {}, "own_work": own_work, **of_run}
        )
        return future

    def close(self):
        self.closed = True


@pytest.fixture
def class_of_six(tmp_path_factory, tmp_path, monkeypatch):
    """A course and how nbgrader grades it: two handed in as they should, four did not."""
    course = copy_of(released(tmp_path_factory), tmp_path / "course")
    for student, solutions in {"a_right": RIGHT, "b_wrong": WRONG, "e_half": RIGHT}.items():
        hand_in(course, student, **solutions)
    hand_in(course, "f_left_out", **RIGHT)
    for student in ("c_damaged", "d_nothing"):
        (course.submitted / student / NAME).mkdir(parents=True)
    (course.submitted / "c_damaged" / NAME / "exercises.ipynb").write_text("{")
    (course.submitted / "d_nothing" / NAME / "exercises.ipynb.txt").write_text("")
    half = course.root / "autograded" / "e_half" / NAME
    half.mkdir(parents=True)
    (half / "exercises.ipynb").write_text("{}")
    monkeypatch.chdir(course.root)
    monkeypatch.setattr(pipeline, "LocalRunner", Runner)
    monkeypatch.setattr(Runner, "made", ())

    def grade(**settings):
        settings = {"student_id_exclude": "f_left_out", **settings}
        without = {"jail": False, "allow_unsandboxed": True}
        config = Formgrader(course.root, CourseDirectory=settings, ExecuteGraded=without).config
        where = CourseDirectory(config=config, assignment_id=settings.get("assignment_id", NAME))
        autograde.Autograde(coursedir=where, config=config).start()

    return course, grade


def told(course):
    """Return what each outcome says: its status, the reason, whose fault it was."""
    found = (course.root / "outcomes" / NAME).glob("*.json")
    outcomes = [load_outcome(course.root, NAME, path.stem) for path in sorted(found)]
    return {kept.student: (kept.status, kept.reason, kept.fault) for kept in outcomes}


def scores(course):
    with gradebook_of(course) as gradebook:
        return {one.student.id: one.score for one in gradebook.assignment_submissions(NAME)}


def test_a_run_grades_who_can_be_graded_and_tells_why_others_cannot(class_of_six, caplog):
    course, grade = class_of_six
    frozen = gc.get_freeze_count()
    with pytest.raises(NbGraderException):
        grade()
    assert gc.get_freeze_count() <= frozen
    said = told(course)
    graded = (GRADED, "", "")
    assert {student: said.pop(student) for student in ("a_right", "b_wrong", "e_half")} == {
        "a_right": graded, "b_wrong": graded, "e_half": graded,
    }  # fmt: skip
    assert said.pop("c_damaged")[1].startswith("exercises.ipynb is not valid JSON")
    missing = "exercises.ipynb is missing; the folder holds exercises.ipynb.txt"
    assert said == {"d_nothing": (NOT_GRADED, missing, "")}
    assert {name: of for name, of in scores(course).items() if of} == {
        "a_right": 5, "b_wrong": 2, "e_half": 5,
    }  # fmt: skip
    (engine,) = Runner.made
    assert engine.closed and len(engine.jobs) == 2  # the same work twice is run once
    assert "e_half was left half graded and is graded again" in caplog.text
    assert "f_left_out" not in caplog.text

    # What is graded stays; what was not is tried again.
    hand_in(course, "c_damaged", **{**RIGHT, "half": "def half(x):\n    return x / 2\n"})
    with pytest.raises(NbGraderException):
        grade()
    assert told(course)["c_damaged"] == graded and scores(course)["c_damaged"] == 5
    assert [len(engine.jobs) for engine in Runner.made] == [2, 1]


@pytest.mark.parametrize(
    ("name", "error", "fault"),
    [("init_assignment", OSError(28, "Full"), "machine"), ("set_permissions", KeyError("x"), "")],
)
def test_what_stops_a_submission_in_nbgraders_hands_is_kept(
    class_of_six, name, error, fault, monkeypatch
):
    course, grade = class_of_six
    real = getattr(autograde.Autograde, name)

    def failing(self, assignment, student):
        if student == "a_right":
            raise error
        return real(self, assignment, student)

    monkeypatch.setattr(autograde.Autograde, name, failing)
    with pytest.raises(NbGraderException):
        grade()
    status, reason, whose = told(course)["a_right"]
    assert (status, whose) == (NOT_GRADED, fault) and reason.startswith("outside its notebook: ")
    assert told(course)["b_wrong"] == (GRADED, "", "")


def test_a_step_that_fails_does_so_for_one_submission(monkeypatch):
    """nbgrader gives some of them assignment and student, and one a notebook's path."""
    stopped, run = [], object.__new__(GradingRun)

    def fail(*_):
        raise KeyError("x")

    steps = dict.fromkeys(("init_destination", "init_assignment", "set_permissions"), ("a", "s"))
    steps["convert_single_notebook"] = ("/course/autograded/s/a/n.ipynb",)
    run._converter = SimpleNamespace(**dict.fromkeys((*steps, "convert_notebooks"), fail))
    monkeypatch.setattr(run, "_stopped_outside", lambda *whose: stopped.append(whose[:2]))
    run._watch_steps()
    for step, names in steps.items():
        with pytest.raises(KeyError):
            getattr(run._converter, step)(*names)
    assert stopped == [("s", "a")] * 4


def test_a_run_that_cannot_begin_says_so_of_every_submission(class_of_six, monkeypatch):
    course, grade = class_of_six

    def broken(spec, **_how):
        raise EngineError("no engine today")

    monkeypatch.setattr(pipeline, "LocalRunner", broken)
    with pytest.raises(NbGraderException, match="no engine today"):
        grade()
    reasons = {told(course)[student][1:] for student in ("a_right", "b_wrong", "e_half")}
    assert reasons == {("grading could not begin: no engine today", "machine")}
    unknown = course.submitted / "a_right" / "ch0_unknown"
    shutil.copytree(course.submitted / "a_right" / NAME, unknown)
    with pytest.raises(NbGraderException, match="servemath release ch0_unknown makes the release"):
        grade(assignment_id="ch0_unknown")


def test_outside_of_a_run_notebooks_are_written_as_nbconvert_does():
    plain = SubmissionExporter(parent=Configurable())
    assert not hasattr(plain, "run")
    assert nbformat.reads(plain.from_notebook_node(notebook_of(code_cell("1")))[0], 4).cells


def test_what_was_sanitised_a_moment_ago_is_not_read_back():
    plain, whose = SubmissionExporter(parent=Configurable()), ("s", "a", "n")
    resources = {"nbgrader": dict(zip(("student", "assignment", "notebook"), whose, strict=True))}
    plain._sanitised[whose] = notebook_of(code_cell("kept"))
    file = io.StringIO(nbformat.writes(notebook_of(code_cell("read"))))
    texts = [plain.from_file(file, resources=resources)[0] for _ in range(2)]
    assert [nbformat.reads(text, 4).cells[0].source for text in texts] == ["kept", "read"]


def test_a_notebook_without_points_that_cannot_be_read_is_remarked_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = SubmissionExporter(parent=Configurable())
    names = {"student": "s", "assignment": NAME, "notebook": "theory"}
    damaged = tmp_path / "theory.ipynb"
    damaged.write_text("{")

    def empty():
        text, _ = plain._convert_ungraded(damaged, {"nbgrader": names}, plain.from_filename)
        return nbformat.reads(text, 4).cells == []

    assert empty() and load_outcome(tmp_path, NAME, "s") is None
    Outcome("s", NAME, remarks=["late"]).save(tmp_path)
    assert empty() and empty()
    remark = "theory.ipynb could not be read; it carries no points"
    assert load_outcome(tmp_path, NAME, "s").remarks == ["late", remark]


class Pipeline:
    """Notes what is handed in."""

    def __init__(self, slots):
        self.slots, self.handed_in = slots, []

    def hand_in(self, job):
        self.handed_in.append(job)


def mark(notebook, resources):
    notebook.cells[0].source += " by the course"
    return notebook, resources


@pytest.fixture
def submissions(tmp_path):
    """Return eight notebooks that were handed in; the third cannot be read."""
    paths = [tmp_path / name / "ch" / "exercises.ipynb" for name in "abcdefgh"]
    for path in paths:
        path.parent.mkdir(parents=True)
        nbformat.write(notebook_of(code_cell(f"mine = {path.parts[-3]!r}")), path)
    paths[2].write_text("")
    return paths


def ahead_of(submissions):
    parent = SimpleNamespace(
        sanitize_preprocessors=[lambda parent: mark],
        init_single_notebook_resources=lambda path: {"nbgrader": {"student": path}},
    )
    exporter = SimpleNamespace(parent=parent, log=logging.getLogger("test"))
    ahead = Ahead(exporter, lambda notebook, names: (names["student"], notebook.cells[0].source))
    ahead.expect(submissions)
    return ahead


def test_submissions_are_handed_in_twice_as_many_as_there_are_slots(submissions):
    ahead, pipeline = ahead_of(submissions), Pipeline(slots=1)
    seen = []
    for path in submissions[:2]:
        ahead.reach(path, pipeline)
        seen.append(len(pipeline.handed_in))
        notebook, resources = ahead.take(path)
        assert notebook.cells[0].source == f"mine = {path.parts[-3]!r} by the course"
        assert resources["metadata"] == {"name": "exercises", "path": str(path.parent)}
    assert seen == [2, 3]
    students = [path for path, _ in pipeline.handed_in]
    # One that cannot be read is passed over here, and says why in its own turn.
    assert students == [str(path) for path in (*submissions[:2], submissions[3])]
    with pytest.raises(Exception, match="is an empty file"):
        ahead.take(submissions[2])


def test_what_is_passed_over_is_not_waited_for(submissions):
    ahead, pipeline = ahead_of(submissions), Pipeline(slots=1)
    ahead.reach(submissions[0], pipeline)
    ahead.reach(submissions[1], pipeline)  # the first was not taken
    ahead.reach(submissions[5], pipeline)  # nor were these
    students = [path for path, _ in pipeline.handed_in]
    assert students == [str(submissions[number]) for number in (0, 1, 3, 5, 6)]
    ahead.reach(submissions[7], pipeline)
    ahead.reach(submissions[0], pipeline)  # once more, out of turn
    assert len(pipeline.handed_in) == 6 and pipeline.handed_in[-1][0] == str(submissions[7])


def test_an_outcome_that_is_damaged_says_so_and_one_that_is_not_there_is_none(tmp_path):
    assert load_outcome(tmp_path, "ch", "a") is None
    Outcome("a", "ch", NOT_GRADED, "why", ["look"], "wall", "engine").save(tmp_path)
    kept = load_outcome(tmp_path, "ch", "a")
    assert kept == Outcome("a", "ch", NOT_GRADED, "why", ["look"], "wall", "engine")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    for damage in ("{", '{"unheard": 1}'):
        path.write_text(damage)
        kept = load_outcome(tmp_path, "ch", "a")
        assert kept.status == NOT_GRADED and kept.reason.startswith(f"{path.name} is damaged (")


def test_what_the_engine_found_of_whose_work_it_is_reaches_points_and_remarks():
    chapter = "ch1_serving_tradeoffs"
    (exercise,) = (one for one in bank.load(chapter) if one.slug == "mm1")
    taken, kept = "mm1__visible__a", "mm1__visible__b"
    notebook = notebook_of(code_cell("1", taken), code_cell("1", kept), code_cell("1"))
    found = {
        "relying": {"mm1": [taken]},
        "compares": ["littles_law"],
        "unclear": [],
        "replaced": ["choose_batch", "mm1"],
        "overwritten": ["error_budget"],
    }
    resources = {"nbgrader": {"assignment": chapter}, "servemath": {"own_work": found}}
    CreditOwnWork().preprocess(notebook, resources)
    outputs = [cell.outputs for cell in notebook.cells]
    assert outputs[0][0].ename == "NoCredit" and outputs[1:] == [[], []]
    assert " or ".join(exercise.withheld) in outputs[0][0].evalue
    assert resources["servemath"]["remarks"] == [
        "no credit for calling the package's answer: mm1",
        "compares with the package's answer, and could not be judged without it: look at "
        "littles_law",
        "a later cell imported the package's; graded as the learner wrote it: choose_batch, mm1",
        "a later cell put a value in the place of the function: error_budget",
    ]
