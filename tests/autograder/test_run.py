"""What submissions of one run share; whole runs are in tests/test_golden_class.py."""

from types import SimpleNamespace

import pytest
from nbgrader.converters import autograde

from autograder.grading.run import GradingRun
from autograder.grading.run_gradebook import RunGradebook

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
