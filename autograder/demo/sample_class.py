"""Submissions of every kind that graders meet, generated from the release and the bank.

Each case knows the score it deserves before anything is graded; a test holds the
grading to that.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
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


def cases(chapter: Chapter) -> list[tuple[Case, Write]]:
    """Return the sample class of a chapter."""
    first, second, third = (exercise.slug for exercise in chapter.exercises[:3])
    made: list[tuple[Case, Write]] = []

    def add(
        name: str, about: str, scores: dict[str, float] | None, write: Write, **told: str
    ) -> None:
        made.append((Case(PREFIX + name, about, scores, **told), write))

    for pick in range(min(len(exercise.right) for exercise in chapter.exercises)):
        add(
            f"all_right_{pick + 1}",
            f"every exercise solved, in way {pick + 1}",
            chapter.full(),
            _save(chapter.solved(pick)),
        )
    for pick in range(2):
        notebook, scores = chapter.blank(), {}
        for exercise in chapter.exercises:
            code = exercise.wrong[pick % len(exercise.wrong)].code
            solution_cell(notebook, exercise.slug).source = code
            scores[exercise.slug] = runner.run(chapter.built, exercise.slug, code).total
        add(f"misconceptions_{pick + 1}", "a misconception in each", scores, _save(notebook))

    solved = len(chapter.exercises) // 2
    some = {
        exercise.slug: chapter.points[exercise.slug] if number < solved else 0.0
        for number, exercise in enumerate(chapter.exercises)
    }
    add("half_done", "the first half solved", some, _save(chapter.solved(only=solved)))
    nothing = dict.fromkeys(chapter.points, 0.0)
    add("untouched", "handed in as released", nothing, _save(chapter.blank()))

    notebook = chapter.blank()
    for exercise in chapter.exercises:
        solution_cell(notebook, exercise.slug).source = exercise.library[0].code
    add(
        "calls_the_package",
        "imports each answer from the package",
        nothing,
        _save(notebook),
        remark="no credit for calling the package's answer",
    )

    notebook = chapter.solved()
    for cell in [cell for cell in notebook.cells if grade_id_of(cell)]:
        position = notebook.cells.index(cell)
        notebook.cells.insert(position, copy.deepcopy(cell))
    add(
        "duplicated_cells",
        "every course cell stands twice",
        chapter.full(),
        _save(notebook),
        remark="duplicated cells set aside",
    )

    notebook = chapter.solved()
    notebook.cells = [cell for cell in notebook.cells if not is_test_cell(cell)]
    add(
        "deleted_tests",
        "solved, all tests deleted",
        chapter.full(),
        _save(notebook),
        remark="deleted graded cells put back",
    )

    notebook = chapter.solved()
    solution_cell(notebook, first).source = chapter.exercises[0].wrong[0].code
    for cell in filter(is_test_cell, notebook.cells):
        cell.source = "pass"
    earned = runner.run(chapter.built, first, chapter.exercises[0].wrong[0].code).total
    add(
        "edited_tests",
        "one exercise wrong, all tests emptied",
        chapter.full(**{first: earned}),
        _save(notebook),
        remark="edited course cells restored",
    )

    solved_bytes = _raw(chapter.solved())
    add(
        "corrupt_json",
        "bytes in the middle overwritten",
        None,
        _save_bytes(solved_bytes[:2000] + b"\x00}{" * 40 + solved_bytes[2120:]),
        reason="not valid JSON",
    )
    add(
        "truncated_json",
        "upload cut in half",
        None,
        _save_bytes(solved_bytes[: len(solved_bytes) // 2]),
        reason="not valid JSON",
    )
    add("empty_file", "a file of zero bytes", None, _save_bytes(b""), reason="an empty file")
    add(
        "renamed_notebook",
        "exercises.ipynb under another name",
        None,
        _save(chapter.solved(), "homework (1).ipynb"),
        reason="exercises.ipynb is missing",
    )

    add(
        "no_notebook",
        "exercises.ipynb.txt, as some browsers save it, and no theory",
        None,
        _save(chapter.solved(), "exercises.ipynb.txt"),
        reason="exercises.ipynb is missing; the folder holds exercises.ipynb.txt",
    )

    notebook = chapter.solved()
    notebook.metadata["kernelspec"] = {
        "display_name": "Somewhere else",
        "language": "python",
        "name": "conda-env-elsewhere-py",
    }
    add("missing_kernelspec", "names a kernel that is not here", chapter.full(), _save(notebook))

    notebook = chapter.solved()
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        cell.pop("id", None)
    add("no_cell_ids", "saved by an old Jupyter", chapter.full(), _save(notebook))

    notebook = chapter.solved()
    solution_cell(notebook, first).source = _always(chapter, 0, "while True:\n        pass")
    add(
        "endless_loop",
        "one solution never returns",
        chapter.full(**{first: 0.0}),
        _save(notebook),
        remark="stopped after 10 s",
    )

    notebook = chapter.solved()
    try_it_cell(notebook, second).source = "for i in range(10_000_000):\n    print(i)"
    add(
        "ten_million_prints",
        "solved, a print in a long loop",
        chapter.full(),
        _save(notebook),
        remark="bytes of output",
    )

    notebook = chapter.solved()
    kill = "import os\n    import signal\n\n    os.kill(os.getpid(), signal.SIGKILL)"
    solution_cell(notebook, third).source = _always(chapter, 2, kill)
    add(
        "killed_kernel",
        "one solution kills its kernel",
        chapter.full(**{third: 0.0}),
        _save(notebook),
        remark="killed the kernel",
    )

    notebook = chapter.solved()
    try_it_cell(notebook, first).source = (
        "import subprocess\n\n"
        'subprocess.Popen(["sleep", "3600"], start_new_session=True, stdout=1, stderr=2)'
    )
    add("orphan_process", "leaves a process behind", chapter.full(), _save(notebook))

    notebook = chapter.solved()
    for exercise in chapter.exercises:
        cell = solution_cell(notebook, exercise.slug)
        cell.source = _warning_first(cell.source)
    add("noisy_stderr", "solved, with warnings on stderr", chapter.full(), _save(notebook))

    add("without_theory", "theory.ipynb not handed in", chapter.full(), _save(chapter.solved()))
    return made


def _always(chapter: Chapter, number: int, body: str) -> str:
    """Return a solution whose functions all do `body`."""
    return "\n\n".join(
        f"def {function}(*args, **kwargs):\n    {body}"
        for function in chapter.exercises[number].functions
    )


def _warning_first(code: str) -> str:
    """Return the solution with each of its functions warning on stderr when called."""
    lines = []
    for line in code.splitlines():
        lines.append(line)
        if line.startswith("def ") and line.endswith(":"):
            lines.append('    import warnings\n\n    warnings.warn("careful", stacklevel=2)\n')
    return "\n".join(lines)


def lay_out(course: Course, chapter: Chapter) -> list[Case]:
    """Write the sample class into ``submitted/`` and return its cases.

    Only folders of sample students are replaced.
    """
    made = []
    for case, write in cases(chapter):
        folder = course.submitted / case.student / chapter.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(folder)
        if case.student.removeprefix(PREFIX) not in ("without_theory", "no_notebook"):
            for path in sorted(chapter.folder.glob("*.ipynb")):
                if path.name != EXERCISES:
                    shutil.copy(path, folder)
        made.append(case)
    return made
