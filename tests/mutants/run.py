"""How many small breaks of the code do the tests beside it notice? `make mutants`.

Cosmic Ray's operators make the breaks: another comparison, a number one off, a branch the other
way round, a loop that never runs. So many of a part of the code are drawn with a seed; each goes
alone into a copy of the checkout, where the tests named below run until one of them fails. What
no test notices is listed with its line. Minutes a part: this is for whoever writes tests.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

HOME = Path(__file__).resolve().parents[2]
STAFF = "tests/autograder/"

#: Parts of the code, and the tests beside each: those of the longest path that fits.
PARTS: dict[str, dict[str, Sequence[str]]] = {
    "engine": {
        "autograder/grading/engine": ("test_engine.py", "test_execute.py", "test_codec.py"),
        "autograder/grading/engine/codec.py": ("test_codec.py", "test_engine.py"),
        "autograder/grading/engine/dask": ("test_dask.py",),
        "autograder/grading/engine/jail": ("test_jail.py",),
        "autograder/grading/engine/parsing.py": ("test_parsing.py", "test_engine.py"),
    },
    "grading": {
        "autograder/grading/ahead.py": ("test_save_grades.py", "test_cli.py"),
        "autograder/grading/execute.py": ("test_execute.py", "test_engine.py"),
        "autograder/grading/exporter.py": ("test_save_grades.py", "test_restore.py", "test_cli.py"),
        "autograder/grading/original.py": ("test_save_grades.py", "test_restore.py", "test_cli.py"),
        "autograder/grading/outcomes.py": ("test_save_grades.py", "test_cli.py"),
        "autograder/grading/own_work.py": ("test_own_work.py", "test_engine.py"),
        "autograder/grading/restore.py": ("test_restore.py",),
        "autograder/grading/run.py": ("test_save_grades.py", "test_cli.py"),
        "autograder/grading/run_gradebook.py": ("test_save_grades.py", "test_cli.py"),
        "autograder/grading/run_progress.py": ("test_run_progress.py", "test_cli.py"),
        "autograder/grading/run_records.py": ("test_run_records.py", "test_save_grades.py"),
        "autograder/grading/save_grades.py": ("test_save_grades.py",),
        "autograder/grading/submission.py": (
            "test_save_grades.py",
            "test_restore.py",
            "test_cli.py",
        ),
        "autograder/grading/verdicts.py": ("test_save_grades.py", "test_execute.py"),
    },
    "feedback": {
        "autograder/feedback": (
            "test_feedback.py",
            "test_feedback_safe.py",
            "test_misconceptions.py",
            "test_feedback_leaks.py",
        )
    },
    "exports": {"autograder/exports": ("test_exports.py",)},
    "regrade": {"autograder/regrade": ("test_regrade.py",)},
    "queueing": {"servemath_helpers/queueing.py": ("../helpers/test_queueing.py",)},
    "simulator": {
        "servemath_helpers/sim/_engine.py": (
            "../helpers/sim/test_llm.py",
            "../helpers/sim/test_queues.py",
            "../helpers/sim/test_fleet.py",
        )
    },
}

PYTEST = (sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider")

#: What a checkout has beside its files, and what no test beside the code reads.
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "images", "measured_data")


@dataclass(frozen=True)
class Mutant:
    """One break: the file, the changed line, the whole file with it."""

    path: Path
    line: int
    change: str
    code: str

    @property
    def where(self) -> str:
        """The place, as editors understand it."""
        return f"{self.path.relative_to(HOME)}:{self.line}"


def meaning(code: str) -> str:
    """Return what runs of the code: annotations are never looked at, docstrings are for people."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
    return ast.dump(tree)


#: Replacements of an operator that are a mistake somebody makes; the others only raise a TypeError.
LIKELY = {
    **{"Add": ("Sub",), "Sub": ("Add",), "Mul": ("Div",), "Div": ("Mul",), "FloorDiv": ("Div",)},
    **{"Mod": ("FloorDiv",), "Pow": ("Mul",), "BitOr": ("BitAnd",), "BitAnd": ("BitOr",)},
    **{"LShift": ("RShift",), "RShift": ("LShift",), "BitXor": ("BitOr",)},
    **{"Eq": ("NotEq", "LtE"), "NotEq": ("Eq",), "Is": ("IsNot",), "IsNot": ("Is",)},
    **{"Lt": ("LtE", "GtE"), "LtE": ("Lt", "Gt"), "Gt": ("GtE", "LtE"), "GtE": ("Gt", "Lt")},
}


def likely(name: str) -> bool:
    """Tell whether an operator of Cosmic Ray makes breaks that are worth a run."""
    kind, *which = name.rpartition("/")[2].split("_")
    if kind in ("ReplaceBinaryOperator", "ReplaceComparisonOperator"):
        old, new = which
        return new in LIKELY.get(old, ())
    return kind != "NoOp"


def mutants_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the breaks that there are: names of operators, and at which of their places."""
    nodes = [*ast_nodes(get_ast(path.read_text(encoding="utf-8")))]
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        if likely(name) and not operator.arguments():
            places = sum(1 for node in nodes for _ in operator().mutation_positions(node))
            yield from ((name, place) for place in range(places))


def made(path: Path, name: str, place: int) -> Mutant | None:
    """Return a break, or None if the code still means the same, or nothing at all."""
    before = path.read_text(encoding="utf-8")
    after = mutate_code(before, plugins.get_operator(name)(), place)
    try:
        if after is None or meaning(after) == meaning(before):
            return None
    except SyntaxError:
        return None
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    _, start, end, first, last = next(op for op in matcher.get_opcodes() if op[0] != "equal")
    change = f"{' '.join(old[start:end]).strip()}  ->  {' '.join(new[first:last]).strip()}"
    return Mutant(path, start + 1, change, after)


def drawn(part: str, count: int, seed: int) -> list[Mutant]:
    """Return so many breaks of a part; another seed gives others."""
    roots = [HOME / name for name in PARTS[part]]
    files = {file for root in roots for file in ([root] if root.is_file() else root.rglob("*.py"))}
    every = [(file, *which) for file in sorted(files) for which in mutants_of(file)]
    random.Random(f"{part} {seed}").shuffle(every)
    found: dict[str, Mutant] = {}
    for which in every:
        mutant = made(*which)
        if mutant is not None:
            found.setdefault(f"{mutant.where} {mutant.change}", mutant)
        if len(found) == count:
            break
    return sorted(found.values(), key=lambda mutant: mutant.where)


def tests_of(part: str, path: Path) -> list[str]:
    """Return the tests beside a module, and its own examples."""
    name = path.relative_to(HOME).as_posix()
    fitting = [prefix for prefix in PARTS[part] if name.startswith(prefix)]
    tests = [os.path.normpath(STAFF + test) for test in PARTS[part][max(fitting, key=len)]]
    return [name, *tests] if name.startswith("servemath_helpers") else tests


class Bench:
    """A copy of the checkout in which one file at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        shutil.copytree(HOME, self.root, ignore=LEFT_OUT)
        self._times = 0

    def passes(self, tests: Sequence[str], limit_s: float) -> bool:
        """Tell whether tests pass within a limit."""
        process = subprocess.Popen(
            [*PYTEST, *tests],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(limit_s) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return False

    def write(self, path: Path, code: str) -> None:
        """Put code in the place of a file; its time tells Python that it changed."""
        copy = self.root / path.relative_to(HOME)
        copy.write_text(code, encoding="utf-8")
        self._times += 1
        os.utime(copy, (time.time(), 1e9 + self._times))

    def seconds(self, tests: Sequence[str]) -> float:
        """Return how long tests take where nothing is broken; they have to pass."""
        began = time.monotonic()
        if not self.passes(tests, 1800.0):
            raise SystemExit(f"fails as it is: {' '.join(tests)}")
        return time.monotonic() - began

    def notices(self, mutant: Mutant, tests: Sequence[str], limit_s: float) -> bool:
        """Tell whether a test fails with a break, or does not end."""
        self.write(mutant.path, mutant.code)
        try:
            return not self.passes(tests, limit_s)
        finally:
            self.write(mutant.path, mutant.path.read_text(encoding="utf-8"))


def run(part: str, count: int, seed: int) -> dict[str, object]:
    """Try the breaks of a part; print what nobody notices."""
    unnoticed, tried, usual = [], drawn(part, count, seed), {}
    with tempfile.TemporaryDirectory(prefix="servemath-mutants-") as folder:
        bench = Bench(Path(folder))
        for mutant in tried:
            tests = tests_of(part, mutant.path)
            key = " ".join(tests)
            if key not in usual:
                usual[key] = bench.seconds(tests)
            if not bench.notices(mutant, tests, 60 + 5 * usual[key]):
                unnoticed.append(mutant)
                print(f"{mutant.where}: {mutant.change}", flush=True)
    share = 1 - len(unnoticed) / len(tried)
    print(f"{part}: {len(tried) - len(unnoticed)} of {len(tried)} noticed, {share:.1%}", flush=True)
    return {"part": part, "tried": len(tried), "noticed": len(tried) - len(unnoticed)}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--count", type=int, default=60, help="breaks of each part")
    parser.add_argument("--seed", type=int, default=1, help="another one breaks other lines")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    asked = parser.parse_args()
    if unknown := sorted({*asked.parts} - PARTS.keys()):
        parser.error(f"PART must be among {', '.join(PARTS)}, got {', '.join(unknown)}")
    found = [run(part, asked.count, asked.seed) for part in asked.parts or PARTS]
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
