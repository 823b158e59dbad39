"""What tests ask of a solution of ours, recorded in this process as the engine records it."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from nbformat import NotebookNode

from autograder.cells import iter_test_cells
from autograder.grading.engine import codec


def _watched(function: Callable[..., Any], name: str, calls: list[Any]) -> Callable[..., Any]:
    def ask(*args: Any, **kwargs: Any) -> Any:
        call = {"function": name, "args": codec.encode(list(args)), "kwargs": codec.encode(kwargs)}
        calls.append(call)
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            call["error"] = [type(error).__name__, str(error)]
            raise
        else:
            call["result"] = codec.encode(result)
        finally:
            now = [codec.encode(list(args)), codec.encode(kwargs)]
            if repr(now) != repr([call["args"], call["kwargs"]]):
                call["changed"] = True
        return result

    return ask


def transcript(notebook: NotebookNode, codes: Mapping[str, str]) -> dict[str, Any]:
    """Return what a notebook's tests ask of solutions: `codes` holds exercise to code."""
    found = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name, cell in iter_test_cells(notebook):
            if name.slug in codes:
                grade_id = cell.metadata.nbgrader["grade_id"]
                found[grade_id] = {"seconds": 0.0, "calls": _asked(cell.source, codes[name.slug])}
    return found


@functools.lru_cache(maxsize=1_000)
def _compiled(test: str) -> CodeType:
    return compile(test, "<test>", "exec")


def _asked(test: str, code: str) -> list[Any]:
    calls: list[Any] = []
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.suppress(Exception):
        exec(compile(code, "<solution>", "exec"), names)
    # Names of their own: what the solution's functions ask of each other is not recorded.
    seen = {
        name: _watched(value, name, calls) if callable(value) else value
        for name, value in names.items()
    }
    with contextlib.suppress(Exception):
        exec(_compiled(test), seen)
    return calls
