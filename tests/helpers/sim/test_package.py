"""The package as a whole: what it offers, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys

from servemath_helpers import sim

HEAVY = ("scipy", "matplotlib", "pandas", "ipywidgets", "numba", "json", "csv", "datetime")


def test_everything_that_is_offered_is_there():
    for name in sim.__all__:
        assert getattr(sim, name) is not None


def test_importing_the_simulator_loads_little_beyond_numpy():
    code = (
        "import sys, numpy; before = set(sys.modules);"
        "import servemath_helpers.sim;"
        f"print(sorted(set({HEAVY!r}) & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
