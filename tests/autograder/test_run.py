"""What submissions of one run share; whole runs are in tests/test_golden_class.py."""

from types import SimpleNamespace

from autograder.grading.run import GradingRun
from autograder.grading.run_gradebook import RunGradebook

from .small_course import NAME, fill_gradebook, gradebook_of, make, record


def test_who_cannot_be_graded_any_more_loses_the_old_score_and_waits_for_a_person(tmp_path):
    course = make(tmp_path)
    fill_gradebook(course)
    record(course, "now damaged", 1)
    record(course, "somebody else", 1)
    places = SimpleNamespace(
        db_url=course.database_url, source_directory="source", format_path=lambda *_: "nowhere"
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
