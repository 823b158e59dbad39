"""Labs run without a browser: nbval, lax, executes every cell and finds no error."""

import subprocess
import sys

import pytest

from .conftest import COURSE

LABS = sorted(COURSE.source.glob("*/lab.ipynb"))


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.parent.name)
def test_a_lab_shows_no_key_of_an_option(path):
    """Keys say which option is right; learners see labels and places."""
    assert "option.key" not in path.with_suffix(".py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.parent.name)
def test_a_lab_runs_headless(path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(path.parent)),
            *("-p", "no:cacheprovider", "--nbval-lax", "--nbval-cell-timeout=60", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout
