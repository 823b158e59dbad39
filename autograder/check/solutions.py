"""Rules on what the tests of an exercise make of solutions that we know."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from autograder import bank
from autograder.bank import runner
from autograder.cells import parse_grade_id
from autograder.check.chapter import Chapter
from autograder.feedback.misconceptions import match
from autograder.grading.engine.withheld import PACKAGE, package_without
from servemath_helpers.checks import STOPPED
from servemath_helpers.deep import exercises
from servemath_helpers.deep.engine import FINE

#: What a test must never say of a wrong solution: it has to fail for a reason in words.
_NO_REASON = re.compile(
    rf"(?:^|but it {STOPPED} )(?:SyntaxError|NameError|ImportError|ModuleNotFoundError)\b"
)

#: The share of wrong solutions that feedback may not name, because others answer alike.
_MOST_UNNAMED = 0.02

#: A function that leaves nothing in what it was given, and knows no answer.
_EMPTIES = """
def {name}(*args, **kwargs):
    for value in (*args, *kwargs.values()):
        if hasattr(value, "clear"):
            value.clear()
        elif hasattr(value, "fill"):
            value.fill(0)
    return {answer}
"""
_ANSWERS = ("0", "[]", "{}", "None", "args[0]")

#: A function that refuses what it should, and otherwise gives an answer that is none.
_SPOILT = """

def _spoilt(function):
    def spoilt(*args, **kwargs):
        function(*args, **kwargs)
        return "no answer"

    return spoilt

"""


def right_ones(chapter: Chapter) -> Iterator[str]:
    """The solution in the text, the right ones and the package's own earn every point."""
    for record in chapter.records:
        own = runner.solution_source(chapter.exercises, record.slug)
        known = [(f"right {one.name}", one.code) for one in record.right]
        known += [(f"library {one.name}", one.code) for one in record.library]
        for name, code in [("the solution in the text", own), *known]:
            trial = chapter.trial(record.slug, code)
            if trial.failures:
                yield (
                    f"{record.slug}: {name} earns {trial.total:g} of "
                    f"{chapter.points[record.slug]:g}: {_first(trial)}"
                )


def _first(trial: runner.Trial) -> str:
    grade_id, failure = next(iter(trial.failures.items()))
    return f"{grade_id} says {failure}"


def wrong_ones(chapter: Chapter) -> Iterator[str]:
    """A wrong solution loses points, for a reason in words."""
    for record in chapter.records:
        for wrong in record.wrong:
            trial = chapter.trial(record.slug, wrong.code)
            if not trial.failures:
                worth = chapter.points[record.slug]
                yield f"{record.slug}: wrong {wrong.name} earns all {worth:g}: a test is missing"
            elif all(map(_NO_REASON.search, trial.failures.values())):
                yield f"{record.slug}: wrong {wrong.name} does not run: {_first(trial)}"


def hidden_ones(chapter: Chapter) -> Iterator[str]:
    """Hidden tests catch something that visible ones let through."""
    for record in chapter.records:
        trials = (chapter.trial(record.slug, wrong.code) for wrong in record.wrong)
        if not any(trial.failed_roles() == {"hidden"} for trial in trials):
            yield f"{record.slug}: no wrong solution passes the visible tests: they tell too much"


def deep_checks(chapter: Chapter) -> Iterator[str]:
    """The deep check lets right solutions pass, and tells a learner alone of a wrong one."""
    for record in chapter.records:
        if record.slug not in exercises():
            continue
        own = runner.solution_source(chapter.exercises, record.slug)
        for code in (own, *(one.code for one in (*record.right, *record.library))):
            found = runner.deep(record, code)
            if found.state != FINE:
                yield f"{record.slug}: the deep check says of a right solution: {found.text}"
        for wrong in record.wrong:
            trial = chapter.trial(record.slug, wrong.code)
            role = runner.caught_by(trial, record, wrong.code)
            if role == "hidden" and not wrong.only_hidden:
                yield (
                    f"{record.slug}: wrong {wrong.name} passes the visible checks and the deep "
                    f"check: a case is missing there, or only_hidden has to say why"
                )
            elif role != "hidden" and wrong.only_hidden:
                yield (
                    f"{record.slug}: wrong {wrong.name} says in only_hidden why no other check "
                    f"catches it, and the {role} one does: take that out"
                )


def starters(chapter: Chapter) -> Iterator[str]:
    """The starter raises NotImplementedError and earns nothing."""
    for record in chapter.records:
        trial = chapter.trial(record.slug, runner.solution_source(chapter.blank, record.slug))
        told = [text for name, text in trial.failures.items() if "__visible__" in name]
        if trial.total or not all(text.startswith("NotImplementedError") for text in told):
            yield (
                f"{record.slug}: its starter earns {trial.total:g} points and the visible tests "
                f"say {told}: the solution must stand between BEGIN SOLUTION and END SOLUTION"
            )


def emptied_inputs(chapter: Chapter) -> Iterator[str]:
    """No hidden test takes its answer from what a call leaves of its arguments."""
    for record in chapter.records:
        for answer in _ANSWERS:
            code = "".join(_EMPTIES.format(name=name, answer=answer) for name in record.functions)
            for grade_id, earned in chapter.trial(record.slug, code).points.items():
                if earned and "__hidden__" in grade_id:
                    yield (
                        f"{grade_id}: a function that empties its arguments and returns {answer} "
                        f"passes: write down what is expected before the call"
                    )


def spoilt_values(chapter: Chapter) -> Iterator[str]:
    """Whose values are wrong earns nothing for refusing what is to be refused."""
    for record in chapter.records:
        own = runner.solution_source(chapter.exercises, record.slug)
        code = own + _SPOILT + "\n".join(f"{name} = _spoilt({name})" for name in record.functions)
        for grade_id, earned in chapter.trial(record.slug, code).points.items():
            if earned and record.parts:
                yield (
                    f"{grade_id}: it earns {earned:g} where no value is right: "
                    f"begin with check_first"
                )


def visible_first(chapter: Chapter) -> Iterator[str]:
    """Whose visible tests fail earns nothing for edges and refused input."""
    for record in chapter.records:
        for wrong in record.wrong if record.parts else ():
            trial = chapter.trial(record.slug, wrong.code)
            free = [
                grade_id
                for grade_id, earned in trial.points.items()
                if earned and parse_grade_id(grade_id).prop in ("edges", "refused")
            ]
            if free and "visible" in trial.failed_roles():
                yield (
                    f"{record.slug}: wrong {wrong.name} fails the visible tests and passes "
                    f"{', '.join(free)}: begin them with check_first and a value that it misses"
                )


def feedback(chapter: Chapter) -> Iterator[str]:
    """Feedback names wrong solutions by their answers, and says nothing of right ones."""
    unnamed, total = [], 0
    for record in chapter.records:
        for right in (*record.right, *record.library):
            for name in _named(chapter, record, right.code):
                yield f"{record.slug}: {right.name} is right, and feedback calls it {name}"
        for wrong in record.wrong:
            total += 1
            found = _named(chapter, record, wrong.code)
            if not found:
                yield f"{record.slug}: wrong {wrong.name}: its answers are those of a right one"
            elif wrong.name not in found:
                unnamed.append(f"{record.slug}: wrong {wrong.name} answers as {', '.join(found)}")
    if len(unnamed) > _MOST_UNNAMED * total:
        yield f"{'; '.join(unnamed)}: a test that tells them apart is missing"


def _named(chapter: Chapter, record: bank.Exercise, code: str) -> list[str]:
    return [found.name for found in match(record, chapter.transcript(record.slug, code))]


def own_work(chapter: Chapter) -> Iterator[str]:
    """Without the package's answers right solutions still work, code that calls them does not."""
    for record in chapter.records:
        if not record.withheld:
            continue
        with tempfile.TemporaryDirectory(prefix="servemath-") as folder:
            try:
                package_without(record.withheld, Path(folder))
            except (OSError, ValueError) as error:
                yield f"{record.slug}: withheld: {error}"
                continue
            yield from _without_answers(chapter, record, _Elsewhere(Path(folder)))


def _without_answers(
    chapter: Chapter, record: bank.Exercise, elsewhere: _Elsewhere
) -> Iterator[str]:
    for library in record.library:
        trial = runner.run(chapter.exercises, record.slug, library.code, elsewhere)
        if not any("withheld" in text for text in trial.failures.values()):
            yield f"{record.slug}: library {library.name} works without what withheld names"
    for right in record.right:
        if PACKAGE in right.code:
            trial = runner.run(chapter.exercises, record.slug, right.code, elsewhere)
            if trial.failures:
                yield f"{record.slug}: right {right.name} asks for what withheld names"


class _Elsewhere:
    """A context in which the package is that of a folder; it may be entered again and again."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._modules: dict[str, ModuleType] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        kept = self._exchange(self._modules)
        sys.path.insert(0, self._folder)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(self._folder)
            self._modules = self._exchange(kept)

    @staticmethod
    def _exchange(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
        """Put these modules of the package in the place of those that are loaded."""
        names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
        found = {name: sys.modules.pop(name) for name in names}
        sys.modules.update(modules)
        return found


RULES = (
    right_ones,
    wrong_ones,
    hidden_ones,
    deep_checks,
    starters,
    emptied_inputs,
    spoilt_values,
    visible_first,
    feedback,
    own_work,
)
