"""How many small breaks of the code do the tests beside it notice? `make mutants`.

Cosmic Ray's operators make the breaks: another comparison, a number one off, a branch the other
way round, a loop that never runs. A sample of a part's breaks, spread evenly over its modules, is
drawn with a seed; each goes alone into a copy of the checkout, where the tests named below run
until one of them fails. What no test notices is listed with its line. Some seconds a break: this is
for whoever writes tests.
"""

from __future__ import annotations

import os

# What is forked must have one thread, and cores are shared.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import argparse
import ast
import ctypes
import functools
import importlib
import json
import math
import multiprocessing
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

HOME = Path(__file__).resolve().parents[2]
STAFF = "tests/autograder/"

#: Parts of the code, and the tests beside each: those of the longest path that fits.
PARTS: dict[str, dict[str, Sequence[str]]] = {
    "engine": {
        "autograder/grading/engine": ("test_engine.py", "test_execute.py"),
        "autograder/grading/engine/answers.py": ("test_answers.py",),
        "autograder/grading/engine/channel.py": ("test_channel.py",),
        "autograder/grading/engine/codec.py": ("test_codec.py",),
        "autograder/grading/engine/dask": ("test_dask_parts.py",),
        "autograder/grading/engine/errors.py": ("test_errors.py",),
        "autograder/grading/engine/fingerprint.py": ("test_pipeline.py",),
        "autograder/grading/engine/jail": ("test_jail.py",),
        "autograder/grading/engine/judge.py": (
            "test_judge.py",
            "test_engine.py",
            "test_execute.py",
        ),
        "autograder/grading/engine/learner.py": (
            "test_learner.py",
            "test_engine.py",
            "test_execute.py",
        ),
        "autograder/grading/engine/outputs.py": ("test_outputs.py",),
        "autograder/grading/engine/parsing.py": ("test_parsing.py", "test_engine.py"),
        "autograder/grading/engine/pipeline.py": ("test_pipeline.py",),
        "autograder/grading/engine/shell.py": (
            "test_learner.py",
            "test_engine.py",
            "test_execute.py",
        ),
        "autograder/grading/engine/service.py": ("test_service.py", "test_engine.py"),
        "autograder/grading/engine/trials.py": ("test_answers.py",),
        "autograder/grading/engine/withheld.py": ("test_answers.py",),
        "autograder/grading/engine/zygote.py": (
            "test_zygote.py",
            "test_engine.py",
            "test_execute.py",
        ),
    },
    "grading": {
        "autograder/grading/ahead.py": ("test_run.py",),
        "autograder/grading/execute.py": ("test_execute.py", "test_engine.py"),
        "autograder/grading/exporter.py": ("test_run.py",),
        "autograder/grading/original.py": ("test_run.py", "test_restore.py"),
        "autograder/grading/outcomes.py": ("test_run.py",),
        "autograder/grading/own_work.py": ("test_run.py",),
        "autograder/grading/reading.py": ("../field/test_arrivals.py", "test_restore.py"),
        "autograder/grading/restore.py": ("test_restore.py",),
        "autograder/grading/run.py": ("test_run.py", "test_save_grades.py"),
        "autograder/grading/run_gradebook.py": (
            "test_run.py",
            "test_save_grades.py",
        ),
        "autograder/grading/run_progress.py": ("test_run_progress.py",),
        "autograder/grading/run_records.py": ("test_run_records.py", "test_save_grades.py"),
        "autograder/grading/save_grades.py": ("test_save_grades.py",),
        "autograder/grading/submission.py": ("test_submission.py",),
        "autograder/grading/verdicts.py": ("test_save_grades.py", "test_execute.py"),
    },
    "feedback": {
        "autograder/feedback": (
            "test_feedback.py",
            "test_feedback_safe.py",
            "test_misconceptions.py",
            "test_feedback_leaks.py",
        ),
        "autograder/feedback/facts.py": (
            "test_feedback.py",
            "test_feedback_safe.py",
            "test_plans.py",
        ),
        "autograder/feedback/played.py": ("test_plans.py",),
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

PYTEST = ("-n", "0", "-x", "-q", "-p", "no:cacheprovider")

#: Imported once, before forking, so that no break pays for them: nothing of the course's own.
PRELOAD = (
    "hypothesis", "IPython.core.interactiveshell", "matplotlib.pyplot", "nbconvert.exporters",
    "nbgrader.apps", "nbgrader.preprocessors", "nbval.plugin", "numpy", "pytest_cov.plugin", "rich",
    "typer", "xdist.plugin",
)  # fmt: skip

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
        if isinstance(node, ast.arguments):  # nobody passes one by position to see it refused
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults = [*node.defaults, *filter(None, node.kw_defaults)]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)


#: Replacements of an operator that are a mistake somebody makes; the others only raise a TypeError.
LIKELY = {
    **{"Add": ("Sub",), "Sub": ("Add",), "Mul": ("Div",), "Div": ("Mul",), "FloorDiv": ("Div",)},
    **{"Mod": ("FloorDiv",), "Pow": ("Mul",), "BitOr": ("BitAnd",), "BitAnd": ("BitOr",)},
    **{"LShift": ("RShift",), "RShift": ("LShift",), "BitXor": ("BitOr",)},
    **{"Eq": ("NotEq",), "NotEq": ("Eq",), "Is": ("IsNot",), "IsNot": ("Is",)},
    **{"Lt": ("LtE", "GtE"), "LtE": ("Lt", "Gt"), "Gt": ("GtE", "LtE"), "GtE": ("Gt", "Lt")},
}


def likely(name: str) -> bool:
    """Tell whether an operator of Cosmic Ray makes breaks that are worth a run."""
    kind, *which = name.rpartition("/")[2].split("_")
    if kind in ("ReplaceBinaryOperator", "ReplaceComparisonOperator"):
        old, new = which
        return new in LIKELY.get(old, ())
    return kind != "NoOp"


@functools.cache
def as_written(path: Path) -> tuple[str, str]:
    """Return a file, and what it means."""
    code = path.read_text(encoding="utf-8")
    return code, meaning(code)


def mutants_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the breaks that there are: names of operators, and at which of their places."""
    nodes = [*ast_nodes(get_ast(as_written(path)[0]))]
    for name in plugins.operator_names():
        operator = plugins.get_operator(name)
        if likely(name) and not operator.arguments():
            places = sum(1 for node in nodes for _ in operator().mutation_positions(node))
            yield from ((name, place) for place in range(places))


#: A limit that is one more or less is another limit, no break.
LIMIT = re.compile(r"(_?[A-Z][A-Z_]* = [0-9_]{2,}(\.0)?\b|@functools.lru_cache)")
#: So is the length at which somebody's text is cut.
CUT = re.compile(r"printable\(|line_of_text\(")
WIDTH = re.compile(r"(?<=, ) *[0-9]+(?=\))")


def alike(old: Sequence[str], new: Sequence[str]) -> int:
    """Return with how many equal lines two texts begin."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))


@functools.cache
def made(path: Path, name: str, place: int) -> Mutant | None:
    """Return a break, or None if the code still means the same, or nothing at all."""
    before, meant = as_written(path)
    try:
        after = mutate_code(before, plugins.get_operator(name)(), place)
        if after is None or meaning(after) == meant:
            return None
    except (SyntaxError, AttributeError):  # exceptions whose names have dots are beyond it
        return None
    old, new = before.splitlines(), after.splitlines()
    start = alike(old, new)
    behind = alike(old[start:][::-1], new[start:][::-1])
    gone, come = old[start : len(old) - behind], new[start : len(new) - behind]
    if name.endswith("NumberReplacer") and LIMIT.match(old[start]):
        return None
    if CUT.search(old[start]) and WIDTH.sub("", old[start]) == WIDTH.sub("", new[start]):
        return None
    lines = [f"-{line}" for line in gone] + [f"+{line}" for line in come]
    change = "\n  ".join(lines)
    return Mutant(path, start + 1, change, after)


def drawn(part: str, count: int, seed: int, at: Sequence[str]) -> list[Mutant]:
    """Return so many breaks of a part, spread over its modules; another seed gives others."""
    roots = [HOME / name for name in PARTS[part]]
    files = {file for root in roots for file in ([root] if root.is_file() else root.rglob("*.py"))}
    names = tuple(place.partition(":")[0] for place in at)
    chance = random.Random(f"{part} {seed}")
    every: list[tuple[Path, str, int]] = []
    for file in sorted(files):
        if file.relative_to(HOME).as_posix().startswith(names):
            here = [(file, *which) for which in mutants_of(file)]
            every += chance.sample(here, len(here))
    found: dict[str, Mutant] = {}
    count = min(count, len(every))
    first = chance.random()
    for number in range(count):  # equal steps through all modules give each its share
        place = int((number + first) * len(every) / count)
        for which in every[place:] + every[:place]:
            mutant = made(*which)
            if mutant is not None and f"{mutant.where}:".startswith(tuple(at)):
                key = f"{mutant.where} {mutant.change}"
                if found.setdefault(key, mutant) is mutant:
                    break
    if not found:
        raise SystemExit(f"there is nothing to break at {' '.join(at)}")
    return sorted(found.values(), key=lambda mutant: (mutant.path, mutant.line))


def tests_of(part: str, path: Path) -> list[str]:
    """Return the tests beside a module, and its own examples."""
    name = path.relative_to(HOME).as_posix()
    fitting = [prefix for prefix in PARTS[part] if name.startswith(prefix)]
    tests = [os.path.normpath(STAFF + test) for test in PARTS[part][max(fitting, key=len)]]
    return [name, *tests] if name.startswith("servemath_helpers") else tests


class Course:
    """A plug-in of pytest: tests that noticed before come first; what failed, and by the clock?"""

    def __init__(self, tests: Sequence[str], first: Sequence[str]) -> None:
        self.files = list(tests)
        self._first = list(first)
        self.failed = ""
        self.seconds: dict[str, float] = {}
        self.by_the_clock = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put them in order."""
        first = {name: place for place, name in enumerate(self._first)}
        files = {name.partition("::")[0]: place for place, name in enumerate(self.files)}
        last = len(first), len(files)
        items.sort(
            key=lambda item: (
                first.get(item.nodeid, last[0]),
                files.get(item.nodeid.partition("::")[0], last[1]),
            )
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test came to."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid
            self.by_the_clock = "Timeout" in report.longreprtext

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported notices, too."""
        if report.failed and not self.failed:
            self.failed = report.nodeid


@dataclass(frozen=True)
class Run:
    """What became of the tests: did they pass, which failed first, was it by the clock?"""

    passed: bool
    failed: str = ""
    by_the_clock: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)


class Bench:
    """A copy of the checkout in which one file at a time is broken."""

    def __init__(self, folder: Path) -> None:
        self.root = Path(tempfile.mkdtemp(dir=folder)) / "checkout"
        self.root.parent.chmod(0o755)
        shutil.copytree(HOME, self.root, ignore=LEFT_OUT)
        self._times = 0
        self._noticed: dict[Path, Counter[str]] = {}

    def run(self, course: Course, test_s: float, limit_s: float) -> Run:
        """Run tests in a forked process; see that nothing they started goes on."""
        began = time.monotonic()
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_pytest(course, test_s, tell)
            finally:
                os._exit(1)
        os.close(tell)
        os.set_blocking(told, False)
        said = b""
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() - began > limit_s:
                os.kill(pid, signal.SIGKILL)
            with suppress(BlockingIOError):
                said += os.read(told, 1 << 16)
            time.sleep(0.02)
        end_all()
        with suppress(BlockingIOError):
            while more := os.read(told, 1 << 16):
                said += more
        os.close(told)
        if not said:  # ended early, or by us
            return Run(False, "the whole", time.monotonic() - began > limit_s)
        return Run(**json.loads(said))

    def _become_pytest(self, course: Course, test_s: float, tell: int) -> None:
        """Run tests as pytest would from a shell in the copy; say what became of them."""
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        os.chdir(self.root)
        os.environ["PYTHONPATH"] = str(self.root)
        sys.path[:] = [str(self.root), *sys.path[1:]]
        code = pytest.main([*PYTEST, f"--timeout={test_s:.0f}", *course.files], plugins=[course])
        passed = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        said = {"passed": passed, "failed": course.failed, "by_the_clock": course.by_the_clock}
        os.write(tell, json.dumps({**said, "seconds": course.seconds}).encode())

    def write(self, path: Path, code: str) -> None:
        """Put code in the place of a file; its time tells Python that it changed."""
        copy = self.root / path.relative_to(HOME)
        copy.write_text(code, encoding="utf-8")
        self._times += 1
        os.utime(copy, (time.time(), 1e9 + self._times))

    def try_out(self, mutant: Mutant, tests: Sequence[str], usual: Mapping[str, float]) -> Run:
        """Run the tests with a break; several times as long as they usually take is enough."""
        noticed = self._noticed.setdefault(mutant.path, Counter())
        first = [name for name, _ in noticed.most_common()]
        whole = (self.root / mutant.path.relative_to(HOME)).read_text(encoding="utf-8")
        self.write(mutant.path, mutant.code)
        try:
            files = {name.partition("::")[0] for name in tests}
            here = {name: s for name, s in usual.items() if name.partition("::")[0] in files}
            limit_s = 60 + 4 * sum(here.values())
            test_s = 20 + 4 * max(here.values(), default=0.0)  # whoever is first makes what all use
            found = self.run(Course(tests, first), test_s, limit_s)
        finally:
            self.write(mutant.path, whole)
        if "::" in found.failed:
            noticed[found.failed] += 1
        return found


def end_all() -> None:
    """End what this process or those below it started: a broken engine may leave some."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def interval(noticed: int, tried: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval for a share."""
    z = 1.96
    middle = (noticed + z * z / 2) / (tried + z * z)
    half = z * math.sqrt(noticed * (tried - noticed) / tried + z * z / 4) / (tried + z * z)
    return middle - half, middle + half


#: The copy of the process that a pool started.
bench: Bench


def begin(folder: Path) -> None:
    """Begin one process of the pool."""
    global bench
    if sys.platform == "linux":  # what lost its parents comes here, and is ended here
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    bench = Bench(folder)


def as_it_is(test: str) -> Mapping[str, float]:
    """Run a file of tests where nothing is broken: return how long each takes; all must pass."""
    found = bench.run(Course([test], ()), 600.0, 1800.0)
    if not found.passed:
        raise SystemExit(f"fails as it is: {found.failed}")
    return found.seconds


def try_out(mutant: Mutant, tests: Sequence[str], usual: Mapping[str, float]) -> tuple[Mutant, Run]:
    """Try one break."""
    return mutant, bench.try_out(mutant, tests, usual)


def run(part: str, asked: argparse.Namespace) -> dict[str, object]:
    """Try a sample of a part's breaks; print what nobody notices, and the score by module."""
    tried = drawn(part, asked.sample, asked.seed, asked.at)
    tests = {mutant.path: tuple(tests_of(part, mutant.path)) for mutant in tried}
    total, noticed, clock = Counter[str](), Counter[str](), 0
    fork = multiprocessing.get_context("fork")
    with (
        tempfile.TemporaryDirectory(prefix="servemath-mutants-") as name,
        ProcessPoolExecutor(asked.jobs, fork, begin, (Path(name),)) as pool,
    ):
        Path(name).chmod(0o755)  # the jail has another user
        usual: dict[str, float] = {}
        for seconds in pool.map(
            as_it_is, sorted({name for some in tests.values() for name in some})
        ):
            usual |= seconds
        running = [pool.submit(try_out, mutant, tests[mutant.path], usual) for mutant in tried]
        for done in as_completed(running):
            mutant, found = done.result()
            module = mutant.path.relative_to(HOME).as_posix()
            total[module] += 1
            noticed[module] += not found.passed
            clock += found.by_the_clock
            if found.passed:
                print(f"{mutant.where}\n  {mutant.change}", flush=True)
            elif asked.verbose:
                print(f"{mutant.where}: noticed by {found.failed}", file=sys.stderr, flush=True)
    for module in sorted(total):
        print(f"{noticed[module]:4} of {total[module]:3}  {module}")
    low, high = interval(noticed.total(), total.total())
    print(
        f"{part}: {noticed.total()} of {total.total()} noticed ({clock} by the clock), "
        f"{noticed.total() / total.total():.1%}; 95 % interval {low:.0%} to {high:.0%} "
        f"(sample {asked.sample}, seed {asked.seed})",
        flush=True,
    )
    return {
        "part": part,
        "tried": total.total(),
        "noticed": noticed.total(),
        "interval": [low, high],
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--sample", type=int, default=60, help="breaks of each part")
    parser.add_argument("--seed", type=int, default=1, help="another one breaks other lines")
    parser.add_argument(
        "--at", nargs="+", default=[""], metavar="FILE[:LINE]", help="breaks of these"
    )
    parser.add_argument("--jobs", type=int, default=2, help="breaks at the same time")
    parser.add_argument("--verbose", action="store_true", help="tell what noticed each break")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    asked = parser.parse_args()
    if unknown := sorted({*asked.parts} - PARTS.keys()):
        parser.error(f"PART must be among {', '.join(PARTS)}, got {', '.join(unknown)}")
    # nbgrader runs alembic from there.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for name in PRELOAD:
        importlib.import_module(name)
    found = [run(part, asked) for part in asked.parts or PARTS]
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
