"""The penalty for late work; through a real `nbgrader autograde`: tests/field/test_times.py."""

import pytest
from traitlets import TraitError
from traitlets.config import Config

from autograder.exports import DailyPenalty

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
