"""How the time and the memory of `nbgrader autograde` grow with the class.

Baseline: the smallest class of the same run. Each class is graded once in a fresh course
folder. Seconds are wall time of the whole command; memory is the peak of the command's
own process (nbgrader's loop, the one that lives as long as the class is large), without
the processes in which submissions run.

The last class is graded once more with every twentieth submission broken, in one of the ways
in which files arrive broken (`BROKEN`). Nothing may be lost: who can be graded has the same
grades as in the whole class, and who cannot has a reason.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.class_run import CHAPTER, Run, grade, released_class, start_seconds

from autograder.course import Course
from autograder.demo.sample_class import EXERCISES
from autograder.grading.outcomes import UNFINISHED

SIZES, QUICK_SIZES = (40, 200, 1000), (10, 40, 80)

#: One submission in so many is broken.
BROKEN_EVERY = 20


def recoded(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Return what changes the bytes of a notebook."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def rewritten(change: Callable[[list[Any]], list[Any]]) -> Callable[[Path], None]:
    """Return what changes the cells of a notebook."""

    def write(path: Path) -> None:
        notebook = json.loads(path.read_text("utf-8"))
        notebook["cells"] = change(notebook["cells"])
        path.write_text(json.dumps(notebook), "utf-8")

    return write


def linked(path: Path) -> None:
    """Put a link to somebody else's notebook in a notebook's place."""
    path.unlink()
    others = sorted(path.parents[2].iterdir())
    path.symlink_to(others[0] / CHAPTER / EXERCISES)


def is_course_cell(cell: Any) -> bool:
    """Tell whether learners may not write in a cell."""
    return bool(cell["metadata"].get("nbgrader", {}).get("locked"))


#: How submissions arrive broken, and whether they can be graded all the same.
BROKEN: dict[str, tuple[Callable[[Path], object], bool]] = {
    "cut short": (recoded(lambda data: data[: len(data) // 2]), False),
    "byte order mark": (recoded(lambda data: b"\xef\xbb\xbf" + data), True),
    "a link": (linked, False),
    "UTF-16": (recoded(lambda data: data.decode("utf-8").encode("utf-16")), True),
    "wrong timestamp": (lambda path: _stamp(path, "the day before"), True),
    "empty file": (recoded(lambda _: b""), False),
    "invalid unicode": (recoded(lambda data: data.replace(b"# tried", b"# \xff\xed\xa0")), True),
    "duplicated cells": (rewritten(lambda cells: [*cells, *cells]), True),
    "another name": (lambda path: path.rename(path.with_name("homework.ipynb")), False),
    "missing cells": (
        rewritten(lambda cells: [cell for cell in cells if not is_course_cell(cell)]),
        True,
    ),
}


def _stamp(path: Path, text: str) -> None:
    path.with_name("timestamp.txt").write_text(text, "utf-8")


def break_some(course: Course) -> dict[str, bool]:
    """Break every twentieth submission; return whether each of them can still be graded."""
    ways = itertools.cycle(BROKEN.values())
    broken = {}
    for folder in sorted(course.submitted.iterdir())[BROKEN_EVERY - 1 :: BROKEN_EVERY]:
        change, broken[folder.name] = next(ways)
        change(folder / CHAPTER / EXERCISES)
    return broken


def graded(size: int) -> Run:
    """Grade a class of `size` submissions once."""
    with released_class(size) as course:
        return grade(course)


def graded_broken(size: int, whole: Run) -> tuple[Run, int, int]:
    """Grade the class with some submissions broken; count these, and what was lost."""
    with released_class(size) as course:
        broken = break_some(course)
        refused = {student for student, can in broken.items() if not can}
        run = grade(course, code=1 if refused else 0)
    kept = frozenset(row for row in whole.grades if row[0] not in refused)
    wrong = {row[0] for row in kept.symmetric_difference(run.grades)} - refused
    wrong |= {
        student
        for student, reason in run.outcomes.items()
        if bool(reason) != (student in refused) or reason == UNFINISHED
    }
    return run, len(broken), len(wrong)


def main() -> None:
    """Grade classes of growing size and print what each submission costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small classes")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    start = start_seconds()
    print(f"{CHAPTER} on {os.cpu_count()} cores; nbgrader itself starts in {start:.2f} s")
    print(f"{'submissions':>11}{'command s':>11}{'ms each':>9}{'of first':>10}{'peak MB':>9}")
    runs: dict[int, Run] = {}
    first = 0.0
    for size in QUICK_SIZES if options.quick else SIZES:
        run = runs[size] = graded(size)
        each = (run.wall_s - start) / size
        first = first or each
        print(
            f"{size:>11}{run.wall_s:>11.2f}{each * 1e3:>9.1f}{each / first:>10.2f}"
            f"{run.peak_rss_mb:>9.1f}",
            flush=True,
        )
    run, broken, lost = graded_broken(size, runs[size])
    refused = sum(map(bool, run.outcomes.values()))
    print(
        f"{size}, of which {broken} are broken: {run.wall_s:.2f} s; "
        f"{refused} refused with a reason, {lost} lost or graded otherwise"
    )
    if options.json:
        keys = {
            "broken": {"s": round(run.wall_s, 2), "n": broken, "refused": refused, "lost": lost},
            "seconds": {str(size): round(run.wall_s, 2) for size, run in runs.items()},
            "peak_rss_mb": {str(size): round(run.peak_rss_mb, 1) for size, run in runs.items()},
        }
        print(json.dumps(keys))


if __name__ == "__main__":
    main()
