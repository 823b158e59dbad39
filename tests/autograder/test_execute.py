"""Each limit, hit on purpose by a small notebook in a real kernel."""

import base64
import time
import uuid

import nbformat
import psutil
import pytest
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import determine_grade
from traitlets.config import Configurable

from autograder.course.folder import Course
from autograder.grading import execute
from autograder.grading.verdicts import SettleVerdicts

from .conftest import code_cell, notebook_of

TEST = "a__visible__works"


def errors(cell):
    return [output.ename for output in cell.outputs if output.output_type == "error"]


def remarks(resources):
    return resources["servemath"].get("remarks", [])


@pytest.mark.parametrize(
    ("cache", "in_a_course", "kept"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_results_are_kept_in_a_course_unless_they_must_not(
    cache, in_a_course, kept, folder, monkeypatch
):
    made = {}
    monkeypatch.setattr(execute, "Pipeline", lambda spec, **given: made.update(given, spec=spec))
    command = Configurable()
    if in_a_course:
        command.coursedir = CourseDirectory(root=str(folder))
    without = {"jail": False, "allow_unsandboxed": True}
    executor = execute.ExecuteGraded(parent=Configurable(parent=command), cache=cache, **without)
    executor.make_pipeline()
    assert made["store"] == (Course(folder).state / "results" if kept else None)
    assert (str(folder) in made["spec"].hidden) is in_a_course


@pytest.mark.parametrize("reads", ["", "open('theory.ipynb')", "import helper"])
def test_the_course_s_files_lie_over_those_handed_in(folder, reads):
    """Copies of its notebooks only for code, the learner's modules included, that may read one."""
    course, handed_in = folder / "source" / "ch", folder / "submitted" / "ada" / "ch"
    for place in (course, handed_in):
        place.mkdir(parents=True)
    for name in ("exercises.ipynb", "theory.ipynb", "data.csv"):
        (course / name).write_text("ours")
    (handed_in / "helper.py").write_text("text = open('theory.ipynb').read()" if reads else "")
    for name in ("exercises.ipynb", "theory.ipynb", "data.csv", "own.csv", "own.ipynb"):
        (handed_in / name).write_text("theirs")
    (handed_in / "linked.csv").hardlink_to(course / "data.csv")
    command = Configurable()
    command.coursedir = CourseDirectory(root=str(folder))
    executor = execute.ExecuteGraded(parent=Configurable(parent=command), file_bytes=100)
    names = {"student": "ada", "assignment": "ch", "notebook": "exercises"}
    found = executor._files(names, [reads])
    held = {name: base64.b64decode(text).decode() for name, text in found.files.items()}
    assert held.pop("helper.py").startswith("text") is bool(reads)
    beside = {"data.csv": "ours", "own.csv": "theirs", "own.ipynb": "theirs"}
    assert held == beside | ({"theory.ipynb": "theirs"} if reads else {})
    assert [one.partition(" ")[0] for one in found.left_out] == ["linked.csv"]


def test_what_did_not_run_keeps_its_outputs_and_what_follows_is_filled_in():
    notebook = notebook_of(
        nbformat.v4.new_markdown_cell("text"), *(code_cell(source) for source in "abc")
    )
    _, first, second, third = notebook.cells
    first.outputs = [nbformat.v4.new_output("stream", text="old")]
    ran = {"outputs": [], "count": 7, "stopped": False, "seconds": 1.0}
    cells = {second.id: {**ran, "stopped": True}, third.id: {**ran, "score": 0.5, "seconds": 2.5}}
    resources = {"servemath": {"executed": set(), "stopped": set(), "scores": {}}}
    result = {"cells": cells, "incidents": {"stopped after 9 s": [second.id]}, "wall": "none"}
    result |= {"own_work": {"unclear": []}, "replaced": ["f"], "overwritten": []}
    execute.ExecuteGraded._apply(notebook, resources, result)
    kept = resources["servemath"]
    assert kept["executed"] == {second.id, third.id} and kept["stopped"] == {second.id}
    assert kept["scores"] == {third.id: 0.5} and first.outputs[0].text == "old"
    assert [cell.execution_count for cell in (first, second, third)] == [None, 7, 7]
    assert kept["own_work"] == {"unclear": [], "replaced": ["f"], "overwritten": []}
    assert (kept["wall"], kept["seconds"]) == ("none", 3.5)
    assert remarks(resources) == ["stopped after 9 s: cell 3"]


def test_a_notebook_without_graded_cells_is_not_run(run):
    notebook = notebook_of(code_cell("1 + 1"))
    resources = run(notebook)
    assert notebook.cells[0].outputs == []
    assert resources["servemath"]["executed"] == set()


def test_an_endless_loop_loses_its_cell_and_the_others_run(run):
    notebook = notebook_of(
        code_cell("x = 1"),
        code_cell("while True:\n    pass", "loop__visible__ends"),
        code_cell("assert x == 1", TEST),
    )
    resources = run(notebook, timeout=2)
    assert errors(notebook.cells[1])[-1] == "CellTimeoutError"
    assert errors(notebook.cells[2]) == []
    assert remarks(resources) == ["stopped after 2 s: cell 2 (loop)"]


def test_a_loop_that_cannot_be_interrupted_is_killed_and_the_others_run(run):
    stubborn = (
        "import time\n"
        "while True:\n"
        "    try:\n"
        "        time.sleep(1)\n"
        "    except BaseException:\n"
        "        pass"
    )
    notebook = notebook_of(
        code_cell("x = 1"),
        code_cell(stubborn),
        code_cell("x += 1"),
        code_cell("assert x == 2", TEST),
    )
    resources = run(notebook, timeout=2)
    assert errors(notebook.cells[1]) == ["CellTimeoutError"]
    assert errors(notebook.cells[3]) == []
    assert remarks(resources) == ["would not stop after 2 s and was killed: cell 2"]


def test_a_killed_kernel_loses_one_cell_and_state_is_rebuilt(run):
    notebook = notebook_of(
        code_cell("print('first'); x = 1"),
        code_cell("assert x == 1", "b__visible__before"),
        code_cell("import os; os._exit(1)"),
        code_cell("assert x == 1", TEST),
    )
    resources = run(notebook)
    assert [errors(cell) for cell in notebook.cells] == [[], [], ["DeadKernelError"], []]
    assert notebook.cells[0].outputs[0].text == "first\n"
    assert remarks(resources) == ["killed the kernel: cell 3"]


def test_cells_left_when_restarts_run_out_earn_nothing(run):
    kill = "import os; os._exit(1)"
    notebook = notebook_of(code_cell(kill), code_cell(kill), code_cell("pass", TEST))
    resources = run(notebook, max_restarts=1)
    notebook, resources = SettleVerdicts().preprocess(notebook, resources)
    assert errors(notebook.cells[2]) == ["NotRun"]


def test_the_notebook_limit_stops_what_the_cell_limit_lets_through(run):
    notebook = notebook_of(
        *[code_cell("import time; time.sleep(1.2)") for _ in range(4)], code_cell("pass", TEST)
    )
    start = time.monotonic()
    resources = run(notebook, notebook_timeout_s=2.0)
    assert time.monotonic() - start < 15
    notebook, resources = SettleVerdicts().preprocess(notebook, resources)
    assert errors(notebook.cells[4]) == ["NotRun"]
    assert remarks(resources)[-1].startswith("not run, 2 s were over: cells ")


def test_output_is_cut_and_a_flood_is_stopped(run):
    notebook = notebook_of(
        code_cell("print('x' * 5000)"),
        code_cell("while True:\n    print('x' * 1000)"),
        code_cell("pass", TEST),
    )
    resources = run(notebook, keep_output_bytes=2000, flood_output_bytes=500_000)
    assert notebook.cells[0].outputs[-1].text == "... output cut ...\n"
    assert errors(notebook.cells[1])[-1] == "OutputFlood"
    kept = sum(len(output.get("text", "")) for output in notebook.cells[1].outputs)
    assert kept <= 2000 + len("... output cut ...\n")
    assert errors(notebook.cells[2]) == []
    assert remarks(resources) == ["stopped after 500,000 bytes of output: cell 2"]


def test_no_process_outlives_the_run(run):
    seconds = f"3600.{uuid.uuid4().int % 10**12:012}"  # no other process sleeps exactly so long
    orphan = (
        "import os, subprocess\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    subprocess.Popen(['sleep', {seconds!r}], env={{}})\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print('started')"
    )
    notebook = notebook_of(code_cell(orphan), code_cell("pass", TEST))
    run(notebook)
    assert notebook.cells[0].outputs[0].text == "started\n"
    deadline = time.monotonic() + 20  # the jail ends beside what goes on
    while left := [
        process
        for process in psutil.process_iter(["cmdline"])
        if seconds in (process.info["cmdline"] or ())
    ]:
        assert time.monotonic() < deadline, left


def test_a_warning_costs_nothing_and_a_printed_number_is_no_score(run):
    notebook = notebook_of(
        code_cell("import warnings; warnings.warn('careful')", TEST),
        code_cell("0.0", "b__visible__x"),
    )
    resources = run(notebook)
    notebook, _ = SettleVerdicts().preprocess(notebook, resources)
    kinds = [(output.output_type, output.get("name")) for output in notebook.cells[0].outputs]
    assert kinds == [("stream", "stdout")]
    assert [output.output_type for output in notebook.cells[1].outputs] == ["display_data"]


#: Last lines of test cells worth two points, and what they earn.
PARTS = {
    "Credit(0.97)": 0.97,
    "Credit(0)": 0,
    "Credit(2)": 2,
    "Credit(2.01)": 0,  # more than it is worth: stock nbgrader would not go on
    "Credit(1)\nassert f() == 2": 0,
    "f()": 2,
    "0.5": 2,
    "import warnings; warnings.warn('look'); Credit(1.5)": 1.5,
}


def test_a_test_gives_part_of_its_points_by_its_value(run):
    notebook = notebook_of(
        code_cell("def f():\n    print(0.5)\n    display(0.5)\n    return 0.5"),
        *(
            code_cell(
                f"from servemath_helpers.checks import Credit\n{test}", f"a__hidden__{i}", points=2
            )
            for i, test in enumerate(PARTS)
        ),
    )
    notebook, _ = SettleVerdicts().preprocess(notebook, run(notebook))
    nbformat.validate(notebook)
    earned = [determine_grade(cell)[0] for cell in notebook.cells[1:]]
    assert dict(zip(PARTS, earned, strict=True)) == PARTS


def test_each_kernel_works_in_a_copy_of_what_was_handed_in(run, folder):
    (folder / "data.txt").write_text("handed in")
    notebook = notebook_of(
        code_cell("import pathlib, shutil, os; text = pathlib.Path('data.txt').read_text()"),
        code_cell("shutil.rmtree(os.getcwd())"),
        code_cell("assert text == 'handed in'", TEST),
    )
    run(notebook)
    assert errors(notebook.cells[2]) == []
    assert (folder / "data.txt").read_text() == "handed in"


@pytest.mark.parametrize("how", ["quit()", "exit()"])
def test_a_cell_that_quits_the_kernel_is_the_one_that_is_blamed(run, how):
    notebook = notebook_of(
        code_cell("x = 1"), code_cell(how), code_cell("pass"), code_cell("assert x == 1", TEST)
    )
    resources = run(notebook)
    assert errors(notebook.cells[1]) == ["DeadKernelError"]
    assert errors(notebook.cells[3]) == []
    assert remarks(resources) == ["ended the kernel with quit() or exit(): cell 2"]


def test_one_large_output_at_the_end_of_a_cell_is_cut_and_nothing_worse(run):
    notebook = notebook_of(code_cell("print('x' * 600_000)"), code_cell("pass", TEST))
    resources = run(notebook, flood_output_bytes=500_000)
    assert errors(notebook.cells[0]) == []
    assert notebook.cells[0].outputs[-1].text == "... output cut ...\n"
    assert remarks(resources) == []


def test_a_learner_cannot_forge_a_limit(run):
    forged = "class Forged(Exception):\n    pass\nraise Forged('stopped after 5 s')"
    notebook = notebook_of(code_cell(forged), code_cell("pass", TEST))
    assert remarks(run(notebook, timeout=5)) == []
