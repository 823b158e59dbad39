import math

import pytest

from servemath_helpers.labs.frame.numbers import duration, ms_text, number_text, share
from servemath_helpers.labs.frame.words import Words, fill

WORDS = Words('''
title = """A lab
of two lines"""
lines = ["L < <<L>>", '$\\frac{1}{<<L>>}$']
[ask.double]
prompt = "<<lam_rps>> become?"
why = "L = <<L>>."
label = "<<claim>> in flight"
[ask.double.options]
same = "That is <<L>> as before."
twice = ""
[ask.stand]
prompt = "Which first?"
why = ""
[ask.stand.options]
a = ["A: <<L>>", "Noted."]
b = ["B", ""]
[[controls]]
key = "B"
label = "<<which>>: batch"
low = 1
high = 64
[[controls]]
key = "policy"
label = "Policy"
default = 4
choices = [4, ["four and four", 8]]
''')


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.5"),
        (9.999, "10"),
        (1189.45, "1\u202f190"),
        (-2.5, "−2.5"),
        (1e20, "1.00e+20"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_written_short(value, text):
    assert number_text(value) == text


def test_times_and_shares_are_written_with_their_unit():
    assert [duration(x) for x in (0, 0.0678, 3.31, 186.4, math.inf, None)] == [
        *("0 ms", "67.8 ms", "3.31 s", "3.11 min", "∞", "–"),
    ]
    assert [ms_text(x) for x in (999, 1000, 2e5, math.inf)] == ["999 ms", "1 s", "200 s", "∞"]
    assert [share(x) for x in (0.0312, 0.756, 0.9951, None)] == ["3.1 %", "76 %", "99.5 %", "–"]


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("<<x>>", 1234.5, "1\u202f230"),
        ("<<x>>", 1500, "1500"),
        ("<<x>>", "word", "word"),
        ("<<x:.1%>>", 0.123, "12.3%"),
        ("<<x_ms>>", 1500.0, "1.5 s"),
        ("<<x_s>>", None, "–"),
        ("<<x_ms:g>>", 20.0, "20"),
        ("<<x_bytes>>", 42e9, "42 GB"),
        ("<<x_tok_s>>", 946.83, "946.8"),
        ("<<x_share>>", 0.9, "90 %"),
        ("<<x_times>>", 2.917, "2.9×"),
        ("$2 << 3$ <<x>>", "", "$2 << 3$ "),
    ],
)
def test_a_value_is_written_as_its_name_or_its_format_says(text, value, written):
    assert fill(text, **dict.fromkeys(("x", "x_ms", "x_s", "x_bytes", "x_tok_s", "x_share",
                                       "x_times"), value)) == written  # fmt: skip


def test_a_name_without_a_value_is_named():
    with pytest.raises(ValueError, match=r"<<lam>> has no value in 'λ <<lam>>', given: \['L'\]"):
        fill("λ <<lam>>", L=1)


def test_texts_are_found_by_their_path_and_their_lines_joined():
    assert WORDS.say("title") == "A lab of two lines"
    assert WORDS.paragraphs("lines", L=2) == "<p>L &lt; 2</p><p>$\\frac{1}{2}$</p>"
    for path in ("ask.none", "title.more"):
        with pytest.raises(ValueError, match=f"have no '{path}'"):
            WORDS.say(path)


def test_a_question_has_its_right_option_from_the_model():
    claims = {"same": 80.0, "twice": 160.0}
    asked = WORDS.ask("ask.double", 160.0, claims, lambda claim: {"L": claim / 2}, lam_rps=40, L=80)
    assert (asked.key, asked.prompt, asked.why, asked.answer) == (
        *("double", "40 become?", "L = 80.", "twice"),
    )
    assert [(o.label, o.value) for o in asked.options] == [
        ("80 in flight", 80.0),
        ("160 in flight", 160.0),
    ]
    assert asked.options[0].feedback == "That is 40 as before."


def test_an_option_claims_its_own_key_and_a_stand_has_no_wrong_one():
    assert WORDS.ask("ask.stand", "b", L=1).answer == "b"
    stand = WORDS.ask("ask.stand", None, L=1)
    assert stand.answer is None and stand.options[0].label == "A: 1"


def test_controls_take_defaults_of_their_own_or_from_the_story():
    batch, policy = WORDS.controls("controls", prefix="a_", defaults={"B": 8}, which="A")
    assert (batch.key, batch.label, batch.default, batch.high) == ("a_B", "A: batch", 8, 64)
    assert policy.choices == (("4", 4), ("four and four", 8)) and policy.default == 4
