"""Grading in a scratch copy, and what it would change."""

from __future__ import annotations

import secrets
import shutil

import nbformat
from nbgrader.api import Gradebook, MissingEntry

from autograder.authoring.build import build_text
from autograder.cells import grade_id_of, is_test_cell, nbgrader_metadata
from autograder.course import EXECUTED, Course
from autograder.course.commands import run_nbgrader
from autograder.course.settings import gradebook_file, gradebook_url
from autograder.files import write_atomically
from autograder.gradebook.record import ClassRecord, collect
from autograder.grading.outcomes import UNFINISHED
from autograder.regrade.changes import Changes
from autograder.regrade.promotion import finish_or_take_back
from autograder.regrade.workspace import RegradeError, lay_out, locked, state_of, workspace
from autograder.report.snapshots import compare, now, snapshot_of
from autograder.wording import last_lines


def _build(scratch: Course, assignment: str) -> None:
    """Build the exercise notebooks; theory, which is executed, carries no points."""
    for text in scratch.texts(assignment):
        if text.stem not in EXECUTED:
            write_atomically(text.with_suffix(".ipynb"), build_text(text))


def _sources(course: Course, assignment: str) -> dict[str, str]:
    """Return the text of each graded cell that the gradebook knows."""
    with Gradebook(course.database_url) as gradebook:
        try:
            notebooks = gradebook.find_assignment(assignment).notebooks
        except MissingEntry:
            return {}
        return {
            cell.name: cell.source or ""
            for notebook in notebooks
            for cell in notebook.source_cells
            if cell.name in {graded.name for graded in notebook.grade_cells}
        }


def _refuse_other_cells(scratch: Course, assignment: str, known: dict[str, str]) -> None:
    """Refuse graded cells that the gradebook lacks, and ones that are gone."""
    built = set()
    for path in (scratch.source / assignment).glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if is_test_cell(cell) or nbgrader_metadata(cell).get("grade"):
                built.add(grade_id_of(cell) or "")
    added, removed = sorted(built - set(known)), sorted(set(known) - built)
    if added or removed:
        parts = [f"added: {', '.join(added)}"] * bool(added)
        parts += [f"removed: {', '.join(removed)}"] * bool(removed)
        raise RegradeError(
            f"graded cells of {assignment} were {'; '.join(parts)}. nbgrader takes no new graded "
            "cell and gives none up once the gradebook holds submissions. Keep the cells: change "
            "what stands in them, or what they are worth."
        )


def _nbgrader(scratch: Course, *arguments: str) -> tuple[int, str]:
    """Run an nbgrader command on the scratch copy, whatever the configuration says."""
    done = run_nbgrader(
        scratch.root,
        *arguments,
        f"--CourseDirectory.root={scratch.root}",
        f"--CourseDirectory.db_url={scratch.database_url}",
    )
    return done.returncode, done.stderr


def _grade(scratch: Course, assignment: str) -> ClassRecord:
    code, log = _nbgrader(scratch, "generate_assignment", assignment, "--create", "--force")
    if code != 0:
        raise RegradeError(f"nbgrader generate_assignment {assignment} failed:\n{last_lines(log)}")
    code, log = _nbgrader(scratch, "autograde", assignment)
    (scratch.root / "regrade.log").write_text(log, encoding="utf-8")
    record = collect(scratch, assignment)
    unfinished = [
        one.student for one in record.submissions if one.reason in (UNFINISHED, "not graded yet")
    ]
    if unfinished or code not in (0, 1):
        raise RegradeError(
            f"nbgrader autograde {assignment} did not finish (exit code {code}, "
            f"{len(unfinished)} submissions left):\n{last_lines(log)}"
        )
    return record


def plan(course: Course, assignment: str) -> Changes:
    """Build, release and grade in a scratch copy, and return what would change.

    The course itself is left as it is, gradebook included.

    Parameters
    ----------
    course : Course
        The course folder; its gradebook is the SQLite file ``gradebook.db``.
    assignment : str
        The assignment's name.

    Raises
    ------
    ValueError
        If there is no such assignment.
    RegradeError
        If there is nothing to regrade, graded cells were added or removed, or a step
        fails.
    """
    course.texts(assignment)  # names the chapters there are, if this is none of them
    if gradebook_file(gradebook_url(course)) != course.database:
        raise RegradeError(
            f"nbgrader_config.py names another gradebook than {course.database.name} in the course "
            "folder; regrade copies that file, so it cannot work with another one"
        )
    if not course.database.is_file():
        raise RegradeError(f"there is no gradebook at {course.database}; release and grade first")
    if not any(course.submitted.glob(f"*/{assignment}")):
        raise RegradeError(f"nobody has handed in {assignment}: there is nothing to regrade")
    with locked(course):
        finish_or_take_back(course, assignment)
        state = state_of(course, assignment)
        before = collect(course, assignment)
        known = _sources(course, assignment)
        scratch = lay_out(course, assignment)
        _build(scratch, assignment)
        _refuse_other_cells(scratch, assignment, known)
        after = _grade(scratch, assignment)
        token = secrets.token_hex(16)
        (scratch.root / "token").write_text(token, encoding="ascii")
        old, new = snapshot_of(before, now()), snapshot_of(after, now())
        return Changes(
            assignment=assignment,
            before=old,
            after=new,
            comparison=compare(old, new),
            tests=tuple(
                name
                for name, source in _sources(scratch, assignment).items()
                if source != known.get(name)
            ),
            not_graded={one.student: one.reason for one in after.submissions if one.grades is None},
            state=state,
            token=token,
        )


def discard(course: Course, changes: Changes) -> None:
    """Remove the scratch copy of a plan that is not applied."""
    with locked(course):
        shutil.rmtree(workspace(course, changes.assignment), ignore_errors=True)
