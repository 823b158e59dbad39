"""Transcripts made here: test cells run in this process, with the functions asked for watched."""

import contextlib
import io

from autograder.cells import iter_test_cells
from autograder.grading.engine import codec


def watched(function, name, calls):
    def ask(*args, **kwargs):
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


def transcript(notebook, codes):
    """Return what a notebook's tests ask of solutions: `codes` holds exercise to code."""
    found = {}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name, cell in iter_test_cells(notebook):
            if name.slug in codes:
                grade_id = cell.metadata.nbgrader["grade_id"]
                found[grade_id] = {"seconds": 0.0, "calls": asked(cell.source, codes[name.slug])}
    return found


def asked(test, code):
    calls, names = [], {"__name__": "__main__"}
    exec(compile(code, "<solution>", "exec"), names)
    # Names of their own: what the solution's functions ask of each other is not recorded.
    seen = {
        name: watched(value, name, calls) if callable(value) else value
        for name, value in names.items()
    }
    with contextlib.suppress(Exception):
        exec(compile(test, "<test>", "exec"), seen)
    return calls
