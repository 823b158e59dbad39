"""How the time and the memory of `nbgrader autograde` grow with the class.

Baseline: the smallest class of the same run. Each class is graded once in a fresh course
folder. Seconds are wall time of the whole command; memory is the peak of the command's
own process (nbgrader's loop, the one that lives as long as the class is large), without
the processes in which submissions run.
"""

from __future__ import annotations

import argparse
import json
import os

from common.class_run import CHAPTER, Run, grade, released_class, start_seconds

SIZES, QUICK_SIZES = (40, 200, 1000), (10, 40, 80)


def graded(size: int) -> Run:
    """Grade a class of `size` submissions once."""
    with released_class(size) as course:
        return grade(course)


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
    if options.json:
        keys = {
            "seconds": {str(size): round(run.wall_s, 2) for size, run in runs.items()},
            "peak_rss_mb": {str(size): round(run.peak_rss_mb, 1) for size, run in runs.items()},
        }
        print(json.dumps(keys))


if __name__ == "__main__":
    main()
