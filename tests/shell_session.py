"""A terminal in a throw-away copy of the course, for the commands that pages tell people."""

import doctest
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autograder.course import HOME

from . import warm

#: What a checkout has beside what git knows: never part of the copy.
_LOCAL = shutil.ignore_patterns(
    ".*cache*", ".coverage*", ".git", ".hypothesis", ".ipynb_checkpoints", ".servemath*", ".venv",
    "*.egg-info", "autograded", "build", "dist", "feedback", "gradebook.db*",
    "my_work", "outcomes", "reports", "submitted", "timings", "transcripts",
)  # fmt: skip
_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
_MARK = "@@ step {} @@"


@dataclass(frozen=True)
class Done:
    """How a step ended: its output, and None or the exit code that stopped the page."""

    output: str
    code: int | None


def copy_course(target):
    """Copy the checkout without what its work has left in it."""
    top = {"autograder", "docs"}  # folders in which `build` or `feedback` is a part's name

    def ignore(folder, names):
        inside = Path(folder).relative_to(HOME).parts
        ignored = _LOCAL(folder, names)
        if inside and inside[0] in top:
            ignored -= {"build", "feedback"}
        return ignored

    shutil.copytree(HOME, target, ignore=ignore)
    return target


def environment(course, home):
    """Return the environment: our programs first, the copy's code, a home of its own."""
    home.mkdir(exist_ok=True)
    programs = Path(sys.executable).parent
    return {
        "PATH": os.pathsep.join([*map(str, (warm.programs(), programs)), *_SYSTEM]),
        "PYTHONPATH": str(course),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "160",
        # make's own set-up would renew the environment that runs this test.
        "MAKEFLAGS": f"BIN={programs} PYTHON=true",
    }


def run(steps, course, home, timeout_s=900, variables=None):
    """Type the steps one after another into one shell; return how each went.

    A step that fails ends the session. `variables` are a whole environment of another kind.
    """
    script = ["set -euo pipefail", "exec 2>&1"]
    for number, step in enumerate(steps):
        script += [f"echo '{_MARK.format(number)}'", step.command]
    script.append(f"echo '{_MARK.format(len(steps))}'")
    with tempfile.TemporaryFile() as log:
        ended = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=course,
            env=variables or environment(course, home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    results = []
    for number in range(len(steps)):
        _, begun, rest = said.partition(_MARK.format(number) + "\n")
        if not begun:
            break
        output, finished, _ = rest.partition(_MARK.format(number + 1) + "\n")
        results.append(Done(output, None if finished else ended.returncode))
    return results


def assert_all_went_well(steps, results):
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for step, done in zip(steps, results, strict=False):
        told = f"{step.block.where}\n$ {step.command}\n{done.output}"
        assert done.code is None, told
        if step.expected:
            assert checker.check_output(step.expected + "\n", done.output, flags), (
                f"{told}\n-- expected:\n{step.expected}"
            )
    assert len(results) == len(steps)
