"""Questions of the theory: a miss is told its kind, then a hint, then the worked answer."""

import json

import pytest

from servemath_helpers import questions
from servemath_helpers.questions import check_yourself

QUESTIONS = {
    "7.1": {
        "asks": "wait in ms",
        "right": 30.0,
        "mistakes": [["that is the time in the system", 40.0]],
        "hint": "rho first.",
        "worked": "1.5 times 2 times 10: 30 ms.",
    },
    "7.2": {"asks": "replicas", "right": 27, "mistakes": [], "hint": "h", "worked": "27."},
    "7.3": {"asks": "share", "right": 0.2, "mistakes": [], "hint": "h", "worked": "0.2."},
    "7.4": {"asks": "which", "right": "host", "mistakes": [], "hint": "h", "worked": "host."},
    "7.5": {"asks": "GB", "right": 2.6843, "mistakes": [], "hint": "h", "worked": "2.6843."},
    "7.7": {"asks": "s", "right": 31.25, "mistakes": [], "hint": "h", "worked": "31.25."},
    "7.8": {"asks": "errors", "right": 4, "mistakes": [], "hint": "h", "worked": "4."},
    "7.9": {"asks": "balance", "right": -4.5, "mistakes": [], "hint": "h", "worked": "-4.5."},
    "7.6": {"asks": "load", "right": 1.0, "mistakes": [], "hint": "h", "worked": "1."},
}


@pytest.fixture
def told(monkeypatch, tmp_path, capsys):
    """Return what is said to an answer, in a kernel that has seen no other."""
    (tmp_path / "ch7.json").write_text(json.dumps(QUESTIONS), encoding="utf-8")
    (tmp_path / "notes.txt").touch()
    monkeypatch.setenv(questions.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(questions, "_missed", {})
    questions._questions.cache_clear()

    def tell(name, answer):
        check_yourself(name, answer)
        return capsys.readouterr().out.removesuffix("\n")

    yield tell
    questions._questions.cache_clear()


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("7.1", None, "… 7.1, wait in ms: not answered yet"),
        ("7.1", ..., "… 7.1, wait in ms: not answered yet"),
        ("7.1", 30.05, "✓ 7.1, wait in ms: right"),
        ("7.4", " Host", "✓ 7.4, which: right"),
        ("7.1", " ? ", "7.1, wait in ms: 1.5 times 2 times 10: 30 ms."),
    ],
)
def test_an_answer_is_marked(told, name, answer, said):
    assert told(name, answer) == said


@pytest.mark.parametrize(
    ("name", "answer", "kind"),
    [
        ("7.1", 40, "that is the time in the system"),
        ("7.1", 0.03, "that is off by a power of a thousand: look at the units"),
        ("7.1", -30, "the sign is wrong"),
        ("7.1", 0.0333, "that is the reciprocal: look at what is divided by what"),
        ("7.7", 62.5, "that is off by a factor of two"),
        ("7.7", 976.6, "a square or a root is in the wrong place"),
        ("7.1", "30", "a number is asked: leave out quotation marks and units"),
        ("7.2", 28, "that is one off: look at what is counted, and at how it is rounded"),
        ("7.2", 26.0, "that is one off: look at what is counted, and at how it is rounded"),
        ("7.3", 20, "that is off by a hundred: a share is not a percentage"),
        ("7.3", 0.801, "that is the complement: the share of the others"),
        ("7.5", 2.5, "powers of 1000 and of 1024 are mixed up"),
    ],
)
def test_the_first_miss_is_told_its_kind_and_nothing_else(told, name, answer, kind):
    said = told(name, answer)
    assert said.endswith(f": not yet, you answered {answer!r:.12}: {kind}.") or kind in said
    assert "Hint" not in said
    assert "worked" not in said


@pytest.mark.parametrize(
    ("name", "answer", "where"),
    [
        ("7.1", 31, ": that is not it, and too large"),
        ("7.1", 60, ": that is not it, and too large"),  # not plainly twice: a short number
        ("7.1", 900, ": that is not it, and far too large"),
        ("7.1", 0, ": that is not it: look at the sign, and at what can be 0"),
        ("7.3", 0.8, ": that is not it, and too large"),
        ("7.8", 3, ": that is not it, and too small"),  # not plainly one off: a small count
        ("7.6", 0.01, ": that is not it, and far too small"),
        ("7.9", 3, ""),
        ("7.6", float("inf"), ""),
        ("7.4", "recompute", ""),
        ("7.2", [7], ""),
        ("7.2", True, ""),
    ],
)
def test_a_miss_of_no_plain_kind_is_told_the_side_alone(told, name, answer, where):
    said = told(name, answer)
    assert said.split("you answered ")[1].partition(": ")[1:] == tuple(
        f"{where}. A second try that misses gets a hint.".partition(": ")[1:]
    )
    assert said.endswith(f"{where}. A second try that misses gets a hint.")


def test_the_second_miss_gets_the_hint_whatever_was_answered(told):
    hint = 'Hint: rho first. The worked answer: answer = "?".'
    assert "Hint" not in told("7.1", 40)
    assert told("7.1", 40).endswith(f"40: that is the time in the system. {hint}")
    assert told("7.1", 32).endswith(f"32: that is not it, and too large. {hint}")
    assert "Hint" not in told("7.2", 8)


def test_a_question_that_is_not_there_is_named(told):
    with pytest.raises(ValueError, match=r"name must be a question .*, got '7.5.1'; known: 1.0, "):
        told("7.5.1", 1)
