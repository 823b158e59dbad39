"""The bank as data: code whole or as changes, and mistakes in a file named."""

import re

import pytest

from autograder import bank
from autograder.cells import PARTS, CellName

HEAD = """
number = 1
title = "A function"
stars = 1
points = { visible = 0.5, hidden = 1.5 }
section = "1.1"
functions = ["f"]
[[right]]
name = "plain"
code = '''
def f(x):
    y = x + 1
    return y + 1
'''
[[wrong]]
name = "off"
misconception = "m"
hint = "h"
section = "1.1"
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return what loads a bank of one exercise, the entry of its wrong solution given."""
    monkeypatch.setattr(bank, "_FOLDER", tmp_path)
    (tmp_path / "ch").mkdir()

    def load(entry):
        (tmp_path / "ch" / "f.toml").write_text(HEAD + entry)
        (exercise,) = bank.load.__wrapped__("ch")
        return exercise

    return load


def test_a_wrong_solution_may_be_whole(read):
    assert read("code = 'def f(x): pass'").wrong[0].code == "def f(x): pass\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ('[["y + 1", "y"]]', "def f(x):\n    y = x + 1\n    return y\n"),
        (
            '[["y = x", "y = 2 * x"], ["y + 1", "y"]]',
            "def f(x):\n    y = 2 * x + 1\n    return y\n",
        ),
        ("[['''\n    y = x + 1\n''', \"\"], [\"y + 1\", \"x\"]]", "def f(x):\n    return x\n"),
    ],
)
def test_changes_to_a_right_solution_become_whole_code(read, change, code):
    exercise = read(f'of = "plain"\nchange = {change}')
    assert exercise.wrong[0].code == code
    assert exercise.right[0].code == "def f(x):\n    y = x + 1\n    return y + 1\n"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            'of = "plain"\nchange = [["x - 1", "x"]]',
            "'x - 1' must occur once in plain, found 0 times",
        ),
        ('of = "plain"\nchange = [["+ 1", ""]]', "'+ 1' must occur once in plain, found 2 times"),
        ('of = "plain"\nchange = [["y + 1", "y"], ["y + 1", "y"]]', "found 0 times"),
        ('of = "plain"\nchange = [["", "y"]]', "change must be pairs [old, new] of texts"),
        ('of = "plain"\nchange = ["x", "y"]', "change must be pairs [old, new] of texts"),
        ('of = "plain"\nchange = [["x"]]', "change must be pairs [old, new] of texts"),
        ('of = "plain"\nchange = 1', "not iterable"),
        (
            'of = "plane"\nchange = [["x", "y"]]',
            "of must name a right solution with code, got 'plane'",
        ),
        ('of = "off"\nchange = [["x", "y"]]', "of must name a right solution with code, got 'off'"),
        ('of = "plain"', "an entry has code, or of and change; this one has ['of']"),
        ("", "an entry has code, or of and change; this one has []"),
        ("code = ''\nof = 'plain'\nchange = []", "this one has ['change', 'code', 'of']"),
        ("code = ''\nhind = 'h'", "it knows no hind"),
    ],
)
def test_a_mistake_names_the_file_and_the_entry(read, entry, message):
    with pytest.raises(ValueError, match=r"^f\.toml is not a bank file: wrong off: ") as caught:
        read(entry)
    assert re.search(re.escape(message), str(caught.value))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("number = 1\n", "", "it lacks number"),
        ("number = 1\n", "number = 0\n", "number must be a whole number from 1 on, got 0"),
        ('"A function"', '""', "title must be a text, got ''"),
        ("title", "titel", "it lacks title"),
        ("stars = 1", "stars = 4", "stars must be 1, 2 or 3, got 4"),
        (
            "visible = 0.5, ",
            "",
            "points must be { visible = ..., values = ..., edges = ..., refused",
        ),
        ("hidden = 1.5", "values = 1.5", "or { visible = ..., hidden = ... }, got {"),
        ("hidden = 1.5", "edges = 1, refused = 0.5", "points must be { visible"),
        ("hidden = 1.5", "hidden = 1, refused = 0.5", "points must be { visible"),
        ("hidden = 1.5", 'hidden = "1.5"', "points must be"),
        ('section = "1.1"\nf', 'section = "1"\nf', "section must be a section of theory"),
        ("functions =", 'also = ["x"]\nfunctions =', "also must be sections of theory"),
        ('["f"]', "[]", "functions must be the names of the functions to write"),
        ("stars =", "level = 2\nstars =", "it knows no level"),
        ("stars =", 'slug = "f"\nstars =', "leave slug out"),
        ("stars = 1", "stars 1", "Expected '='"),
        ('hint = "h"\n', "", "wrong off: it lacks hint"),
    ],
)
def test_what_a_record_lacks_or_does_not_know_is_said(read, monkeypatch, old, new, message):
    assert HEAD.count(old) >= 1
    monkeypatch.setitem(globals(), "HEAD", HEAD.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"^f\.toml is not a bank file: ") as caught:
        read("code = ''")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("points", "worth"),
    [
        ("hidden = 1.5", {"anything": 1.5}),
        ("values = 0.75, edges = 0.5, refused = 0.25", {"values": 0.75, "refused": 0.25}),
        ("refused = 0.25, values = 1.25", {"values": 1.25, "refused": 0.25}),
    ],
)
def test_hidden_points_may_be_split_by_what_is_tested(read, monkeypatch, points, worth):
    monkeypatch.setitem(globals(), "HEAD", HEAD.replace("hidden = 1.5", points))
    exercise = read("code = ''")
    assert {prop: exercise.worth(CellName("f", "hidden", prop)) for prop in worth} == worth
    assert exercise.hidden_points == 1.5
    assert exercise.hidden_cells == points.count("=")
    if exercise.parts:
        assert list(exercise.parts) == [part for part in PARTS if part in points]
        with pytest.raises(ValueError, match="a hidden cell of f must be one of values, "):
            exercise.worth(CellName("f", "hidden", "anything"))
