"""The penalty for late work, alone and through a real `nbgrader autograde`."""

from datetime import datetime, timedelta

import pytest
from traitlets import TraitError
from traitlets.config import Config

from autograder.authoring.release import release
from autograder.course.commands import run_nbgrader
from autograder.exports import DailyPenalty

from .small_course import NAME, RIGHT, gradebook_of, hand_in, make

HOUR = 3600.0


@pytest.mark.parametrize(
    ("late_s", "taken"),
    [
        (1, None),
        (900, None),
        (901, 2),
        (24 * HOUR, 2),
        (24 * HOUR + 1, 4),
        (4 * 24 * HOUR, 8),
        (5 * 24 * HOUR, 10),
        (6 * 24 * HOUR, 10),
        (365 * 24 * HOUR, 10),
    ],
)
def test_a_tenth_for_each_day_that_began_and_half_at_most(late_s, taken):
    assert DailyPenalty().late_submission_penalty("s", 20.0, late_s) == taken


def test_never_more_than_was_earned_and_nothing_of_nothing():
    greedy = DailyPenalty(per_day=1.0, most=1.0)
    assert greedy.late_submission_penalty("s", 7.5, 10 * 24 * HOUR) == 7.5
    assert greedy.late_submission_penalty("s", 0.0, 10 * 24 * HOUR) == 0


def test_the_policy_is_a_matter_of_configuration():
    config = Config({"DailyPenalty": {"grace_minutes": 0.0, "per_day": 0.25, "most": 0.3}})
    policy = DailyPenalty(config=config)
    assert policy.late_submission_penalty("s", 100.0, 1) == 25
    assert policy.late_submission_penalty("s", 100.0, 25 * HOUR) == 30


@pytest.mark.parametrize("wrong", [{"per_day": 10}, {"most": -0.1}, {"grace_minutes": -1}])
def test_a_policy_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(TraitError, match=next(iter(wrong))):
        DailyPenalty(**wrong)


def test_autograde_takes_the_penalty_from_points_and_keeps_the_points(tmp_path):
    course = make(tmp_path)
    with (tmp_path / "nbgrader_config.py").open("a") as config:
        config.write('\nc.AssignLatePenalties.plugin_class = "autograder.exports.DailyPenalty"\n')
    release(course, NAME)
    due = datetime(2026, 12, 1, 12, 0)
    with gradebook_of(course) as gradebook:
        gradebook.find_assignment(NAME).duedate = due
        gradebook.db.commit()
    late = {
        "in_grace": timedelta(minutes=14),
        "next_day": timedelta(hours=30),
        "no_time": None,
    }
    for student, after in late.items():
        timestamp = None if after is None else f"{(due + after).isoformat(' ')} UTC"
        hand_in(course, student, timestamp, **RIGHT)
    done = run_nbgrader(course.root, "autograde", NAME)
    assert done.returncode == 0, done.stderr
    with gradebook_of(course) as gradebook:
        found = {}
        for student in late:
            submission = gradebook.find_submission(NAME, student)
            found[student] = (submission.score, submission.late_submission_penalty)
    assert found == {
        "in_grace": (5, 0),
        "next_day": (5, pytest.approx(1.0)),
        "no_time": (5, 0),
    }
