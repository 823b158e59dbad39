"""Calling nbgrader's own commands as a person in the course folder would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Seconds after which a command that grades a class is taken for hung.
TIMEOUT_S = 3600.0


def environment() -> dict[str, str]:
    """Return the environment with this interpreter's programs first on PATH.

    nbgrader looks up ``alembic`` there when it creates a gradebook.
    """
    programs = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")])}


def run_nbgrader(
    root: Path, *arguments: str, timeout_s: float = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run ``nbgrader <arguments>`` in the course folder `root` and return how it ended.

    Output goes through files, so that no process a submission left behind can
    keep the command from ending by holding a pipe open.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        ended = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=timeout_s,
            check=False,
        )
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(ended.args, ended.returncode, out.read(), err.read())
