"""Submissions of every kind that graders meet, generated from the release and the bank.

Each case knows the score it deserves before anything is graded; a test holds the
grading to that.
"""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder import bank
from autograder.bank import runner
from autograder.cells import grade_id_of, is_test_cell, points_by_exercise
from autograder.course import Course

#: Every student of the sample class has this prefix, so that a real class is never touched.
PREFIX = "sample_"

EXERCISES = "exercises.ipynb"

#: Students whose theory notebook is missing, or is one of their own.
WITHOUT_THEORY, NO_NOTEBOOK, BROKEN_THEORY = "without_theory", "no_notebook", "broken_theory"


@dataclass(frozen=True)
class Case:
    """One submission: who, what is special about it, what it deserves.

    `scores` maps each exercise to its points, or is None if the submission cannot
    be graded; then `reason` is part of what the grader is told. `remark` is part of
    what the grader is told about one that was graded.
    """

    student: str
    about: str
    scores: dict[str, float] | None
    reason: str = ""
    remark: str = ""


class Chapter:
    """The material that cases are made of: released notebook, tests, bank, points."""

    def __init__(self, course: Course, name: str) -> None:
        self.name = name
        self.folder = course.release / name
        self.exercises = bank.load(name)
        self.built = nbformat.read(course.source / name / EXERCISES, as_version=4)
        self.points = points_by_exercise(self.built)

    def blank(self) -> NotebookNode:
        """Return the notebook as released."""
        return nbformat.read(self.folder / EXERCISES, as_version=4)

    def solved(self, pick: int = 0, only: int | None = None) -> NotebookNode:
        """Return the notebook solved by the bank's right solutions number `pick`.

        `only` solves that many exercises and leaves the rest as released.
        """
        notebook = self.blank()
        for exercise in self.exercises[:only]:
            code = exercise.right[pick % len(exercise.right)].code
            solution_cell(notebook, exercise.slug).source = code
        return notebook

    def full(self, **changed: float) -> dict[str, float]:
        """Return full points for each exercise but those named."""
        return {**self.points, **changed}


def solution_cell(notebook: NotebookNode, slug: str) -> NotebookNode:
    """Return the cell that holds the learner's solution of an exercise."""
    return next(cell for cell in notebook.cells if grade_id_of(cell) == f"{slug}__solution")


def try_it_cell(notebook: NotebookNode, slug: str) -> NotebookNode:
    """Return the ungraded code cell behind an exercise's solution."""
    position = notebook.cells.index(solution_cell(notebook, slug)) + 1
    cell = notebook.cells[position]
    assert cell.cell_type == "code" and grade_id_of(cell) is None
    return cell


Write = Callable[[Path], None]
Scores = dict[str, float]


def _save(notebook: NotebookNode, name: str = EXERCISES) -> Write:
    return _save_bytes(_raw(notebook), name)


def _save_bytes(data: bytes, name: str = EXERCISES) -> Write:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return write


def _raw(notebook: NotebookNode) -> bytes:
    """Return the notebook as JSON, without the repairs that nbformat makes when it writes."""
    return json.dumps(notebook, indent=1).encode("utf-8")


def cases(chapter: Chapter, thorough: bool = True) -> list[tuple[Case, Write]]:
    """Return the sample class of a chapter.

    Parameters
    ----------
    chapter : Chapter
        The material.
    thorough : bool
        Add what goes wrong in files, cells and kernels, which is the same in every
        chapter, to what differs: right, wrong, borrowed and missing work.
    """
    kinds = [honest_work]
    if thorough:
        kinds += [tampered_cells, damaged_files, other_jupyters, runaway_code]
    return [made for kind in kinds for made in kind(chapter)]


def _case(
    name: str, about: str, scores: Scores | None, write: Write, **told: str
) -> tuple[Case, Write]:
    return Case(PREFIX + name, about, scores, **told), write


def honest_work(chapter: Chapter) -> Iterator[tuple[Case, Write]]:
    """Yield solved, half solved, wrong, untouched and borrowed notebooks."""
    for pick in range(min(len(exercise.right) for exercise in chapter.exercises)):
        name, about = f"all_right_{pick + 1}", f"every exercise solved, in way {pick + 1}"
        yield _case(name, about, chapter.full(), _save(chapter.solved(pick)))

    for pick in range(2):
        notebook, scores = chapter.blank(), {}
        for exercise in chapter.exercises:
            code = exercise.wrong[pick % len(exercise.wrong)].code
            solution_cell(notebook, exercise.slug).source = code
            scores[exercise.slug] = runner.run(chapter.built, exercise.slug, code).total
        name = f"misconceptions_{pick + 1}"
        yield _case(name, "a misconception in each", scores, _save(notebook))

    solved = len(chapter.exercises) // 2
    some = {
        exercise.slug: chapter.points[exercise.slug] if number < solved else 0.0
        for number, exercise in enumerate(chapter.exercises)
    }
    yield _case("half_done", "the first half solved", some, _save(chapter.solved(only=solved)))

    nothing = dict.fromkeys(chapter.points, 0.0)
    yield _case("untouched", "handed in as released", nothing, _save(chapter.blank()))

    notebook = chapter.blank()
    borrowed = [exercise for exercise in chapter.exercises if exercise.library]
    for exercise in borrowed:
        solution_cell(notebook, exercise.slug).source = exercise.library[0].code
    if borrowed:
        yield _case(
            "calls_the_package",
            "imports each answer from the package",
            nothing,
            _save(notebook),
            remark="no credit for calling the package's answer",
        )

    notebook = chapter.solved()
    yield _case(WITHOUT_THEORY, "theory.ipynb not handed in", chapter.full(), _save(notebook))


def tampered_cells(chapter: Chapter) -> Iterator[tuple[Case, Write]]:
    """Yield notebooks whose course cells were copied, deleted or changed."""
    notebook = chapter.solved()
    for cell in [cell for cell in notebook.cells if grade_id_of(cell)]:
        notebook.cells.insert(notebook.cells.index(cell), copy.deepcopy(cell))
    yield _case(
        "duplicated_cells",
        "every course cell stands twice",
        chapter.full(),
        _save(notebook),
        remark="duplicated cells set aside",
    )

    notebook = chapter.solved()
    notebook.cells = [cell for cell in notebook.cells if not is_test_cell(cell)]
    yield _case(
        "deleted_tests",
        "solved, all tests deleted",
        chapter.full(),
        _save(notebook),
        remark="deleted graded cells put back",
    )

    notebook = chapter.solved()
    exercise = chapter.exercises[0]
    wrong = exercise.wrong[0].code
    solution_cell(notebook, exercise.slug).source = wrong
    for cell in filter(is_test_cell, notebook.cells):
        cell.source = "pass"
    earned = runner.run(chapter.built, exercise.slug, wrong).total
    yield _case(
        "edited_tests",
        "one exercise wrong, all tests emptied",
        chapter.full(**{exercise.slug: earned}),
        _save(notebook),
        remark="edited course cells restored",
    )


def damaged_files(chapter: Chapter) -> Iterator[tuple[Case, Write]]:
    """Yield what is not a notebook, or not where one is expected."""
    solved = _raw(chapter.solved())
    damage = {
        "corrupt_json": ("bytes overwritten", solved[:2000] + b"\x00}{" * 40 + solved[2120:]),
        "truncated_json": ("upload cut in half", solved[: len(solved) // 2]),
    }
    for name, (about, data) in damage.items():
        yield _case(name, about, None, _save_bytes(data), reason="not valid JSON")
    yield _case(
        "empty_file", "a file of zero bytes", None, _save_bytes(b""), reason="an empty file"
    )
    renamed = {
        "renamed_notebook": ("another name, beside theory.ipynb", "homework (1).ipynb"),
        NO_NOTEBOOK: ("as some browsers save it, and no theory", "exercises.ipynb.txt"),
    }
    for name, (about, file) in renamed.items():
        reason = f"exercises.ipynb is missing; the folder holds {file}"
        yield _case(name, about, None, _save(chapter.solved(), file), reason=reason)

    solved_exercises = _save(chapter.solved())

    def with_broken_theory(folder: Path) -> None:
        solved_exercises(folder)
        (folder / "theory.ipynb").write_text('{"cells": [', encoding="utf-8")

    yield _case(
        BROKEN_THEORY,
        "solved, theory.ipynb cut short",
        chapter.full(),
        with_broken_theory,
        remark="theory.ipynb could not be read; it carries no points",
    )


def other_jupyters(chapter: Chapter) -> Iterator[tuple[Case, Write]]:
    """Yield notebooks saved elsewhere: another kernel, an old format."""
    notebook = chapter.solved()
    notebook.metadata["kernelspec"] = {
        "display_name": "Somewhere else",
        "language": "python",
        "name": "conda-env-elsewhere-py",
    }
    yield _case(
        "missing_kernelspec", "names a kernel that is not here", chapter.full(), _save(notebook)
    )

    notebook = chapter.solved()
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        cell.pop("id", None)
    yield _case("no_cell_ids", "saved by an old Jupyter", chapter.full(), _save(notebook))


def runaway_code(chapter: Chapter) -> Iterator[tuple[Case, Write]]:
    """Yield code that does not end, floods, dies, leaves something behind, or warns."""
    slugs = itertools.cycle(exercise.slug for exercise in chapter.exercises)
    first, second, third = itertools.islice(slugs, 3)

    notebook = chapter.solved()
    solution_cell(notebook, first).source = _always(chapter, first, "while True:\n        pass")
    yield _case(
        "endless_loop",
        "one solution never returns",
        chapter.full(**{first: 0.0}),
        _save(notebook),
        remark="stopped after",
    )

    notebook = chapter.solved()
    told = "print('request', i, 'meets in the batch', list(range(i, i + 100)))"
    try_it_cell(notebook, second).source = f"for i in range(10_000_000):\n    {told}"
    yield _case(
        "ten_million_prints",
        "solved, a print in a long loop",
        chapter.full(),
        _save(notebook),
        remark="bytes of output",
    )

    notebook = chapter.solved()
    kill = "import os\n    import signal\n\n    os.kill(os.getpid(), signal.SIGKILL)"
    solution_cell(notebook, third).source = _always(chapter, third, kill)
    yield _case(
        "killed_kernel",
        "one solution kills its kernel",
        chapter.full(**{third: 0.0}),
        _save(notebook),
        remark="killed the kernel",
    )

    notebook = chapter.solved()
    try_it_cell(notebook, first).source = (
        "import subprocess\n\n"
        'subprocess.Popen(["sleep", "3601"], start_new_session=True, stdout=1, stderr=2)'
    )
    yield _case("orphan_process", "leaves a process behind", chapter.full(), _save(notebook))

    notebook = chapter.solved()
    try_it_cell(notebook, second).source = "quit()"
    yield _case(
        "quits_the_kernel",
        "solved, quit() in an ungraded cell",
        chapter.full(),
        _save(notebook),
        remark="ended the kernel with quit() or exit()",
    )

    notebook = chapter.solved()
    cell = solution_cell(notebook, first)
    cell.source = f'import os\n\nos.mkdir("out")\n\n\n{cell.source}'
    yield _case(
        "makes_a_folder",
        "solved, a solution cell that can run only once in a folder",
        chapter.full(),
        _save(notebook),
    )

    notebook = chapter.solved()
    for exercise in chapter.exercises:
        cell = solution_cell(notebook, exercise.slug)
        cell.source = _warning_first(cell.source)
    yield _case("noisy_stderr", "solved, with warnings on stderr", chapter.full(), _save(notebook))


def _always(chapter: Chapter, slug: str, body: str) -> str:
    """Return a solution whose functions all do `body`."""
    return "\n\n".join(
        f"def {function}(*args, **kwargs):\n    {body}"
        for exercise in chapter.exercises
        if exercise.slug == slug
        for function in exercise.functions
    )


def _warning_first(code: str) -> str:
    """Return the solution with each of its functions warning on stderr when called."""
    lines = []
    for line in code.splitlines():
        lines.append(line)
        if line.startswith("def ") and line.endswith(":"):
            lines.append('    import warnings\n\n    warnings.warn("careful", stacklevel=2)\n')
    return "\n".join(lines)


def lay_out(course: Course, chapter: Chapter, thorough: bool = True) -> list[Case]:
    """Write the sample class into ``submitted/`` and return its cases.

    Only folders of sample students are replaced.
    """
    made = []
    for case, write in cases(chapter, thorough):
        folder = course.submitted / case.student / chapter.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(folder)
        if case.student.removeprefix(PREFIX) not in (WITHOUT_THEORY, NO_NOTEBOOK, BROKEN_THEORY):
            for path in sorted(chapter.folder.glob("*.ipynb")):
                if path.name != EXERCISES:
                    shutil.copy(path, folder)
        made.append(case)
    return made
