"""The bank as data: code whole or as changes, and mistakes in a file named."""

import re

import pytest

from autograder import bank

HEAD = """
slug = "f"
number = 1
title = "A function"
stars = 1
section = "1.1"
functions = ["f"]
withheld = []
library = []
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
        ("code = ''\nhind = 'h'", "unexpected keyword argument 'hind'"),
    ],
)
def test_a_mistake_names_the_file_and_the_entry(read, entry, message):
    with pytest.raises(ValueError, match=r"^f\.toml is not a bank file: wrong off: ") as caught:
        read(entry)
    assert re.search(re.escape(message), str(caught.value))
