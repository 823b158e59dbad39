"""What runs inside the jail: the learner's cells, and the functions that tests ask for.

This process holds no test, no expected value and nothing of another submission.
Whatever learner code does to it, or makes it say, is only ever taken as the
learner's output or as the learner's answer to a call.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import os
import random
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autograder.grading.engine.channel import Channel, ChannelClosed
from autograder.grading.engine.codec import NotPlainData, decode, encode, printable
from autograder.grading.engine.errors import described, raised
from autograder.grading.engine.shell import CellShell, Stream
from autograder.grading.engine.withheld import ASK, MARK, PACKAGE

#: Arguments of these kinds can be changed by the code that receives them.
_MUTABLE = frozenset("ldsaomqBA")

#: Characters of a docstring, and of a signature, that cross.
_DOC_CHARS = 4000


class Learner:
    """Answers a judge's requests, one at a time.

    An interrupt reaches the learner's code alone: it is blocked everywhere else, so
    that none can tear a message apart, and one that comes late is dropped.
    """

    def __init__(self, channel: Channel, shell: CellShell, functions: list[str]) -> None:
        self._channel = channel
        self._shell = shell
        self._functions = functions
        self._own: dict[str, Any] = {}
        self._lent: list[Any] = []
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._pid = os.getpid()

    def serve(self) -> None:
        """Answer requests until the judge goes."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._shell.sink = self._put
        self._shell.after_statement = self._keep_own
        asking = types.ModuleType(ASK)
        vars(asking)["ask"] = self._ask
        sys.modules[ASK] = asking
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, Stream)
            stream.sink = self._put
        self._channel.send({"reply": {}, "to": 0})  # the jail stands
        answers = {"cell": self._cell, "look": self._look, "call": self._call}
        while True:
            try:
                request = self._channel.receive()
            except ChannelClosed:
                return
            if request["do"] == "calls":
                self._calls(request)
            else:
                self._answer(answers[request["do"]], request, request["number"])

    def _calls(self, request: dict[str, Any]) -> None:
        """Make calls of a table as long as each comes to the end that is hoped for."""
        hoped = "error" if request["refused"] else "result"
        for number, call in enumerate(request["calls"], start=request["number"]):
            if hoped not in self._answer(self._call, call, number):
                return

    def _answer(
        self,
        answer: Callable[[dict[str, Any]], dict[str, Any]],
        request: dict[str, Any],
        number: int,
    ) -> dict[str, Any]:
        try:
            reply = answer(request)
        except KeyboardInterrupt:
            reply = {"interrupted": True}
        if os.getpid() != self._pid:
            os._exit(0)  # a process that the learner's code forked: it answers nobody
        # Not getattr: the package would look for a module of that name.
        asked = getattr(sys.modules.get(PACKAGE), "__dict__", {}).get(MARK) is True
        self._channel.send({"reply": reply, "to": number, "asked": asked})
        return reply

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        if signal.SIGINT in signal.sigpending():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came late
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def _put(self, output: dict[str, Any]) -> None:
        if os.getpid() != self._pid:  # a process that the cell forked
            if output["type"] == "stream":
                os.write(1 if output["name"] == "stdout" else 2, output["text"].encode())
            return
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with self._sending:
                try:
                    self._channel.send({"output": output})
                except (TypeError, ValueError):
                    self._channel.send({"output": _sendable(output)})
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _ask(self, name: str, given: dict[str, Any]) -> Any:
        """Have a withheld answer from the judge, if it tells one."""
        refused = NotImplementedError("withheld: the exercise asks for it")
        if os.getpid() != self._pid:
            raise refused
        try:
            question = {"name": name, "given": encode(given)}
        except NotPlainData:
            raise refused from None
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with self._asking:
                with self._sending:
                    self._channel.send({"question": question})
                told = self._channel.receive()["answer"]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if "error" in told:
            raise raised(told["error"])
        if "result" not in told:
            raise refused
        return decode(told["result"])

    def _keep_own(self) -> None:
        """Remember the learner's own functions of the names that tests call."""
        names = self._shell.user_ns
        for name in self._functions:
            value = names.get(name)
            if callable(value) and not _is_the_packages(value):
                self._own[name] = value

    def _restore_own(self) -> dict[str, list[str]]:
        """Take back what a cell imported over a function that the learner wrote.

        Return the names, and those of functions that are values now: so they would be in
        the learner's own kernel.
        """
        names = self._shell.user_ns
        held = {name: names[name] for name in self._own if name in names}
        replaced = [name for name, value in held.items() if _is_the_packages(value)]
        names.update({name: self._own[name] for name in replaced})
        lost = [name for name, value in held.items() if not callable(value)]
        return {"replaced": replaced, "overwritten": lost}

    def _cell(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shell.asked_to_exit = False
        with self._interruptible():
            ok = self._shell.run(request["source"], request["count"])
        asked_to_exit = bool(self._shell.asked_to_exit)
        return {"ok": ok, "asked_to_exit": asked_to_exit, **self._restore_own()}

    def _look(self, request: dict[str, Any]) -> dict[str, Any]:
        """Say what each name stands for: a callable, plain data, or nothing."""
        found: dict[str, Any] = {}
        for name in request["names"]:
            if name not in self._shell.user_ns:
                continue
            value = self._shell.user_ns[name]
            if isinstance(value, types.ModuleType):
                found[name] = {"module": True}
                continue
            try:
                form = encode(value, take=False)
            except NotPlainData:
                form = ["?", printable(type(value).__name__, 80)]
            found[name] = _about(value) if _is_called(value, form) else {"value": form}
        return {"found": found}

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call a function of the learner's; send its answer, or its exception."""
        args, kwargs = decode(request["args"]), decode(request["kwargs"])
        reply: dict[str, Any]
        try:
            with self._interruptible():
                name = request["name"]
                function = self._lent[name] if type(name) is int else self._shell.user_ns[name]
                result = function(*args, **kwargs)
                form = encode(result)
                reply = {"result": form}
                if _is_called(result, form):
                    self._lent.append(result)
                    reply = {**_about(result), "callable": len(self._lent) - 1, "result": form}
        except NotPlainData as problem:
            reply = {"error": ["NotPlainData", [], f"the answer is {problem}"]}
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reply = {"error": described(error)}
        reply["after"] = self._changed(request, args, kwargs)
        return reply

    @staticmethod
    def _changed(request: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Return the arguments as they are now, if the call changed them."""
        sent = [request["args"], request["kwargs"]]
        if not any(map(_can_change, [*sent[0][1:], *(value for _, value in sent[1][1:])])):
            return None
        try:
            now = [encode(args), encode(kwargs)]
        except NotPlainData:
            return None
        return now if repr(now) != repr(sent) else None


def _is_called(value: Any, form: Any) -> bool:
    """Tell whether what a value is good for is to be called: it is no plain data besides."""
    return isinstance(form, list) and form[:1] == ["?"] and callable(value)


def _about(function: Any) -> dict[str, Any]:
    """Say how a function wants to be called, as far as that is plain data."""
    about: dict[str, Any] = {"callable": True}
    with contextlib.suppress(Exception):  # whatever a learner's object does when it is asked
        about["doc"] = function.__doc__[:_DOC_CHARS] if type(function.__doc__) is str else None
        parameters = []
        for parameter in inspect.signature(function).parameters.values():
            given = parameter.default is not parameter.empty
            default = [encode(parameter.default, take=False)] if given else []
            parameters.append([str(parameter.name), int(parameter.kind), default])
        if len(repr(parameters)) <= _DOC_CHARS:
            about["parameters"] = parameters
    return about


def _is_the_packages(value: Any) -> bool:
    return (
        isinstance(value, types.FunctionType) and str(value.__module__).partition(".")[0] == PACKAGE
    )


def _can_change(form: Any) -> bool:
    if not isinstance(form, list):
        return False
    return form[0] in _MUTABLE or (form[0] == "t" and any(map(_can_change, form[1:])))


def _sendable(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output in which everything JSON cannot hold has become text."""
    made: dict[str, Any] = json.loads(json.dumps(output, default=_text, skipkeys=True))
    return made


def _text(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    return printable(value, 1000)


def run_learner(channel: Channel, shell: CellShell, wanted: dict[str, Any], folder: str) -> None:
    """Become the learner's process: files in place, generators reseeded, then serve.

    `wanted` holds ``files``, a ``path`` to import from, and the ``functions`` that tests call.
    """
    files, path = wanted["files"], wanted["path"]
    os.chdir(folder)
    for name, content in files.items():
        target = Path(folder, name)
        with contextlib.suppress(OSError):  # no room, or a folder where the course has a file
            (target if name.endswith("/") else target.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                target.write_bytes(base64.b64decode(content))
    tempfile.tempdir = None  # not where the engine's own go
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError:  # no terminal for shell escapes (!ls)
        shell.system = shell.system_raw  # type: ignore[method-assign]
    sys.path[:0] = path
    if len(path) > 1:  # a copy of the package stands before the installed one
        os.environ["PYTHONPATH"] = path[1]
        # What was loaded before the fork holds no answer; to load it again would cost everybody.
        for name, module in sys.modules.items():
            if name.partition(".")[0] == PACKAGE and hasattr(module, "__path__"):
                module.__path__[:] = [str(Path(path[1], *name.split(".")))]
    reseed()
    for name in [name for name in sys.modules if name.split(".")[0] == "autograder"]:
        del sys.modules[name]
    Learner(channel, shell, wanted["functions"]).serve()


def reseed() -> None:
    """Give this process random numbers of its own; forks share their parent's."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
