import pytest

from servemath_helpers.labs.frame import journey
from servemath_helpers.labs.frame.journey import Stage
from servemath_helpers.labs.frame.ledger import Ledger


def stage(correct=True, confidence=4, kind="prediction", lab="lab4"):
    return Stage(lab, "1 · Invariant", kind, "double", "160 in flight", correct, confidence)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.json")
    for lab, correct in (("lab4", True), ("lab3", False)):
        row = {
            "part": "1",
            "kind": "prediction",
            "question": "double",
            "label": "<160>",
            "correct": correct,
            "confidence": 3,
        }
        stand = {**row, "kind": "reflection", "correct": None, "confidence": None}
        ledger.save(lab, "ada", {"journey": [row, stand]})
    ledger.save("lab9", "ada", {"L": 1})
    return ledger


def test_a_journey_goes_over_all_labs_of_one_learner(ledger):
    rows = journey.stages(ledger, "ada")
    assert [(row.lab, row.kind, row.correct) for row in rows] == [
        ("lab3", "prediction", False),
        ("lab3", "reflection", None),
        ("lab4", "prediction", True),
        ("lab4", "reflection", None),
    ]
    assert journey.stages(ledger, "bob") == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([stage(), stage(False, 2)], "1 of 2 predictions right (mean confidence 4.0), 1 wrong "
         "(mean confidence 2.0)."),
        ([stage(False, None)], "0 of 1 predictions right, 1 wrong."),
        ([stage(kind="reflection")], "0 of 0 predictions right, none wrong."),
    ],
)  # fmt: skip
def test_a_summary_counts_predictions_and_averages_what_was_said(rows, sentence):
    assert journey.summary(rows) == sentence


def test_right_and_wrong_differ_in_marker_and_word():
    svg = journey.chart([stage(), stage(False, None)])
    assert "<circle" in svg and "<path" in svg and ">right<" in svg and ">wrong<" in svg
    assert "<circle" not in journey.chart([stage(False)])
    assert journey.chart([]).startswith("<svg")


def test_the_page_has_picture_sentence_and_table(ledger, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    journey.show(ledger, "ada")
    page = shown[0].data
    assert "<svg" in page and "&lt;160&gt;" in page and "<160>" not in page
    assert "1 of 2 predictions right" in page and "a stand" in page


def test_nobody_has_an_empty_page(ledger, capsys):
    journey.show(ledger, "bob")
    assert capsys.readouterr().out == "No run of bob is in the ledger yet.\n"
