"""What a submission must hold, and what of it is left where it is."""

import base64
import errno
import os
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import InvalidEntry
from sqlalchemy.exc import SQLAlchemyError

from autograder.grading import submission
from autograder.grading.engine.service import EngineError, JobTooLong
from autograder.grading.reading import UnreadableNotebook
from autograder.grading.submission import (
    Owners,
    UngradableSubmission,
    beside,
    check_file,
    explain,
    fault_of,
    not_copied,
    refusal,
)

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


def invalid():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    notebook.cells[0].source = 7
    with pytest.raises(nbformat.ValidationError) as found:
        nbformat.validate(notebook)
    return found.value


@pytest.mark.parametrize(
    ("error", "told", "fault"),
    [
        (UngradableSubmission("x is a link"), "x is a link", ""),
        (UnreadableNotebook("is an empty file"), "n is an empty file", ""),
        (invalid(), "n is not a valid notebook: cells/0/source: 7 is not valid under", ""),
        (JobTooLong("not done after 9 s"), "n: the run went on beyond all limits (not done af", ""),
        (EngineError("gone\nmore"), "n: the engine failed twice (gone): look at the", "engine"),
        (OSError(28, "Full", "a\x1b"), "n: Full a?: see to the disk and the files' p", "machine"),
        (OSError("odd"), "n: odd: see to the disk", "machine"),
        (MemoryError("much"), "n: MemoryError: much", "machine"),
        (SQLAlchemyError("locked\nmore"), "n: SQLAlchemyError: locked", "machine"),
        (ValueError("v" * 300), f"n: ValueError: {'v' * 180}", ""),
    ],
    ids=lambda given: type(given).__name__,
)
def test_an_error_is_told_in_one_line_with_whose_fault_it_is(error, told, fault):
    said = explain(error, "n")
    assert said.startswith(told) and said.isprintable() and len(said) <= 250
    assert fault_of(error) == fault


def test_nbgraders_word_for_a_databases_error_is_the_machines_fault():
    assert fault_of(InvalidEntry("a name twice")) == ""
    wrapped = InvalidEntry("locked")
    wrapped.__context__ = SQLAlchemyError("locked")
    assert fault_of(wrapped) == "machine"


def test_a_link_and_a_folder_are_no_notebook(folder):
    (folder / "n.ipynb").symlink_to(folder / "data")
    for name, told in (("n.ipynb", "n.ipynb is a link"), ("data", "data is not a file")):
        with pytest.raises(UngradableSubmission, match=told):
            check_file(folder / name)


def test_a_folder_that_is_a_link_is_not_followed(folder):
    for link, whole in (("whose", "whose/handed in"), ("mine", "mine")):
        (folder.parent / link).symlink_to(folder.parent if link == "whose" else folder)
        told = refusal(folder.parent / whole, ["exercises"], NOBODY)
        assert told.startswith(f"{link} is a link (to {folder.parent}")


@pytest.fixture
def course(tmp_path):
    """Two submissions, of which the second links to the first, and to a file of the course's.

    An older copy of the first is nobody's, though links beside the students' folders lead to it.
    """
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "data.csv").write_text("ours")
    first, second = (tmp_path / "submitted" / name / "ch" for name in ("first", "second"))
    for number, handed_in in enumerate((first, second)):
        handed_in.mkdir(parents=True)
        if handed_in is first:
            (first / "exercises.ipynb").write_text("{}")
        else:
            os.link(first / "exercises.ipynb", second / "exercises.ipynb")
            os.link(tmp_path / "source" / "data.csv", second / "data.csv")
        os.utime(handed_in, (number, number))
    kept = tmp_path / "kept" / "ch"
    kept.mkdir(parents=True)
    os.link(first / "exercises.ipynb", kept / "exercises.ipynb")
    os.utime(kept, (0, 0))
    (tmp_path / "submitted" / "third").symlink_to(kept.parent)
    (tmp_path / "submitted" / "fourth").mkdir()
    (tmp_path / "submitted" / "fourth" / "ch").symlink_to(kept)
    return tmp_path


def test_work_under_two_names_is_whose_it_was_first(course):
    owners = Owners(course, course / "submitted", [course / "source", course / "gradebook.db"])
    first, second = (course / "submitted" / name / "ch" for name in ("first", "second"))
    told = "exercises.ipynb is the same file as submitted/first/ch/exercises.ipynb (a hard link)"
    assert refusal(second, ["exercises"], lambda: owners).startswith(told)
    assert refusal(first, ["exercises"], lambda: owners) == ""
    ours = (second / "data.csv").lstat()
    assert owners.of((ours.st_dev, ours.st_ino), first) == "source/data.csv"
    os.utime(first, (1, 1))  # which of the two was there first cannot be told
    for handed_in in (first, second):
        assert "hard link" in refusal(handed_in, ["exercises"], lambda: owners)
    assert owners.of((0, 0), first) is None


def test_files_beside_a_notebook_are_there_and_what_is_not_is_told(folder):
    (folder / "exercises.ipynb").write_text("{}")
    (folder / "large").write_bytes(b"x" * 11)
    (folder / "fits").write_bytes(b"x" * 10)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("")
    (folder / "servemath_helpers").mkdir()
    (folder / "servemath_helpers" / "x.py").write_text("")
    (folder / "servemath_helpers.py").write_text("")
    (folder / "link").symlink_to(folder / "data")
    os.mkfifo(folder / "pipe")
    os.link(folder / "fits", folder / "twice")
    os.link(folder / "data" / "Größe 1.csv", folder / "somebody's")
    found = beside(
        folder,
        without={"exercises.ipynb"},
        file_bytes=10,
        is_foreign=lambda path, inode: path.name == "somebody's" and inode[1] == path.stat().st_ino,
    )
    ten = base64.b64encode(b"x" * 10).decode()
    assert found.files == {"data/": "", "data/Größe 1.csv": "MQ==", "fits": ten, "twice": ten}
    assert [*found.files] == sorted(found.files)
    ours = "the course's own package is used"
    assert found.left_out == [
        "large (larger than 10 bytes)",
        "link (a link)",
        "pipe (no file)",
        f"servemath_helpers ({ours})",
        f"servemath_helpers.py ({ours})",
        "somebody's (a hard link to a file of somebody else's)",
    ]
    assert found.remark.startswith("not there when its code ran: large (larger than")


def test_a_file_beside_a_notebook_that_cannot_be_read_is_told(folder, monkeypatch):
    def closed(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", closed)
    found = beside(folder, without=(), file_bytes=10, is_foreign=lambda *_: False)
    assert found.files == {"data/": ""}
    assert found.left_out == ["data/Größe 1.csv (cannot be read: Permission denied)"]


@pytest.mark.parametrize(
    ("limit", "value", "kept"),
    [
        ("MAX_FILES", 2, ["a", "bb"]),
        ("MAX_FILES_BYTES", 6, ["a", "bb", "ccc"]),
        ("MAX_FILES_BYTES", 5, ["a", "bb"]),
        ("MAX_PATH_BYTES", 3, ["a", "bb", "ccc"]),
        ("MAX_PATH_BYTES", 2, ["a", "bb"]),
    ],
)
def test_of_too_much_the_smallest_files_are_there(tmp_path, monkeypatch, limit, value, kept):
    monkeypatch.setattr(submission, limit, value)
    for name in ("ccc", "bb", "a"):
        (tmp_path / name).write_text(name)
    found = beside(tmp_path)
    assert [*found.files] == kept and len(found.left_out) == 3 - len(kept)
    assert bool(found.remark) is (len(kept) < 3)
