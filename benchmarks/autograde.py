"""How long `nbgrader autograde` takes here, compared with stock nbgrader.

Baseline: nbgrader's own preprocessors and exporter, on the same 40 honest submissions
of chapter 1 (right, wrong and half done, drawn from the bank). A round grades the class
with stock nbgrader, and, there and back, with this engine, with this engine as in an
ordinary container, which forbids the first kind of jail, and without any jail, each time
in a fresh course folder. Times are of the whole command: by the clock, and of the
processor for all processes that were waited for. The kernel does not count a learner's
process that it ends with its namespaces, and nobody waits for one without a jail: what
the jails cost is compared by the clock.

The floor is what no design can avoid: a process that has everything loaded forks for
each submission and runs its code cells, tests included, with plain `exec`. It starts no
command, has no jail, keeps no output and writes no gradebook. Learners' deep checks check
nothing in it, as where work is graded; what they would add is a row of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

import nbformat
from common.class_run import CHAPTER, Run, grade, released_class, start_seconds

from autograder.cells import grade_id_of, is_test_cell
from autograder.course import HOME, Course
from autograder.demo.sample_class import EXERCISES

STOCK = """
c = get_config()
c.CourseDirectory.course_id = "servemath"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "*.py", "*.md"]
"""

#: Namespaces are refused, Landlock is not: tests/container.py.
CONTAINER = (
    *(sys.executable, str(HOME / "tests" / "container.py"), "--root"),
    *("--show", str(HOME), "--show", sys.prefix, "--show", sys.base_prefix, "--"),
)

#: Arguments, configuration and surroundings of the command.
SIDES: dict[str, tuple[tuple[str, ...], str | None, tuple[str, ...]]] = {
    "stock": ((), STOCK, ()),
    "engine": ((), None, ()),
    "Landlock": ((), None, CONTAINER),
    "no jail": (("--ExecuteGraded.allow_unsandboxed=True", "--ExecuteGraded.jail=False"), None, ()),
}

#: The jails, and the sides that run in them.
COSTS = {"jail": "engine", "landlock": "Landlock"}

FLOOR = """
import json, os, sys, time
import numpy, matplotlib.pyplot, servemath_helpers.notebook, servemath_helpers.deep

if sys.argv[1] == "graded":
    servemath_helpers.deep.__path__[:] = []  # as where a jail is: no chapter's cases are there
times = []
for cells in json.load(sys.stdin):
    start = time.perf_counter()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        names = {"__name__": "__main__"}
        for cell in cells:
            try:
                exec(compile(cell, "<cell>", "exec"), names)
            except Exception:
                pass
        os._exit(0)
    os.waitpid(child, 0)
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def sources(course: Course) -> list[list[str]]:
    """Return the code cells of each submission, with the tests as they are graded."""
    built = nbformat.read(course.source / CHAPTER / EXERCISES, as_version=4)
    tests = {grade_id_of(cell): cell.source for cell in built.cells if is_test_cell(cell)}
    return [
        [
            tests.get(grade_id_of(cell), cell.source)
            for cell in nbformat.read(path, as_version=4).cells
            if cell.cell_type == "code"
        ]
        for path in sorted(course.submitted.glob(f"*/{CHAPTER}/{EXERCISES}"))
    ]


def floor_seconds(course: Course, kind: str) -> list[float]:
    """Return the floor of each submission, as ``graded`` or with ``deep`` checks."""
    done = subprocess.run(
        [sys.executable, "-c", FLOOR, kind],
        input=json.dumps(sources(course)),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    times: list[float] = json.loads(done.stdout)
    return times


def show(
    runs: dict[str, list[Run]], floors: dict[str, float], start: float, size: int
) -> dict[str, float]:
    """Print the table and return the medians of the whole command."""
    medians = {side: statistics.median(run.wall_s for run in found) for side, found in runs.items()}
    stock = medians["stock"]
    print(f"{'':<10}{'command s':>11}{'of stock':>10}{'CPU s':>8}{'between submissions, ms':>26}")
    for side, median in medians.items():
        steps = [step for run in runs[side] for step in run.submissions_s]
        cpu = statistics.median(run.cpu_s for run in runs[side])
        step = statistics.median(steps) * 1e3
        print(f"{side:<10}{median:>11.2f}{median / stock:>10.3f}{cpu:>8.1f}{step:>26.1f}")
    for side, floor in floors.items():
        print(f"{side:<10}{floor:>11.2f}{floor / stock:>10.3f}{'':>8}{floor / size * 1e3:>26.1f}")
    engine = medians["engine"]
    print(
        f"nbgrader starts in {start:.2f} s before it reads any configuration; the rest of the "
        f"engine's command is {(engine - start) / size * 1e3:.0f} ms a submission"
    )
    return medians


def main() -> None:
    """Alternate the sides and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer submissions, one round")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    size, rounds = (10, 1) if options.quick else (40, 3)
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    starts: list[float] = []
    floors: dict[str, list[float]] = {"floor": [], "with deep": []}
    with released_class(size) as course:
        for _ in range(rounds):
            there = ("engine", "Landlock", "no jail")
            for side in ("stock", *there, *reversed(there)):
                arguments, config, within = SIDES[side]
                runs[side].append(grade(course, *arguments, config=config, within=within))
            starts.append(start_seconds())
            for found, kind in zip(floors.values(), ("graded", "deep"), strict=True):
                found.append(sum(floor_seconds(course, kind)))
    identical = len({run.grades for found in runs.values() for run in found}) == 1
    medians_of_floors = {side: statistics.median(found) for side, found in floors.items()}
    print(f"{size} submissions of {CHAPTER}, {rounds} rounds, {os.cpu_count()} cores")
    medians = show(runs, medians_of_floors, statistics.median(starts), size)
    print(f"scores of all graded cells are {'identical' if identical else 'DIFFERENT'}")
    if options.json:
        keys = {
            "ratio_vs_stock": round(medians["engine"] / medians["stock"], 4),
            **{
                f"{jail}_cost_ratio": round(medians[side] / medians["no jail"], 4)
                for jail, side in COSTS.items()
            },
            "floor_ratio": round(medians["engine"] / medians_of_floors["floor"], 2),
            "n": size,
            "identical_scores": identical,
        }
        print(json.dumps(keys))


if __name__ == "__main__":
    main()
