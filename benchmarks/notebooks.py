"""Wall time of strict nbval over all theory notebooks.

Baseline: executing the same notebooks once each with nbclient and comparing nothing.
The two sides alternate, notebook by notebook.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat

from autograder.authoring.build import execute
from autograder.course import Course


def nbval_seconds(path: Path) -> float:
    """Return the seconds that pytest takes to re-execute and compare a notebook."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(path)],
        cwd=Course.at().root,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    return time.perf_counter() - start


def execute_seconds(path: Path) -> float:
    """Return the seconds that executing a notebook takes, kernel start included."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    execute(notebook, path.parent)
    return time.perf_counter() - start


SIDES: dict[str, Callable[[Path], float]] = {"nbval": nbval_seconds, "execute": execute_seconds}


def main() -> None:
    """Time both sides for each chapter and print medians, ratios and totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    course = Course.at()
    repetitions = 1 if options.quick else 3
    totals = dict.fromkeys(SIDES, 0.0)
    print(f"{'chapter':<32}{'nbval s':>10}{'execute s':>11}{'ratio':>8}")
    for chapter in course.chapters():
        path = course.source / chapter / "theory.ipynb"
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(repetitions):
            for side, measure in SIDES.items():
                seconds[side].append(measure(path))
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        for side, median in medians.items():
            totals[side] += median
        ratio = medians["nbval"] / medians["execute"]
        print(f"{chapter:<32}{medians['nbval']:>10.1f}{medians['execute']:>11.1f}{ratio:>8.2f}")
    ratio = totals["nbval"] / totals["execute"]
    print(f"{'together':<32}{totals['nbval']:>10.1f}{totals['execute']:>11.1f}{ratio:>8.2f}")
    if options.json:
        print(
            json.dumps(
                {
                    "nbval_theory_s": round(totals["nbval"], 2),
                    "nbval_vs_execute": round(ratio, 3),
                }
            )
        )


if __name__ == "__main__":
    main()
