"""The learner's side by itself: what it says of names and calls, what it keeps, where files go."""

import ast
import base64
import builtins
import copy
import json
import os
import random
import signal
import sys
import tempfile
import time
import types
from pathlib import Path
from types import SimpleNamespace

import comm
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import servemath_helpers.data
import servemath_helpers.notebook
from autograder.grading.engine import learner, shell
from autograder.grading.engine.codec import decode, encode
from autograder.grading.engine.errors import described
from autograder.grading.engine.learner import MARK, Learner

from .conftest import told_by

packages = servemath_helpers.notebook.check_close


@pytest.fixture
def names(monkeypatch):
    """The names that a notebook has defined, and what answers for them."""
    monkeypatch.setattr(servemath_helpers, MARK, False, raising=False)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    held = SimpleNamespace(user_ns={}, asked_to_exit=False)
    yield held.user_ns, Learner(None, held, ["f", "g"])
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Shy:
    """Cannot be asked."""

    @property
    def __signature__(self):
        raise RuntimeError

    def __call__(self):
        return 1


def test_looking_at_a_name_says_what_it_is_and_takes_nothing_of_it(names):
    defined, asked = names
    given, default = iter([1, 2]), iter([3, 4])
    long = "d" * 5000
    documented = eval("lambda x, *rest, y=2: x")
    documented.__doc__ = long
    defined |= {
        "module": types, "given": given, "number": 7, "list": [1], "f": documented,
        "called": lambda x, *, start=default: x, "shy": Shy(), "object": object(),
        "odd": type("Odd" * 40, (), {})(),
    }  # fmt: skip
    found = asked._look({"names": ["module", "missing", *defined]})["found"]
    assert found.pop("module") == {"module": True} and "missing" not in found
    parameters = [["x", 1, []], ["rest", 2, []], ["y", 3, [2]]]
    assert found.pop("f") == {"callable": True, "doc": long[:4000], "parameters": parameters}
    called = found.pop("called")
    assert called["callable"] and [name for name, _, _ in called["parameters"]] == ["x", "start"]
    assert found.pop("shy") == {"callable": True, "doc": Shy.__doc__}
    assert found.pop("number") == {"value": 7} and found.pop("list") == {"value": ["l", 1]}
    assert found.pop("object")["value"][0] == "?" and found.pop("odd")["value"][0] == "?"
    assert found.keys() == {"given"} and next(given) == 1
    assert next(default) == 3


def test_a_signature_that_is_too_long_does_not_cross(names):
    defined, asked = names
    defined["f"] = eval(f"lambda {', '.join(f'x{n}' for n in range(400))}: 1")
    assert asked._look({"names": ["f"]})["found"]["f"] == {"callable": True, "doc": None}


def call(asked, name, *args, **kwargs):
    return asked._call({"name": name, "args": encode(list(args)), "kwargs": encode(kwargs)})


@pytest.mark.parametrize(
    ("args", "kwargs", "changed"),
    [
        ([[1]], {}, True),
        ([], {"values": [1]}, True),
        ([([1],)], {}, True),
        ([2, {"a": 1}], {}, True),
        ([2], {"values": 3}, False),
        ([(2, "x")], {}, False),
        ([], {}, False),
    ],
)
def test_a_call_gives_its_arguments_back_if_it_changed_them(names, args, kwargs, changed):
    defined, asked = names
    args, kwargs = copy.deepcopy((args, kwargs))

    def change(value):
        if isinstance(value, list):
            value.append(9)
        if isinstance(value, dict):
            value["new"] = 9
        if isinstance(value, tuple):
            [*map(change, value)]

    def f(*args, **kwargs):
        change((*args, *kwargs.values()))
        return len(args)

    defined["f"] = f
    reply = call(asked, "f", *args, **kwargs)
    assert reply["result"] == len(args)
    change((*args, *kwargs.values()))
    assert reply["after"] == ([encode(args), encode(kwargs)] if changed else None)


def test_arguments_that_became_no_plain_data_are_not_given_back(names):
    defined, asked = names
    deep = []
    defined["f"] = lambda values: values.append(deep)
    deep.append(deep)
    assert call(asked, "f", [1])["after"] is None


def test_a_call_gives_a_function_that_can_be_called_and_an_error_is_told(names):
    defined, asked = names
    defined["f"] = lambda x: lambda y=3: (x, y)
    for number in (0, 1):
        reply = call(asked, "f", number)
        assert (reply["callable"], reply["result"][0]) == (number, "?")
        assert reply["parameters"] == [["y", 1, [3]]]
    assert decode(call(asked, 1)["result"]) == (1, 3)
    defined["f"] = lambda: 1 / 0
    assert call(asked, "f")["error"][0] == "ZeroDivisionError"
    endless = []
    endless.append(endless)
    defined["f"] = lambda: endless
    assert call(asked, "f")["error"][0] == "NotPlainData"


def own(x):
    return x


def test_what_a_cell_imports_over_a_learners_function_is_taken_back(names):
    defined, asked = names
    defined |= {"f": own, "g": packages, "h": own}
    asked._keep_own()
    assert asked._own == {"f": own}
    defined |= {"f": packages, "h": packages}
    assert asked._restore_own() == {"replaced": ["f"], "overwritten": []}
    assert defined["f"] is own and defined["h"] is packages
    defined["f"] = 5
    asked._keep_own()
    assert asked._restore_own() == {"replaced": [], "overwritten": ["f"]}
    del defined["f"]
    assert asked._restore_own() == {"replaced": [], "overwritten": []}


def test_an_interrupt_reaches_a_learners_code_and_one_that_came_late_nobody(names):
    _, asked = names
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a cell may have left it
        with pytest.raises(KeyboardInterrupt), asked._interruptible():
            signal.raise_signal(signal.SIGINT)
            time.sleep(20)
        signal.raise_signal(signal.SIGINT)
        assert signal.SIGINT in signal.sigpending()
        with asked._interruptible():
            assert signal.sigpending() == set()
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGINT, before)


class Answers:
    """Stands for the judge: keeps what it is sent, and tells one answer."""

    def __init__(self, told=None):
        self.sent, self.told = [], told

    def send(self, message):
        json.dumps(message)
        self.sent.append(message)

    def receive(self):
        return {"answer": self.told}


@pytest.mark.parametrize(
    ("refused", "given", "answered"),
    [(False, (1, 2, 9, 1), 3), (True, (9, 8, 1, 9), 3), (True, (9, 9), 2), (False, (), 0)],
)
def test_calls_of_a_table_are_made_until_one_does_not_end_as_is_hoped(
    names, refused, given, answered
):
    defined, asked = names
    asked._channel = Answers()

    def f(x):
        if x > 2:
            raise ValueError
        return x

    defined["f"] = f
    calls = [{"name": "f", "args": encode([x]), "kwargs": encode({})} for x in given]
    asked._calls({"calls": calls, "refused": refused, "number": 10})
    ends = ["error" if x > 2 else "result" for x in given[:answered]]
    sent = asked._channel.sent
    assert [message["to"] for message in sent] == [*range(10, 10 + answered)]
    assert [("error" if "error" in one["reply"] else "result") for one in sent] == ends
    assert not any(message["asked"] for message in sent)


def test_a_withheld_answer_is_asked_for_by_the_learners_process_and_in_plain_data():
    told = Answers({"result": ["t", 1, 2]})
    asked = Learner(told, None, [])
    assert asked._ask("mm1", {"lam": 9}) == (1, 2)
    assert told.sent == [{"question": {"name": "mm1", "given": encode({"lam": 9})}}]
    refused = pytest.raises(NotImplementedError, match="withheld: the exercise asks for it")
    endless = []
    endless.append(endless)
    with refused:
        asked._ask("mm1", {"lam": endless})
    told.told = {"error": described(ValueError("lam: too large"))}
    with pytest.raises(ValueError, match="lam: too large"):
        asked._ask("mm1", {})
    told.told = {}
    with pytest.raises(NotImplementedError):
        asked._ask("mm1", {})
    asked._pid += 1  # in a process that the cell forked
    with pytest.raises(NotImplementedError):
        asked._ask("mm1", {})
    assert len(told.sent) == 3


def test_output_that_json_cannot_hold_becomes_text():
    told = Answers()
    asked = Learner(told, None, [])
    data = {"image/png": b"\x89PNG", ("no", "name"): 1, "odd": {1}}
    asked._put({"type": "display_data", "data": data})
    asked._put({"type": "stream", "name": "stdout", "text": "plain"})
    assert [message["output"] for message in told.sent] == [
        {
            "type": "display_data",
            "data": {"image/png": base64.b64encode(b"\x89PNG").decode(), "odd": "{1}"},
        },
        {"type": "stream", "name": "stdout", "text": "plain"},
    ]


def test_what_a_forked_process_writes_goes_to_the_pipes(capfd):
    told = Answers()
    asked = Learner(told, None, [])
    asked._pid += 1
    for name in ("stdout", "stderr"):
        asked._put({"type": "stream", "name": name, "text": name})
    asked._put({"type": "display_data", "data": {}})
    assert capfd.readouterr() == ("stdout", "stderr") and told.sent == []


def beginning(folder, files, path):
    """Become a learner's process in `folder`; return what its code would find."""
    random.seed(1)
    np.random.seed(1)
    seeded = [random.random(), np.random.random()]
    random.seed(1)
    np.random.seed(1)
    held = SimpleNamespace(system="system", system_raw="raw")
    learner.run_learner(None, held, {"files": files, "path": path, "functions": ["f"]}, folder)
    return {
        "files": {
            str(found): found.read_text() for found in Path().rglob("*.txt") if found.is_file()
        },
        "first": sys.path[: len(path)],
        "told": os.environ.get("PYTHONPATH"),
        "package": [*servemath_helpers.__path__],
        "data": [*servemath_helpers.data.__path__],
        "engine": [name for name in sys.modules if name.startswith("autograder")],
        "drawn again": {random.random(), np.random.random()} & {*seeded},
        "system": held.system,
        "temporary": tempfile.tempdir,
    }


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("path", [[""], ["", "/copy"]])
def test_a_learners_process_has_its_files_and_nothing_of_the_engines(
    path, terminal, tmp_path, monkeypatch
):
    def served(channel, held, functions):
        assert functions == ["f"]
        return SimpleNamespace(serve=lambda: None)

    def no_terminal():
        raise OSError

    monkeypatch.setattr(learner, "Learner", served)
    monkeypatch.setenv("PYTHONPATH", "/before")
    monkeypatch.setattr(learner.os, "openpty", os.pipe if terminal else no_terminal)
    (tmp_path / "taken/a.txt").mkdir(parents=True)
    files = {"taken/": "", "taken/a.txt": "MQ==", "deep/er/b.txt": "Mg==", "deep/er/c.txt": "Mw=="}
    found = told_by(beginning, str(tmp_path), {**files, "d.txt": "NA=="}, path)
    copied = len(path) > 1
    package = [str(Path(servemath_helpers.__file__).parent)]
    assert found == {
        "files": {"deep/er/b.txt": "2", "deep/er/c.txt": "3", "d.txt": "4"},
        "first": path,
        "told": "/copy" if copied else "/before",
        "package": ["/copy/servemath_helpers"] if copied else package,
        "data": ["/copy/servemath_helpers/data"] if copied else [f"{package[0]}/data"],
        "engine": [],
        "drawn again": set(),
        "system": "system" if terminal else "raw",
        "temporary": None,
    }


def test_a_stream_is_a_file_that_can_be_written():
    taken = []
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = shell.Stream(name)
        assert stream.write("lost") == 4
        stream.sink = taken.append
        assert (stream.fileno(), stream.name, stream.encoding) == (number, f"<{name}>", "utf-8")
        assert [stream.isatty(), stream.readable(), stream.writable(), stream.closed] == [
            False, False, True, False,
        ]  # fmt: skip
        assert stream.write("") == 0 and stream.write("ab") == 2
        stream.writelines(["c", "d"])
        with pytest.raises(TypeError, match="must be str, not bytes"):
            stream.write(b"x")
    kept = [(output["name"], output["text"]) for output in taken]
    assert kept == [(name, text) for name in ("stdout", "stderr") for text in ("ab", "c", "d")]


#: Of what cells are made: what IPython rewrites, and what looks like it.
REWRITTEN = (
    "a=%who", "a = %", "%who", "%%time", "!ls", "a = !ls", "x?", "?x", "x??", ">>> a", "... a",
    "...: a", "In [1]: a", "[ins] In [2]: a", ", f a", "; f a", "/f a", " ", "\t", "\r\n",
    "a\x0cb", "\u2028",
)  # fmt: skip
PYTHON = (
    "a = 1", "b = a % 3", "a != 1", "f'{a!r}'", "'''", '"""', "(", ")", "[", "]", "if a:", "\n    ",
    "# why?", "# no", "x = 'a?'", "'%s'", "In[1]: a", "a, ", "/ 2", "\\", ";", "...", " = ", "exit",
    "def f():\n    pass\n", "await a",
)  # fmt: skip


@pytest.fixture
def cells(monkeypatch, tmp_path):
    """The shell that runs cells."""
    monkeypatch.setattr(builtins, "input", input)
    monkeypatch.setattr(comm, "create_comm", comm.create_comm)
    InteractiveShell.clear_instance()
    yield shell.make_shell(str(tmp_path))
    shell.CellShell.clear_instance()


def drawn(draw):
    """Return a cell of several lines, most of them without anything that IPython rewrites."""
    pieces = PYTHON + REWRITTEN if draw.random() < 0.2 else PYTHON
    ends = ("", "\n", "\n")
    return "".join(draw.choice(pieces) + draw.choice(ends) for _ in range(draw.randrange(2, 9)))


@pytest.mark.filterwarnings("ignore")
def test_a_cell_becomes_the_python_that_ipython_makes_of_it(cells):
    draw, as_it_is = random.Random(7), 0
    for cell in (drawn(draw) for _ in range(2000)):
        try:
            expected = InteractiveShell.transform_cell(cells, cell)
        except (SyntaxError, IndexError):  # it stumbles where Python does
            with pytest.raises((SyntaxError, IndexError)):
                compile(cells.transform_cell(cell), "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            continue
        assert cells.transform_cell(cell) == expected, repr(cell)
        as_it_is += not shell._REWRITTEN.search(cell)
    assert 500 < as_it_is < 1500
    cell = "a = 1\nb = 2"
    assert cells.transform_cell(cell) == cell + "\n"
    cells.input_transformers_cleanup.append(lambda lines: ["c = 3\n", *lines])
    assert cells.transform_cell(cell) == "c = 3\na = 1\nb = 2\n"
