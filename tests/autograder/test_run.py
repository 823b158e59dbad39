"""What submissions of one run share; whole runs are in tests/test_golden_class.py."""

import logging
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader.converters import autograde

from autograder import bank
from autograder.grading.ahead import Ahead
from autograder.grading.outcomes import NOT_GRADED, Outcome, load_outcome
from autograder.grading.own_work import CreditOwnWork
from autograder.grading.run import GradingRun
from autograder.grading.run_gradebook import RunGradebook

from .conftest import code_cell, notebook_of
from .small_course import NAME, fill_gradebook, gradebook_of, make, record


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
