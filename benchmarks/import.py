"""How much longer `import servemath_helpers` takes than `import numpy` alone.

Baseline: a fresh interpreter that imports NumPy. Both sides alternate in one run;
each measures its own import from inside, so that starting Python does not count.
The other side imports every module of formulas, not the package's name alone.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import statistics
import subprocess
import sys

import servemath_helpers

MODULES = [
    f"servemath_helpers.{info.name}"
    for info in pkgutil.iter_modules(servemath_helpers.__path__)
    if info.name not in {"_validate", "plotting"}
]

SIDES = {
    "numpy": "import numpy",
    "servemath_helpers": "import " + ", ".join(MODULES),
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
    """Alternate the two sides and print medians and their ratio."""
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
    ratio = medians["servemath_helpers"] / medians["numpy"]
    print(f"{'import':<20}{'median ms':>12}   ({repetitions} runs each, alternating)")
    for side, median in medians.items():
        print(f"{side:<20}{median * 1e3:>12.1f}")
    print(f"{'ratio':<20}{ratio:>12.3f}   (all {len(MODULES)} modules)")
    if options.json:
        print(json.dumps({"import_ratio_vs_numpy": round(ratio, 4)}))


if __name__ == "__main__":
    main()
