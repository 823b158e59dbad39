"""Whatever arrives is graded, or told in one sentence that helps: files, fields, links."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autograder.course.commands import run_nbgrader
from autograder.gradebook.record import collect
from autograder.grading.outcomes import NOT_GRADED, UNFINISHED, Outcome, load_outcome
from autograder.grading.reading import UnreadableNotebook, read_notebook
from autograder.grading.run import GradingRun

from ..autograder.small_course import NAME, RIGHT, hand_in, make

FULL = 5.0


def solution(notebook, slug="double"):
    return next(
        cell
        for cell in notebook["cells"]
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == f"{slug}__solution"
    )


def everywhere(field, value):
    def change(notebook):
        for cell in notebook["cells"]:
            cell[field] = value

    return change


def on_metadata(field, value):
    def change(notebook):
        for cell in notebook["cells"]:
            cell["metadata"][field] = value

    return change


def at_top(field, value):
    return lambda notebook: notebook.update({field: value})


def in_notebook_metadata(field, value):
    return lambda notebook: notebook["metadata"].update({field: value})


def with_cell(**cell):
    return lambda notebook: notebook["cells"].insert(0, cell)


def without(field):
    return lambda notebook: [cell.pop(field, None) for cell in notebook["cells"]]


def old_format(notebook):
    """Turn a notebook into one of format 3, as IPython wrote it."""
    cells = [
        {
            "cell_type": cell["cell_type"],
            "metadata": cell["metadata"],
            "language": "python",
            "collapsed": False,
            "outputs": [{"output_type": "pyout", "prompt_number": 3}],
            ("input" if cell["cell_type"] == "code" else "source"): cell["source"],
        }
        for cell in notebook["cells"]
    ]
    heading = {"cell_type": "heading", "level": 2, "metadata": {}, "source": "Mine"}
    notebook.pop("cells")
    notebook.update(nbformat=3, nbformat_minor=0, worksheets=[{"cells": [heading, *cells]}])


def raw_solution(notebook):
    solution(notebook)["cell_type"] = "raw"


def junk_in_a_course_cell(notebook):
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("locked"):
            cell["source"] = 7


#: What editors, platforms and tools do to a notebook; nothing that the learner wrote is lost.
DECORATED = {
    "ids_missing": without("id"),
    "ids_doubled": everywhere("id", "same"),
    "id_with_a_dot": everywhere("id", "a.b#c"),
    "id_too_long": everywhere("id", "x" * 65),
    "id_a_number": everywhere("id", 7),
    "tags_null": on_metadata("tags", None),
    "tags_a_text": on_metadata("tags", "mine"),
    "tags_doubled": on_metadata("tags", ["a", "a"]),
    "jupyter_null": on_metadata("jupyter", None),
    "name_a_number": on_metadata("name", 3),
    "collapsed_a_text": on_metadata("collapsed", "no"),
    "outputs_null": everywhere("outputs", None),
    "outputs_missing": without("outputs"),
    "outputs_garbled": everywhere("outputs", [{"output_type": "odd", "data": None}, 3]),
    "count_a_text": everywhere("execution_count", "12"),
    "count_missing": without("execution_count"),
    "count_no_number": everywhere("execution_count", float("nan")),
    "more_fields": everywhere("prompt", {"deep": [1]}),
    "attachments_null": everywhere("attachments", None),
    "attachments_a_list": everywhere("attachments", [1]),
    "title_an_object": in_notebook_metadata("title", {"a": 1}),
    "lexer_only": in_notebook_metadata("language_info", {"pygments_lexer": "ipython3"}),
    "language_info_null": in_notebook_metadata("language_info", None),
    "kernel_null": in_notebook_metadata("kernelspec", None),
    "kernel_a_text": in_notebook_metadata("kernelspec", "python3"),
    "authors_a_text": in_notebook_metadata("authors", "me"),
    "metadata_a_list": at_top("metadata", []),
    "metadata_null": at_top("metadata", None),
    "minor_99": at_top("nbformat_minor", 99),
    "minor_null": at_top("nbformat_minor", None),
    "format_a_text": at_top("nbformat", "4"),
    "format_5": at_top("nbformat", 5),
    "old_format": old_format,
    "null_cell": lambda notebook: notebook["cells"].insert(1, None),
    "cell_without_metadata": with_cell(cell_type="code", source="x = 1"),
    "cell_of_no_type": with_cell(source="x = 1", metadata=None),
    "cell_of_a_new_type": with_cell(cell_type="sql", source="select 1", metadata={}),
    "heading": with_cell(cell_type="heading", level=1, source="Mine", metadata={}),
    "raw_source_null": with_cell(cell_type="raw", source=None, metadata={}),
    "sources_in_one_piece": lambda notebook: [
        cell.update(source="".join(cell["source"])) for cell in notebook["cells"]
    ],
    "raw_solution": raw_solution,
    "junk_in_a_course_cell": junk_in_a_course_cell,
    "forged_metadata": on_metadata("servemath", {"graded": True}),
}


@pytest.mark.parametrize(
    ("level", "marks"),
    [(1, 1), (2, 2), (6, 6), (2.0, 2), (0, 1), (7, 1), (None, 1), ("2", 1), ([], 1)],
    ids=repr,
)
def test_a_heading_of_an_old_format_is_one_of_markdown(tmp_path, level, marks):
    cell = {"cell_type": "heading", "level": level, "source": "Mine", "metadata": {}}
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}))
    (read,) = read_notebook(path)[0].cells
    assert (read.cell_type, read.source) == ("markdown", "#" * marks + " Mine")


def recoded(encoding, mark=b""):
    return lambda text: mark + text.encode(encoding)


#: What becomes of the file as a whole; the remark holds the words, if any.
WRITTEN = {
    "byte_order_mark": (recoded("utf-8", b"\xef\xbb\xbf"), ""),
    "utf_16": (recoded("utf-16"), ""),
    "utf_16_without_a_mark": (recoded("utf-16-be"), ""),
    "utf_32": (recoded("utf-32"), ""),
    "nul_bytes_at_the_end": (lambda text: text.encode() + b"\0" * 512, ""),
    "trailing_commas": (
        lambda text: text.replace('"\n}', '",\n}').replace("}\n ]", "},\n ]").encode(),
        "commas before closing brackets",
    ),
    "bad_bytes": (
        lambda text: (
            text.replace("return x + x", "return x + x  # gr@n")
            .encode()
            .replace(b"gr@n", b"gr\xfcn")
        ),
        "1 characters that are no valid text replaced",
    ),
    "half_a_pair": (
        lambda text: text.replace("return x + x", "return x + x  # \\ud83d").encode(),
        "1 characters that are no valid text replaced",
    ),
    "a_split_pair": (
        lambda text: text.replace("return x + x", "return x + x  # \\ud83d\\ude00").encode(),
        "",
    ),
    "as_the_server_sends_it": (
        lambda text: f'{{"type": "notebook", "content": {text}}}'.encode(),
        "",
    ),
    "text_of_text": (lambda text: json.dumps(text).encode(), ""),
    "line_ends_in_texts": (lambda text: text.replace("\\n", "\n").encode(), ""),
    "crlf": (lambda text: text.replace("\\n", "\\r\\n").replace("\n", "\r\n").encode(), ""),
}


def conflicting(text):
    lines = text.splitlines()
    lines[9:10] = ["<<<<<<< HEAD", lines[9], "=======", lines[9], ">>>>>>> theirs"]
    return "\n".join(lines).encode()


def spoiled(change):
    def write(text):
        notebook = json.loads(text)
        change(notebook)
        return json.dumps(notebook).encode()

    return write


#: What cannot be read: the reason holds the words.
REFUSED = {
    "empty": (lambda _: b"", "is an empty file"),
    "blank": (lambda _: b" \n\0\0", "is an empty file"),
    "cut_short": (lambda text: text[:900].encode(), "not valid JSON"),
    "overwritten": (lambda text: text.replace("return", "ret\0rn").encode(), "not valid JSON"),
    "merge_conflict": (conflicting, r"merge conflict \(line 10\)"),
    "twice": (lambda text: (text + text).encode(), r"goes on where the notebook ends \(line \d+\)"),
    "lines": (
        lambda text: "\n".join(map(json.dumps, json.loads(text)["cells"])).encode(),
        "goes on where the notebook ends",
    ),
    "zip": (lambda _: b"PK\x03\x04 and so on", "is a zip archive, not a notebook"),
    "page": (lambda _: b"<!DOCTYPE html><p>Log in", "is a web page, not a notebook"),
    "script": (lambda _: b"def double(x): ...", "is text, not a notebook"),
    "a_list": (lambda _: b"[1, 2]", "is JSON but not a notebook"),
    "another_object": (lambda _: b'{"name": "me"}', "is JSON but not a notebook"),
    "cells_null": (spoiled(at_top("cells", None)), "has null in its field cells"),
    "cells_an_object": (spoiled(at_top("cells", {})), "has an object in its field cells"),
    "a_text_for_a_cell": (
        spoiled(lambda notebook: notebook["cells"].insert(1, "x = 1")),
        "has a text in the place of cell 2",
    ),
    "a_number_for_the_source": (
        spoiled(lambda notebook: solution(notebook).update(source=7)),
        r"has a number in the field source of cell 3 \(double__solution\)",
    ),
    "a_number_among_the_lines": (
        spoiled(lambda notebook: solution(notebook).update(source=["x", True, 7])),
        "has true or false among its lines in the field source",
    ),
    "deep": (lambda _: b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
}


def using(code):
    """Return solutions that need what lies beside the notebook, and are right with it."""
    return {**RIGHT, "double": f"{code}\n\n\ndef double(x):\n    return TWO * x\n"}


NOTEBOOK_WITH_TWO = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "source": "TWO = 2", "metadata": {}, "outputs": [], "id": "a",
             "execution_count": None}
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
)  # fmt: skip

#: Name -> code of the solution, files beside the notebook.
BESIDE = {
    "module": ("from my_helper import TWO", {"my_helper.py": "TWO = 2"}),
    "package": (
        "from tools.numbers import TWO",
        {"tools/__init__.py": "", "tools/numbers.py": "TWO = 2"},
    ),
    "text": ("TWO = len(open('notes.md').read())", {"notes.md": "ab"}),
    "data_in_a_folder": ("TWO = int(open('data/a/two.csv').read())", {"data/a/two.csv": "2"}),
    "run_notebook": ("%run other.ipynb", {"other.ipynb": NOTEBOOK_WITH_TWO}),
    "run_course_notebook": ("%run exercises2.ipynb", {"exercises2.ipynb": NOTEBOOK_WITH_TWO}),
    "run_script": ("%run -i script.py", {"script.py": "TWO = 2"}),
    "accents": (
        "TWO = int(open('Daten für mich [1].txt').read())",
        {"Daten für mich [1].txt": "2"},
    ),
    "empty_folder": ("import os\nos.rmdir('out')\nTWO = 2", {"out/": ""}),
    "own_numpy": ("import numpy\nTWO = 2", {"numpy.py": "raise SystemExit"}),
    "own_course_package": (
        "from servemath_helpers.queueing import mm1\nTWO = round(mm1(1, 2)['rho'] * 4)",
        {"servemath_helpers/__init__.py": "", "servemath_helpers/queueing.py": "mm1 = None"},
    ),
}


def folder_of(course, student):
    return course.submitted / student / NAME


def write_all(course):
    for name in (*DECORATED, *WRITTEN, *REFUSED):
        hand_in(course, name, **RIGHT)
        path = folder_of(course, name) / "exercises.ipynb"
        text = path.read_text(encoding="utf-8")
        if name in DECORATED:
            notebook = json.loads(text)
            DECORATED[name](notebook)
            path.write_text(json.dumps(notebook))
        else:
            change, _ = {**WRITTEN, **REFUSED}[name]
            path.write_bytes(change(text))
    for name, (code, files) in BESIDE.items():
        hand_in(course, name, **using(code))
        for file, content in files.items():
            path = folder_of(course, name) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if file.endswith("/") else path.write_text(content, encoding="utf-8")
    write_links(course)
    hand_in(course, "blocked", **RIGHT)
    course.autograded.mkdir()
    (course.autograded / "blocked").write_text("a file where its folder should be")


def write_links(course):
    hand_in(course, "victim", **RIGHT)
    os.utime(folder_of(course, "victim"), (1, 1))  # it was there first
    (course.submitted / "linked_student").symlink_to("victim")
    (course.submitted / "linked_folder").mkdir()
    folder_of(course, "linked_folder").symlink_to(folder_of(course, "victim"))
    for name in ("linked_notebook", "broken_link", "hard_link"):
        folder_of(course, name).mkdir(parents=True)
    notebook = folder_of(course, "victim") / "exercises.ipynb"
    (folder_of(course, "linked_notebook") / "exercises.ipynb").symlink_to(notebook)
    (folder_of(course, "broken_link") / "exercises.ipynb").symlink_to("nowhere")
    (folder_of(course, "hard_link") / "exercises.ipynb").hardlink_to(notebook)
    hand_in(course, "links_beside", **using("import os\nTWO = 2 + len(os.listdir('data'))"))
    beside = folder_of(course, "links_beside")
    (beside / "data").mkdir()
    (beside / "data" / "gradebook.db").symlink_to(course.database)
    (beside / "all").symlink_to(course.root)
    (beside / "linked.ipynb").hardlink_to(course.source / NAME / "exercises.ipynb")
    os.mkfifo(beside / "pipe")
    (beside / "large.bin").touch()
    os.truncate(beside / "large.bin", 65 * 2**20)


#: Student -> what the reason says.
LINKS = {
    "linked_student": "linked_student is a link (to victim)",
    "linked_folder": f"{NAME} is a link (to ",
    "linked_notebook": "exercises.ipynb is a link, not a notebook",
    "broken_link": "exercises.ipynb is a link, not a notebook",
    "hard_link": f"is the same file as submitted/victim/{NAME}/exercises.ipynb (a hard link)",
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    course = make(tmp_path_factory.mktemp("arrivals"))
    write_all(course)
    done = run_nbgrader(course.root, "generate_assignment", NAME)
    assert done.returncode == 0, done.stderr
    done = run_nbgrader(course.root, "autograde", NAME)
    assert done.returncode == 1
    assert "did not finish" not in done.stderr
    return {one.student: one for one in collect(course, NAME).submissions}


@pytest.mark.parametrize("name", DECORATED)
def test_decoration_refuses_nothing(graded, name):
    assert (graded[name].reason, graded[name].total) == ("", FULL)


@pytest.mark.parametrize("name", WRITTEN)
def test_text_is_read_however_it_was_written(graded, name):
    assert (graded[name].reason, graded[name].total) == ("", FULL)
    remark = WRITTEN[name][1]
    assert [remark in said for said in graded[name].remarks] == ([True] if remark else [])


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_told_in_one_sentence(graded, name):
    one = graded[name]
    assert one.grades is None
    assert one.reason.startswith("exercises.ipynb ")
    with pytest.raises(AssertionError, match=REFUSED[name][1]):
        raise AssertionError(one.reason)


@pytest.mark.parametrize("name", BESIDE)
def test_files_beside_the_notebook_are_there_when_it_runs(graded, name):
    assert (graded[name].reason, graded[name].total) == ("", FULL)


def test_what_was_left_out_is_named(graded):
    (remark,) = graded["own_course_package"].remarks
    assert remark == (
        "not there when its code ran: servemath_helpers (the course's own package is used)"
    )
    assert graded["links_beside"].total == FULL
    (remark,) = graded["links_beside"].remarks
    for told in (
        "all (a link)",
        "data/gradebook.db (a link)",
        "large.bin (larger than 67,108,864 bytes)",
        "linked.ipynb (a hard link to a file of somebody else's)",
        "pipe (no file)",
    ):
        assert told in remark


@pytest.mark.parametrize("name", LINKS)
def test_a_link_to_somebody_elses_work_is_refused(graded, name):
    assert graded[name].grades is None
    assert LINKS[name] in graded[name].reason
    assert graded["victim"].total == FULL


def test_what_stops_nbgrader_itself_is_the_reason(graded):
    reason = graded["blocked"].reason
    assert reason.startswith("outside its notebook: ") and "autograded/blocked" in reason
    assert reason.endswith("see to the disk and the files' permissions, grade again")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "the command stopped before it: [Errno 28]"),
        (None, "nbgrader passed it over; the log says why"),
        (KeyboardInterrupt(), UNFINISHED),
        (SystemExit(1), UNFINISHED),
    ],
    ids=repr,
)
def test_only_a_command_that_was_killed_did_not_finish(tmp_path, error, reason):
    def convert_notebooks():
        if error is not None:
            raise error

    steps = ("init_destination", "init_assignment", "convert_single_notebook", "set_permissions")
    converter = SimpleNamespace(**dict.fromkeys(steps), convert_notebooks=convert_notebooks)
    run = object.__new__(GradingRun)
    run._converter, run._log = converter, SimpleNamespace(error=lambda *_: None)
    run._coursedir, run._opened = SimpleNamespace(root=str(tmp_path)), [("learner", NAME)]
    Outcome("learner", NAME, NOT_GRADED, UNFINISHED).save(tmp_path)
    run._watch_steps()
    try:
        converter.convert_notebooks()
    except BaseException as raised:
        assert raised is error
    assert load_outcome(tmp_path, NAME, "learner").reason.startswith(reason)


def test_a_chapter_without_a_release_is_told_in_a_sentence_whatever_the_path_holds(tmp_path):
    course = make(tmp_path)
    hand_in(course, "learner", **RIGHT)
    done = subprocess.run(
        [Path(sys.executable).with_name("nbgrader"), "autograde", NAME],
        cwd=tmp_path,
        env={**os.environ, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert f"servemath release {NAME}" in done.stderr.strip().splitlines()[-1]
    assert load_outcome(tmp_path, NAME, "learner") is None


def test_nobody_is_graded_as_if_the_course_had_no_engine(tmp_path):
    make(tmp_path)
    code = """
import sys
from nbgrader.apps.nbgraderapp import main
sys.modules["autograder"], sys.argv = None, ["nbgrader", "autograde", "x"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.endswith("First: source .venv/bin/activate\n") and "x" not in done.stdout


def test_an_empty_notebook_gets_the_course_cells_back(tmp_path):
    path = tmp_path / "exercises.ipynb"
    path.write_text('{"cells": []}')
    notebook, remarks = read_notebook(path)
    assert (notebook.cells, remarks) == ([], [])


@pytest.mark.parametrize(
    "data", [b"\xff", b"{", b'"', b"{}", b"[[]]", b"\x00" * 9, b'{"cells":[3]}']
)
def test_whatever_the_bytes_only_one_kind_of_error_comes(tmp_path, data):
    path = tmp_path / "exercises.ipynb"
    path.write_bytes(data)
    with pytest.raises(UnreadableNotebook):
        read_notebook(path)


def test_attachments_of_text_are_kept_and_others_are_told(tmp_path):
    cell = {"cell_type": "markdown", "source": "![](a.png)", "metadata": {}}
    good = {**cell, "attachments": {"a.png": {"image/png": ["AA", "=="]}}}
    bad = {**copy.deepcopy(cell), "attachments": {"a.png": {"image/png": 3}}}
    path = tmp_path / "exercises.ipynb"
    path.write_text(json.dumps({"cells": [good, bad]}))
    notebook, remarks = read_notebook(path)
    assert notebook.cells[0].attachments == {"a.png": {"image/png": "AA=="}}
    assert remarks == ["attachments of cell 2 cannot be read: left out"]
