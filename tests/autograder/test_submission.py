"""What a submission must hold, and what of it is left where it is."""

import os

import pytest

from autograder.grading.submission import not_copied, refusal

#: Whose files those with several names are: none has.
NOBODY = None

ESCAPE = "clear\x1b[2Jscreen.txt"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "handed in"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "Größe 1.csv").write_text("1")
    return folder


def test_links_pipes_and_names_that_a_terminal_would_obey_are_not_copied(folder):
    (folder / ESCAPE).write_text("")
    (folder / "data" / "two\nlines").mkdir()
    (folder / "link").symlink_to(folder / "data")
    os.mkfifo(folder / "pipe")
    names = {path.name for path in not_copied(folder)}
    assert names == {ESCAPE, "two\nlines", "link", "pipe"}


def test_a_missing_notebook_is_told_with_what_is_there_instead_on_one_plain_line(folder):
    (folder / ESCAPE).write_text("")
    told = "exercises.ipynb is missing; the folder holds clear?[2Jscreen.txt, data"
    assert refusal(folder, ["exercises"], NOBODY) == told
    (folder / "exercises.ipynb").write_text("{}")
    assert refusal(folder, ["exercises"], NOBODY) == ""
