import dataclasses

import numpy as np
import pytest

from servemath_helpers.labs.frame.lock import (
    LabError,
    Option,
    Question,
    freeze,
    lock_in,
    question,
    thaw,
)

OPTIONS = (
    Option("same", "80", 80, "That is L as a property of the hardware."),
    Option("twice", "160", 160),
    Option("square", "320", 320),
)
ASKED = Question("double", "Twice the arrivals?", OPTIONS, "twice", why="L = λW.")


def test_frozen_data_keep_nothing_of_the_original():
    original = {"sizes": [1, {"deep": [2]}], "word": "x"}
    frozen = freeze(original)
    original["sizes"][1]["deep"].append(3)
    assert frozen["sizes"][1]["deep"] == (2,)
    with pytest.raises(TypeError):
        frozen["word"] = "y"


def test_a_dataclass_freezes_to_a_mapping_of_its_fields():
    @dataclasses.dataclass
    class Scenario:
        lam_rps: float
        sizes: list

    assert dict(freeze(Scenario(40.0, [1]))) == {"lam_rps": 40.0, "sizes": (1,)}
    assert freeze(Scenario) is Scenario


def test_thawed_data_are_plain_and_fit_into_json():
    frozen = freeze({"a": (1, np.float64(2.5)), "b": float("inf"), "c": float("nan"), "d": "x"})
    thawed = thaw(frozen)
    assert thawed == {"a": [1, 2.5], "b": None, "c": None, "d": "x"}
    assert type(thawed["a"][1]) is float


def test_the_right_option_is_the_one_with_the_computed_value():
    assert question("q", "?", OPTIONS, truth=4 * 80).answer == "square"


@pytest.mark.parametrize(
    ("options", "truth"),
    [(OPTIONS, 81), ((*OPTIONS, Option("also", "one hundred and sixty", 160)), 80)],
    ids=["nobody is right", "two say the same"],
)
def test_a_question_without_exactly_one_right_option_is_refused(options, truth):
    with pytest.raises(ValueError, match="must differ, and one must equal"):
        question("q", "?", options, truth)


@pytest.mark.parametrize(
    ("options", "answer", "message"),
    [
        (OPTIONS[:1], "same", "at least two"),
        ((OPTIONS[0], Option("same", "160", 160)), "same", "differ in their key"),
        ((OPTIONS[0], Option("twice", "80", 160)), "same", "differ in their label"),
        (OPTIONS, "none", "answer must be the key"),
    ],
)
def test_a_malformed_question_is_refused(options, answer, message):
    with pytest.raises(ValueError, match=message):
        Question("q", "?", options, answer)


def test_an_unknown_option_is_named_with_those_that_exist():
    with pytest.raises(LabError, match="double has no option 'x'; it has 1 to 3"):
        ASKED.option("x")


def test_the_order_of_options_depends_on_the_learner_and_only_on_the_learner():
    orders = {
        tuple(option.key for option in ASKED.shuffled(f"learner {n}").options) for n in range(60)
    }
    assert len(orders) == 6  # every order of three occurs
    assert ASKED.shuffled("ada") == ASKED.shuffled("ada")
    assert ASKED.shuffled("ada").right == ASKED.right


def test_a_locked_prediction_is_a_copy_that_nothing_changes():
    scenario = {"lam_rps": 40, "sizes": [1]}
    locked = lock_in(ASKED, "same", 3, scenario)
    scenario["sizes"].append(2)
    assert (locked.correct, locked.right_label, locked.why) == (False, "160", "L = λW.")
    assert locked.feedback == OPTIONS[0].feedback
    with pytest.raises(dataclasses.FrozenInstanceError):
        locked.chosen = "twice"
    assert locked.to_dict() == {
        "question": "double",
        "prediction": "same",
        "label": "80",
        "correct": False,
        "confidence": 3,
        "scenario": {"lam_rps": 40, "sizes": [1]},
    }


def test_a_choice_without_a_right_answer_is_neither_right_nor_wrong():
    stand = Question("priority", "?", OPTIONS[:2], answer=None)
    locked = lock_in(stand, "same")
    assert (locked.correct, locked.right_label, stand.right) == (None, "", None)
    assert dict(locked.scenario) == {}


@pytest.mark.parametrize("confidence", [0, 6, 2.5, "sure", True])
def test_confidence_is_a_whole_number_from_one_to_five(confidence):
    with pytest.raises(LabError, match="confidence must be"):
        lock_in(ASKED, "same", confidence)
