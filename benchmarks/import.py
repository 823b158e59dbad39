"""How much longer importing the package takes than `import numpy` alone.

Baseline: a fresh interpreter that imports NumPy. All sides alternate in one run;
each measures its own import from inside, so that starting Python does not count.
Beside the package itself (which loads a module when it is first used) stand the
setup cell of an exercise notebook and every module of formulas at once.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import statistics
import subprocess
import sys

import servemath_helpers

NOT_FORMULAS = {"_validate", "checks", "notebook", "plotting"}
MODULES = [
    f"servemath_helpers.{info.name}"
    for info in pkgutil.iter_modules(servemath_helpers.__path__)
    if info.name not in NOT_FORMULAS
]

SIDES = {
    "numpy": "import numpy",
    "servemath_helpers": "import numpy, servemath_helpers",
    "exercise setup cell": "from servemath_helpers.notebook import check_close, check_raises",
    "all formulas": "import numpy, " + ", ".join(MODULES),
}

TIMER = """
import time
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


def import_seconds(statement: str) -> float:
    """Return the seconds that `statement` takes in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", TIMER.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(done.stdout)


def main() -> None:
    """Alternate the sides and print medians and their ratios to the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    repetitions = 7 if options.quick else 31
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for statement in SIDES.values():
        import_seconds(statement)  # fill the disk cache
    for _ in range(repetitions):
        for side, statement in SIDES.items():
            seconds[side].append(import_seconds(statement))
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    ratios = {side: median / medians["numpy"] for side, median in medians.items()}
    print(f"{'import':<22}{'median ms':>10}{'ratio':>8}   ({repetitions} runs each, alternating)")
    for side, median in medians.items():
        print(f"{side:<22}{median * 1e3:>10.1f}{ratios[side]:>8.3f}")
    if options.json:
        keys = {
            "import_ratio_vs_numpy": ratios["servemath_helpers"],
            "setup_cell_ratio_vs_numpy": ratios["exercise setup cell"],
            "all_formulas_ratio_vs_numpy": ratios["all formulas"],
        }
        print(json.dumps({key: round(value, 4) for key, value in keys.items()}))


if __name__ == "__main__":
    main()
