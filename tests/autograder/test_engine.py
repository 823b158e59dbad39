"""The engine itself: what a submission's processes see, and what Jupyter would show."""

import contextlib
import json
import multiprocessing
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from autograder.grading.engine import judge, zygote
from autograder.grading.engine.jail import (
    NAMESPACES,
    NO_WALL,
    JailSpec,
    JailUnavailable,
    probe,
    why_not,
)
from autograder.grading.engine.pipeline import Pipeline
from autograder.grading.engine.service import EngineError, Service, clean_environment
from autograder.grading.execute import ExecuteGraded

from ..shared import lives
from .conftest import code_cell, notebook_of

MODES = [
    pytest.param(True, marks=pytest.mark.skipif(why_not() is not None, reason=str(why_not()))),
    False,
]


@pytest.fixture(scope="module", params=MODES, ids=["jailed", "unjailed"])
def pipeline(request):
    """One engine for all tests of a mode: what a submission leaves behind would show."""
    executor = ExecuteGraded(jail=request.param, allow_unsandboxed=not request.param, workers=2)
    with executor.make_pipeline() as pipeline:
        yield pipeline


@pytest.fixture
def result_of(pipeline, tmp_path):
    def result_of(*cells, files=None, own_work=None, withheld=(), **limits):
        executor = ExecuteGraded(timeout=20)
        for name, value in limits.items():
            setattr(executor, name, value)
        job = executor.job(notebook_of(*cells), {"folder": str(tmp_path)})
        job["files"] = files or {}
        job["own_work"] = own_work or {}
        job["withheld"] = list(withheld)
        result = pipeline.take(job)
        outputs = [result["cells"].get(cell["id"], {}).get("outputs") for cell in job["cells"]]
        return outputs, result

    return result_of


def test_outputs_are_what_jupyter_shows(result_of):
    outputs, result = result_of(
        code_cell("print('a'); print('b')\nimport sys; print('c', file=sys.stderr)\n6 * 7"),
        code_cell("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'));"),
        code_cell("%%time\nx = 1"),
        code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2]);"),
        code_cell("1 / 0"),
        code_cell("pass", "a__visible__x"),
    )
    assert outputs[0] == [
        {"output_type": "stream", "name": "stdout", "text": "a\nb\n"},
        {"output_type": "stream", "name": "stderr", "text": "c\n"},
        {
            "output_type": "execute_result",
            "data": {"text/plain": "42"},
            "metadata": {},
            "execution_count": 1,
        },
    ]
    assert outputs[1][0]["data"]["text/html"] == "<b>x</b>"
    assert "Wall time" in outputs[2][0]["text"]
    assert outputs[3][0]["data"]["image/png"].startswith("iVBOR")
    error = outputs[4][0]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert [cell["count"] for cell in result["cells"].values()] == [1, 2, 3, 4, 5, 6]
    json.dumps(result)


CREDIT = "from servemath_helpers.checks import Credit\n"
#: Everything that a learner's function can show, or give, to be taken for points.
FORGED = """
import os
from IPython.display import clear_output, display
from servemath_helpers.checks import Credit

def f(mode):
    print(1)
    display(Credit(1))
    get_ipython().displayhook(Credit(1))
    os.write(1, b'1')
    if mode == "clear":
        clear_output()
    if mode == "flood":
        print("x" * 200_000)
    if mode == "raise":
        raise ValueError(Credit(1))
    return Credit(1)
"""


@pytest.mark.parametrize(
    ("test", "score"),
    [
        (CREDIT + "f('show')\nCredit(0.25)", 0.25),
        (CREDIT + "f('clear')\nCredit(0.25)", 0.25),
        (CREDIT + "f('flood')\nCredit(0.25)", 0.25),
        (CREDIT + "Credit(f('show') * 0 + 0.5)", 0.5),
        (CREDIT + "Credit(0)", 0.0),
        (CREDIT + "Credit(0.25);", None),
        (CREDIT + "x = Credit(0.25)", None),
        (CREDIT + "Credit(0.25)\nassert f('show') == 2", None),
        (CREDIT + "Credit(0.25)\nf('raise')", None),
        ("f('show')", None),
        ("0.25", None),
    ],
)
def test_a_score_is_the_value_of_the_test_and_never_what_a_learner_says(result_of, test, score):
    outputs, result = result_of(
        code_cell(FORGED),
        code_cell(test, "a__hidden__x"),
        code_cell("pass", "a__hidden__y"),
    )
    first, second = (list(result["cells"].values())[number] for number in (1, 2))
    assert (first.get("score"), second.get("score")) == (score, None)
    assert bool(score is None) or not any(o["output_type"] == "error" for o in outputs[1])


def test_tests_of_one_exercise_can_share_a_limit_of_their_own(pipeline, tmp_path):
    cells = [code_cell("import time\ndef f(s):\n    time.sleep(s)\n    return s")]
    cells += [code_cell(f"assert f({s}) == {s}", f"a__hidden__{i}") for i, s in enumerate((2, 9))]
    cells += [code_cell("assert f(0.1) == 0.1", f"{slug}__hidden__z") for slug in "ab"]
    job = ExecuteGraded(timeout=1).job(notebook_of(*cells), {"folder": str(tmp_path)})
    for cell in job["cells"]:
        if cell["slug"] == "a":
            cell["seconds"] = 4
    stopped = [ran["stopped"] for ran in pipeline.take(job)["cells"].values()]
    assert stopped == [False, False, True, False, False]


def test_displays_are_updated_and_cleared_in_place(result_of):
    outputs, _ = result_of(
        code_cell(
            "from IPython.display import display, clear_output\n"
            "handle = display('first', display_id=True)\n"
            "handle.update('second')"
        ),
        code_cell("print('gone')\nclear_output()\nprint('kept')"),
        code_cell("pass", "a__visible__x"),
    )
    assert outputs[0][0]["data"]["text/plain"] == "'second'"
    assert [output["text"] for output in outputs[1]] == ["kept\n"]


def test_a_test_sees_functions_values_and_exceptions_of_the_learner(result_of):
    test = (
        "assert f(2, scale=3) == {'result': 6, 'parts': (2, 3)}\n"
        "assert limit == 1.5 and names == ['a']\n"
        "try:\n"
        "    f(-1)\n"
        "except ValueError as error:\n"
        "    assert str(error) == 'negative' and type(error).__name__ == 'Negative'\n"
        "else:\n"
        "    raise AssertionError('no error')\n"
        "try:\n"
        "    missing\n"
        "except NameError:\n"
        "    print('missing is missing')"
    )
    outputs, result = result_of(
        code_cell(
            "class Negative(ValueError): pass\n"
            "limit, names = 1.5, ['a']\n"
            "def f(x, scale=1):\n"
            "    if x < 0: raise Negative('negative')\n"
            "    print('called')\n"
            "    return {'result': x * scale, 'parts': (x, scale)}"
        ),
        code_cell(test, "f__visible__x"),
    )
    assert outputs[1] == [
        {"output_type": "stream", "name": "stdout", "text": "called\nmissing is missing\n"}
    ]
    calls = result["transcripts"]["f__visible__x"]["calls"]
    assert calls[0]["args"] == ["l", 2] and calls[0]["kwargs"] == ["d", ["scale", 3]]
    assert calls[1]["error"] == ["Negative", "negative"]


def test_a_changed_argument_is_changed_for_the_test_too(result_of):
    outputs, result = result_of(
        code_cell("def sort_it(values, table):\n    values.sort()\n    table['n'] = len(values)"),
        code_cell(
            "held, table = [3, 1, 2], {}\n"
            "sort_it(held, table=table)\n"
            "assert held == [1, 2, 3] and table == {'n': 3}\n"
            "sort_it(held, table)",
            "s__visible__x",
        ),
    )
    assert outputs[1] == []
    calls = result["transcripts"]["s__visible__x"]["calls"]
    assert [call.get("changed") for call in calls] == [True, None]


def test_a_test_runs_on_the_state_of_its_place_in_the_notebook(result_of):
    outputs, _ = result_of(
        code_cell("def f(): return 1"),
        code_cell("assert f() == 1", "f__visible__first"),
        code_cell("def f(): return 2"),
        code_cell("assert f() == 2", "f__visible__second"),
    )
    assert outputs[1] == outputs[3] == []


def test_later_cells_may_use_what_a_test_imported_but_nothing_else_of_it(result_of):
    outputs, _ = result_of(
        code_cell(
            "import statistics\nexpected = 7\n### BEGIN HIDDEN TESTS\n"
            "import fractions\n### END HIDDEN TESTS",
            "a__hidden__x",
        ),
        code_cell("statistics.mean([1, 3])"),
        code_cell("expected"),
        code_cell("fractions"),
        code_cell("pass", "a__visible__x"),
    )
    assert outputs[1][0]["data"]["text/plain"] == "2"
    assert [outputs[n][0]["ename"] for n in (2, 3)] == ["NameError", "NameError"]


def test_course_cells_run_on_both_sides(result_of):
    setup = code_cell("answer = 42", "s__statement__x", grade=False, points=0)
    outputs, _ = result_of(
        setup,
        code_cell("answer += 1\nanswer"),
        code_cell("assert answer == 42", "a__visible__x"),
    )
    assert outputs[1][0]["data"]["text/plain"] == "43"
    assert outputs[2] == []


def test_an_always_equal_answer_is_not_equal(result_of):
    outputs, _ = result_of(
        code_cell(
            "class Yes:\n    def __eq__(self, other): return True\n"
            "    def __bool__(self): return True\n"
            "def f(): return Yes()\nvalue = Yes()"
        ),
        code_cell("assert f() == 1", "a__visible__x"),
        code_cell("assert value == 1", "b__visible__x"),
    )
    assert outputs[1][0]["ename"] == outputs[2][0]["ename"] == "AssertionError"
    # Where it failed, as Python says it: IPython's arrows and context take longer than the test.
    said = "".join(outputs[1][0]["traceback"])
    assert "assert f() == 1" in said and "-->" not in said


def test_nothing_of_the_grader_is_in_the_learners_environment(result_of, monkeypatch):
    monkeypatch.setenv("SERVEMATH_SECRET", "hush")
    outputs, _ = result_of(
        code_cell("import os; print(sorted(os.environ))"), code_cell("pass", "a__visible__x")
    )
    assert "SECRET" not in outputs[0][0]["text"]
    places = {"LC_CTYPE", "LOGNAME", "PYTHONPATH", "TMPDIR"}  # the package without answers
    assert set(eval(outputs[0][0]["text"])) <= {*clean_environment(), *places}


def test_files_of_the_submission_are_there_and_writing_them_harms_nobody(result_of):
    files = {"data/numbers.txt": "MSAyIDM=", "helper_of_mine.py": "VEVOID0gMTA="}
    cells = (
        code_cell(
            "from pathlib import Path\nfrom helper_of_mine import TEN\n"
            "text = Path('data/numbers.txt').read_text()\n"
            "Path('left.txt').write_text('x')\n"
            "print(text, TEN, sorted(p.name for p in Path('.').iterdir()))"
        ),
        code_cell("pass", "a__visible__x"),
    )
    for _ in range(2):
        outputs, _ = result_of(*cells, files=files)
        text = outputs[0][0]["text"]
        assert text == "1 2 3 10 ['data', 'helper_of_mine.py', 'left.txt']\n"


def test_random_numbers_differ_between_submissions(result_of):
    cells = (
        code_cell("import random, numpy as np; print(random.random(), np.random.rand())"),
        code_cell("pass", "a__visible__x"),
    )
    texts = {result_of(*cells)[0][0][0]["text"] for _ in range(3)}
    assert len({text.split()[0] for text in texts}) == 3
    assert len({text.split()[1] for text in texts}) == 3


def test_text_that_is_no_utf8_cannot_break_the_notebook(result_of):
    outputs, result = result_of(
        code_cell("print('\\ud800')\nimport os; os.write(1, b'\\xff')"),
        code_cell("def f(): raise ValueError('\\udfff')"),
        code_cell("f()", "a__visible__x"),
    )
    json.dumps(result, ensure_ascii=False).encode("utf-8")
    assert outputs[2][0]["ename"] == "ValueError"


REACHING = [
    "from servemath_helpers.queueing import mm1 as f",
    # Ways that the text of a submission does not show.
    "import matplotlib.pyplot as plt\ntry:\n"
    "    plt.switch_backend('module://servemath_helpers.queueing')\n"
    "except AttributeError as error:\n    f = error.obj.mm1",
    "import functools\nfrom servemath_helpers.notebook import check_close\nkept = {}\nclass Box:\n"
    "    def __setattr__(self, name, value): kept[name] = value\n"
    "functools.update_wrapper(Box(), check_close, assigned=('__globals__',), updated=())\n"
    "load = kept['__globals__']['__builtins__']['__import__']\n"
    "f = load('servemath_helpers.queueing').queueing.mm1",
]


@pytest.mark.parametrize("source", REACHING)
def test_a_withheld_answer_is_nowhere_to_be_had(result_of, source):
    cells = (code_cell(source), code_cell("assert f(9, 12)['rho'] == 0.75", "mm1__visible__x"))
    assert result_of(*cells)[0][1] == []
    outputs, _ = result_of(*cells, withheld=["servemath_helpers.queueing.mm1"])
    assert outputs[1][0]["ename"] == "NotImplementedError"


def test_what_a_deep_check_knows_is_not_in_the_jail(result_of):
    """Also where no answer is withheld; a learner's cell that asks for it says so, and goes on."""
    outputs, _ = result_of(
        code_cell("from servemath_helpers.notebook import deep_check\ndeep_check(abs)"),
        code_cell("from servemath_helpers import deep\nprint(deep.exercises())"),
        *(code_cell(f"import servemath_helpers.deep.{name}") for name in ("ch1", "engine")),
    )
    assert outputs[0][0]["text"] == "The deep check does not run where work is graded.\n"
    assert outputs[1][0]["text"] == "{}\n"
    assert [output[0]["ename"] for output in outputs[2:]] == ["ModuleNotFoundError"] * 2


def test_a_solution_that_rests_on_the_answer_is_told_from_one_that_does_not(result_of):
    cells = (
        code_cell("from servemath_helpers import queueing\ndef f(x): return queueing.mm1(x, 12)"),
        code_cell("assert f(9)['rho'] == 0.75", "mm1__visible__x"),
        code_cell("def g(x): return queueing.littles_law(lam=x, W=2)"),
        code_cell("assert g(3) == 6", "other__visible__x"),
    )
    asked = {"mm1": ["servemath_helpers.queueing.mm1"], "other": []}
    relying = {"mm1": ["mm1__visible__x"]}
    # That an answer was asked for is known still when the process that asked has died.
    killed = code_cell("import os; os._exit(0)")
    for asking in (cells, (*cells[:2], killed, *cells[2:])):
        _, result = result_of(*asking, own_work=asked)
        assert result["own_work"] == {"relying": relying, "compares": [], "unclear": []}


@pytest.mark.parametrize("end", ["_exit(1)", "kill(os.getpid(), 9)"])
def test_there_is_an_end_to_new_processes(result_of, end):
    cells = [code_cell("n = 0"), code_cell("assert n == 0", "a__visible__x")]
    cells += [code_cell(f"import os; os.{end}") for _ in range(12)]
    outputs, result = result_of(*cells, code_cell("pass", "b__visible__x"), max_restarts=3)
    assert outputs[1] == []
    assert len(result["incidents"]["killed the kernel"]) == 4
    assert outputs[-1] is None


def test_the_output_of_a_whole_notebook_is_bounded(result_of):
    cells = [code_cell("print('x' * 99_000)") for _ in range(300)]
    outputs, result = result_of(*cells, code_cell("pass", "a__visible__x"))
    assert len(json.dumps(result)) < 25_000_000
    assert outputs[-2][-1]["text"] == "... output cut ...\n"


def test_a_fork_in_a_call_answers_nobody(result_of):
    outputs, _ = result_of(
        code_cell("import os\ndef f(x):\n    os.fork()\n    return x\ndef g(x): return -x"),
        code_cell("assert f(1) == 1", "a__visible__x"),
        code_cell("assert [g(n) for n in range(9)] == [-n for n in range(9)]", "b__visible__x"),
    )
    assert outputs[1] == outputs[2] == []


def test_a_call_that_never_ends_is_stopped_and_the_next_test_runs(result_of):
    outputs, result = result_of(
        code_cell("def f(x):\n    while x:\n        pass\n    return x"),
        code_cell("f(1)", "f__visible__loops"),
        code_cell("assert f(0) == 0", "f__visible__ends"),
        timeout=1,
    )
    assert [output["ename"] for output in outputs[1]] == ["CellTimeoutError"]
    assert outputs[2] == []
    assert list(result["incidents"]) == ["stopped after 1 s"]


def test_a_call_that_ends_the_process_loses_its_test_alone(result_of):
    outputs, result = result_of(
        code_cell("import os\ndef f(x):\n    if x: os._exit(0)\n    return 5"),
        code_cell("f(1)", "f__visible__dies"),
        code_cell("assert f(0) == 5", "f__visible__lives"),
    )
    assert outputs[1][-1]["ename"] == "DeadKernelError"
    assert outputs[2] == []
    assert list(result["incidents"]) == ["killed the kernel"]


@pytest.fixture(scope="module", params=MODES, ids=["jailed", "unjailed"])
def gated(request):
    """An engine, and a file that its jails see as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="test_engine_") as folder:
        Path(folder).chmod(0o755)
        wall = probe() if request.param else NO_WALL
        with Service(JailSpec(readable=(folder,)), wall=wall) as service:
            service.start()
            yield service, Path(folder, "gate")


KILLED = [("learner", place) for place in ("learner", "course", "test")]
KILLED += [(victim, "learner") for victim in ("keeper", "judge", "zygote")]


@pytest.mark.parametrize(("victim", "place"), KILLED)
def test_nobody_loses_by_what_somebody_else_kills(gated, tmp_path, victim, place):
    service, gate = gated
    if victim == "keeper" and service._wall == NO_WALL:
        pytest.skip("without a wall, the learner's process goes on by itself")
    slow = (
        "import pathlib, subprocess, time\ndef slow():\n    subprocess.Popen(['sleep', '600'])\n"
        f"    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n    return 5"
    )
    given = {"grade_id": "s__statement__x", "grade": False, "points": 0}
    notebook = notebook_of(
        code_cell(slow),
        code_cell("total = 1", **given),
        code_cell(f"total += 1\nif {place == 'course'} and 'slow' in globals(): slow()", **given),
        code_cell(f"mine = slow() if {place == 'learner'} else 5"),
        code_cell(
            f"assert total == 2 and mine == 5 and {place != 'test'} or slow()", "a__visible__x"
        ),
    )
    job = ExecuteGraded(timeout=100).job(notebook, {"folder": str(tmp_path)})
    results = []
    gate.unlink(missing_ok=True)
    running = threading.Thread(target=lambda: results.append(service.run(job)))
    running.start()
    sleeping = None
    while sleeping is None and running.is_alive():
        time.sleep(0.01)
        zygote = psutil.Process(service._zygote._process.pid)
        below = zygote.children(recursive=True)
        sleeping = next((process for process in below if name_of(process) == "sleep"), None)
    learner = sleeping.parent()
    judges = [process for process in zygote.children() if not process.children()]
    chosen = {"learner": learner, "keeper": learner.parent(), "judge": judges[0], "zygote": zygote}
    chosen[victim].kill()
    gate.touch()
    running.join(100)
    cells = results[0]["cells"].values()
    assert results[0]["incidents"] == {}
    assert [(cell["count"], cell["outputs"]) for cell in cells] == [(n, []) for n in range(1, 6)]
    # What was started again, too: the next one takes the first that sleeps for its own.
    below += psutil.Process(service._zygote._process.pid).children(recursive=True)
    assert all_end([process for process in below if process != zygote])


def name_of(process):
    with contextlib.suppress(psutil.Error):
        return process.name()


def all_end(processes):
    """Tell whether all end within 20 s; in a container it may be that nobody collects the dead."""
    deadline = time.monotonic() + 20
    while (alive := any(map(lives, processes))) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive


def test_a_judge_that_dies_with_an_answer_unread_leaves_nothing_behind():
    leash, theirs = socket.socketpair()
    told, tell = os.pipe()

    def keep():
        leash.close()
        watch = zygote.UnjailedWatch(theirs, JailSpec(readable=()))
        folder = watch.folder()
        learner = subprocess.Popen(["sleep", "600"])
        os.write(tell, f"{learner.pid} {folder}".encode())
        watch.keep(learner.pid)

    keeper = multiprocessing.get_context("fork").Process(target=keep)
    keeper.start()
    theirs.close()
    pid, folder = os.read(told, 999).decode().split()
    sleeping = psutil.Process(int(pid))
    leash.send(judge.USED)
    assert select.select([leash], [], [], 20)[0]
    leash.close()
    keeper.join(20)
    assert keeper.exitcode == 0
    assert all_end([sleeping]) and not Path(folder).exists()


def test_a_jail_that_never_stands_is_not_the_learners_doing(tmp_path):
    job = ExecuteGraded().job(notebook_of(code_cell("1", "a__visible__x")), {"folder": "/nowhere"})
    with (
        Service(JailSpec(readable=(str(tmp_path / "gone"),)), wall=NAMESPACES) as service,
        pytest.raises(EngineError, match="jails end before they stand"),
    ):
        service.run(job)


def test_results_are_kept_unless_time_had_a_part_in_them(tmp_path):
    executor = ExecuteGraded(jail=False, allow_unsandboxed=True, timeout=1)
    made = executor.make_pipeline()
    made.close()
    honest = notebook_of(
        code_cell("import os; print(os.getpid())"), code_cell("1", "a__visible__x")
    )
    slow = notebook_of(code_cell("import time; time.sleep(5)"), code_cell("1", "a__visible__x"))
    jobs = [executor.job(notebook, {"folder": str(tmp_path)}) for notebook in (honest, slow)]
    for job in jobs:
        job["files"] = {}
    store = tmp_path / "store"

    def run():
        with Pipeline(made_spec(), wall=NO_WALL, slots=1, store=store) as pipeline:
            return [pipeline.take(job) for job in jobs]

    first, second = run(), run()
    assert first[0] == second[0]
    assert len(list(store.rglob("*.json.gz"))) == 1
    kept = next(store.rglob("*.json.gz"))
    kept.write_bytes(b"damaged")
    third = run()
    assert third[0]["cells"] != first[0]["cells"]  # another process id: it was run again


def made_spec():
    return JailSpec(readable=())


def test_a_changed_test_is_another_job(tmp_path):
    with Pipeline(made_spec(), wall=NO_WALL, slots=1) as pipeline:
        executor = ExecuteGraded()
        keys = set()
        for source in ("assert f() == 1", "assert f() == 2"):
            cells = [code_cell("def f(): return 1"), code_cell(source, "a__visible__x")]
            for number, cell in enumerate(cells):
                cell.id = f"cell-{number}"
            keys.add(pipeline.key(executor.job(notebook_of(*cells), {"folder": str(tmp_path)})))
    assert len(keys) == 2


def test_an_engine_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr("autograder.grading.engine.service.PRELOAD", ("no_such_module",))
    job = ExecuteGraded().job(notebook_of(code_cell("1", "a__visible__x")), {"folder": "/nowhere"})
    with (
        Service(made_spec(), wall=NO_WALL) as service,
        pytest.raises(EngineError, match="no_such_module"),
    ):
        service.run(job)


def test_without_a_jail_grading_stops_and_says_how_to_go_on(monkeypatch):
    def unavailable():
        raise JailUnavailable("the kernel refuses user namespaces.")

    monkeypatch.setattr("autograder.grading.execute.probe", unavailable)
    with pytest.raises(JailUnavailable) as stopped:
        ExecuteGraded().make_pipeline()
    assert "the kernel refuses user namespaces" in str(stopped.value)
    assert "c.ExecuteGraded.allow_unsandboxed = True" in str(stopped.value)
    assert ExecuteGraded(allow_unsandboxed=True).wall == NO_WALL


def test_nobody_goes_without_a_jail_by_one_switch_alone():
    with pytest.raises(JailUnavailable, match=r"ExecuteGraded\.jail is False"):
        ExecuteGraded(jail=False).make_pipeline()


class _Told:
    """A jail that says, each time it is asked, how long it had a core, and whether it wants one."""

    def __init__(self, *said):
        self.said = [(0.0, False), *said]

    def used_s(self):
        return self.said.pop(0)


@pytest.mark.parametrize(
    ("used_s", "ready", "latest", "added_s"),
    [
        (0.5, True, 1e9, 9.5),  # others had the cores
        (0.5, True, 112.0, 2.0),  # and the notebook's time is over soon
        (0.5, True, 100.0, 0.0),
        (0.5, False, 1e9, 0.0),  # it sleeps
        (9.0, True, 1e9, 0.0),  # it works, and does not end
    ],
)
def test_a_cell_gets_back_what_it_waited_for_a_core(used_s, ready, latest, added_s, monkeypatch):
    clock = iter((100.0, 110.0, 1e6))
    monkeypatch.setattr(judge.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(judge.time, "process_time", lambda: 5.0)
    patience = judge.Patience(_Told((used_s, ready), (used_s, ready)), 10, latest)
    assert patience.more() == (added_s > 0)
    assert (patience.deadline, patience.added_s) == (110 + added_s, added_s)
    assert not patience.more()  # four times what is allowed is the most


def test_a_keeper_tells_what_its_learner_had_of_a_core():
    (channel, far), (leash, keeper) = socket.socketpair(), socket.socketpair()
    jail = judge.Jail(judge.JailEnds(channel, leash, *os.pipe()), lambda question: {})
    watch = zygote.Watch(keeper, None)
    with (
        far,
        keeper,
        psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle,
    ):
        watch._tell_used(os.getpid())
        used_s, ready = jail.used_s()
        assert ready and 0 < used_s <= time.process_time()
        while idle.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        watch._tell_used(idle.pid)
        assert not jail.used_s()[1]
        far.send(b"said, and its judge has had no core to read it")
        watch._tell_used(idle.pid)
        assert jail.used_s()[1]
        idle.communicate()
        keeper.send(judge.OWN_DOING)
        keeper.close()
        assert jail.used_s() == (0.0, False)
        assert jail._own_doing()  # it is not forgotten that the learner's code ended it
    jail.close()


DEAF = """
def deaf():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
TABLE = """
from servemath_helpers.checks import check_calls, check_refused
rows = [((n, [n]), 2 * n) for n in range(8)]
"""
CHECKED = f"{TABLE}check_calls(f, *rows, what='twice')"
CAUGHT = f"""{TABLE}
for _ in range(2):
    try:
        check_calls(f, *rows)
    except AssertionError as wrong:
        print(wrong)
print(f(10, [10]), f(11, [11]))
"""
REFUSED = f"{TABLE}check_refused(f, dict(n=1, given=[1]), dict(n=[-1, -2, -3, 4, -5]))"


@pytest.mark.parametrize(
    ("body", "test"),
    [
        ("return 2 * n", CHECKED),
        ("print('called', n)\n    return 2 * n", CHECKED),
        ("os.write(1, b'.')\n    return 2 * n", CHECKED),
        # Wrong, stopped or gone at one call; what the calls behind it do is nobody's.
        ("print(n)\n    return 2 * n - (n == 3)", CHECKED),
        ("return 2 * n / (n != 3)", CHECKED),
        ("given.append(n) if n == 3 else None\n    return 2 * n", CHECKED),
        ("return object() if n == 3 else 2 * n", CHECKED),
        ("os._exit(0) if n == 3 else None\n    return 2 * n", CHECKED),
        ("while n == 3:\n        pass\n    return 2 * n", CHECKED),
        ("os._exit(0) if n == 5 else None\n    return 2 * n - (n == 3)", CHECKED),
        ("while n == 5:\n        pass\n    return 2 * n - (n == 3)", CHECKED),
        ("while n == 5:\n        print(n)\n    return 2 * n - (n == 3)", CHECKED),
        ("return 2 * n - (n == 3)", CAUGHT),
        ("os._exit(0) if n == 5 else None\n    return 2 * n - (n == 3)", CAUGHT),
        ("deaf() if n == 5 else None\n    return 2 * n - (n == 3)", CAUGHT),
        ("if n < 0:\n        raise ValueError('n')\n    return n", REFUSED),
        ("if n < -1:\n        raise TypeError('n')\n    raise ValueError('n')", REFUSED),
    ],
)
def test_calls_made_together_come_to_what_they_come_to_one_by_one(pipeline, tmp_path, body, test):
    cells = [
        code_cell(f"import os, time\ndef f(n, given):\n    {body}\n{DEAF}"),
        code_cell(test, "a__hidden__x"),
        code_cell(f"print(f(20, [20]))\n{TABLE}", "a__hidden__y"),
    ]
    executor = ExecuteGraded(timeout=2)
    job = executor.job(notebook_of(*cells), {"folder": str(tmp_path)})
    run = pipeline._runner._service.run
    found = []
    for together_s in (0.0, 60.0):
        result = run({**job, "together_s": together_s})
        cells = [{**cell, "seconds": 0} for cell in result["cells"].values()]
        calls = [asked["calls"] for asked in result["transcripts"].values()]
        found.append((cells, calls, result["incidents"]))
    assert found[0] == found[1]
