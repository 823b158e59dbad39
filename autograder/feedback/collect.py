"""Bringing together the facts of one submission: gradebook, notebooks, transcript, bank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.api import Gradebook

from autograder import bank
from autograder.attempts.policy import Attempts
from autograder.attempts.record import Records
from autograder.attempts.rules import standing
from autograder.cells import grade_id_of, is_test_cell
from autograder.course import Course
from autograder.feedback import safe
from autograder.feedback.facts import Exercise, Link, Submission, Suspicion
from autograder.feedback.misconceptions import load_transcript, match
from autograder.feedback.notebooks import cells_without_id, read_json
from autograder.feedback.played import played
from autograder.feedback.results import WORDS, name_of, result_of
from autograder.feedback.said import read_cells
from autograder.feedback.theory import theory_link
from autograder.feedback.work import HandedIn, last_error, pieces
from autograder.gradebook.reader import CellGrade, comments_of, due_of, grades_of, sources_of
from autograder.grading.outcomes import NOT_GRADED, load_outcome


@dataclass(frozen=True)
class Places:
    """Where the files of one course lie, and where links to the theory lead.

    `policy` is the course's for attempts, and `zone` its clocks'.
    """

    root: Path
    db_url: str
    source: Path
    submitted: Path
    theory_url: str = ""
    policy: Attempts | None = None
    zone: tzinfo = UTC


class Collector:
    """Reads one notebook of a submission and what became of it.

    Parameters
    ----------
    places : Places
        Where things are.
    student, assignment, notebook : str
        Whose, and which.
    """

    def __init__(self, places: Places, student: str, assignment: str, notebook: str) -> None:
        self._places, self._student = places, student
        self._assignment, self._notebook = assignment, notebook
        self._known = {exercise.slug: exercise for exercise in bank.load(assignment)}
        with Gradebook(places.db_url) as gradebook:
            kept = sources_of(gradebook, assignment, notebook)
            self._grades = grades_of(gradebook, assignment, student=student, notebook=notebook)
            self._comments = comments_of(gradebook, assignment, student, notebook)
        cells = read_cells(tuple(kept.items()))
        self._sources, self._sayable, self._hidden = cells.sources, cells.sayable, cells.hidden

    def not_graded(self, reason: str) -> Submission:
        """Return what there is to say of a submission that could not be graded."""
        reason = self._hidden.keep_out_of(safe.line_of_text(reason, 600))
        return Submission(
            self._student,
            self._assignment,
            self._notebook,
            reason=reason,
            standing=self._standing(),
        )

    def _standing(self) -> tuple[str, ...]:
        """Say where the learner stands by the rules for attempts, if attempts are kept."""
        places = self._places
        records = Records(Course(places.root))
        about = records.placed(self._assignment, self._student)
        if about is None or places.policy is None:
            return ()
        with Gradebook(places.db_url) as gradebook:
            due = due_of(gradebook, self._assignment, self._student)
        made = records.of(self._assignment, self._student)
        return tuple(standing(places.policy, made, about, places.zone, due))

    def collect(self, executed: NotebookNode | None) -> Submission:
        """Return the facts of the page.

        Parameters
        ----------
        executed : NotebookNode or None
            The graded notebook; None if it cannot be read, then there are points only.
        """
        outcome = load_outcome(self._places.root, self._assignment, self._student)
        if outcome is not None and outcome.status == NOT_GRADED:
            return self.not_graded(outcome.reason)
        graded = self._grades.get(self._student)
        if graded is None:
            return self.not_graded("the gradebook holds no grades for it")
        transcript = load_transcript(Course(self._places.root), self._assignment, self._student)
        remarks = [] if outcome is None else outcome.remarks
        if executed is None:
            remarks = [*remarks, "the graded notebook cannot be read any more: points only"]
        cells = executed.cells if executed is not None else []
        exercises = self._exercises(graded.cells, cells)
        return Submission(
            self._student,
            self._assignment,
            self._notebook,
            exercises=tuple(
                self._with_suspicions(self._with_plans(one, transcript), transcript)
                for one in exercises
            ),
            remarks=tuple(self._hidden.keep_out_of(safe.line_of_text(said)) for said in remarks),
            late_penalty=graded.penalty,
            standing=self._standing(),
        )

    def _exercises(
        self, scores: Mapping[str, CellGrade], cells: list[NotebookNode]
    ) -> list[Exercise]:
        slugs = self._slugs(scores, cells)
        parts = _cells_by_exercise(cells, set(slugs))
        errors = {grade_id_of(cell) or "": last_error(cell) for cell in cells if is_test_cell(cell)}
        path = self._places.submitted / self._student / self._assignment
        handed_in = HandedIn(read_json(path / f"{self._notebook}.ipynb"))
        source = self._places.source / self._assignment / f"{self._notebook}.ipynb"
        ours = cells_without_id(source)
        return [
            self._titled(
                Exercise(
                    slug,
                    slug.replace("_", " ").capitalize(),
                    tests=tuple(
                        replace(
                            result_of(
                                grade_id,
                                score,
                                self._sources,
                                errors,
                                self._hidden,
                                self._sayable.get(grade_id, ()),
                            ),
                            grade_id=grade_id,
                        )
                        for grade_id, score in _in_order(scores, cells)
                        if name_of(grade_id).slug == slug
                    ),
                    work=tuple(pieces(parts.get(slug, []), handed_in, self._hidden, ours)),
                    comments=tuple(
                        self._hidden.keep_out_of_lines(safe.clean_text(comment))
                        for grade_id, comment in self._comments.items()
                        if name_of(grade_id).slug == slug
                    ),
                )
            )
            for slug in slugs
        ]

    def _slugs(self, scores: Mapping[str, CellGrade], cells: Iterable[NotebookNode]) -> list[str]:
        """Return the exercises: in the bank's order, then as they stand in the notebook."""
        found = {name_of(name).slug for name in scores}
        standing = [name_of(name).slug for cell in cells if (name := grade_id_of(cell))]
        order = dict.fromkeys([*self._known, *standing, *sorted(found)])
        return [slug for slug in order if slug in found]

    def _titled(self, exercise: Exercise) -> Exercise:
        known = self._known.get(exercise.slug)
        if known is None:
            return exercise
        theory = self._theory(known.section)
        return replace(exercise, title=known.title, number=known.number, theory=theory)

    def _with_plans(self, exercise: Exercise, transcript: Mapping[str, object]) -> Exercise:
        """Add what the learner's plans did, where the tests play them."""
        known = self._known.get(exercise.slug)
        found = played(known, transcript) if known is not None else {}
        less = (WORDS["AssertionError"], WORDS[""])  # than what the plan did
        tests = [
            replace(test, played=found[test.grade_id], why="" if test.why in less else test.why)
            if test.grade_id in found
            else test
            for test in exercise.tests
        ]
        return replace(exercise, tests=tuple(tests))

    def _with_suspicions(self, exercise: Exercise, transcript: Mapping[str, object]) -> Exercise:
        """Add misconceptions where points were lost and answers were recorded."""
        known = self._known.get(exercise.slug)
        if known is None or not exercise.failed:
            return exercise
        suspicions = tuple(
            Suspicion(
                # The bank's words are for learners; a hidden test may happen to use the same.
                replace(found, hint="" if self._hidden.shown_in(found.hint) else found.hint),
                self._theory(found.section),
            )
            for found in match(known, transcript)
            if not self._hidden.shown_in(found.misconception)
        )
        return replace(exercise, suspicions=suspicions)

    def _theory(self, section: str) -> Link:
        places = self._places
        return theory_link(places.source, places.theory_url, self._assignment, section)


def _cells_by_exercise(
    cells: Iterable[NotebookNode], slugs: set[str]
) -> dict[str, list[NotebookNode]]:
    """Return the cells of each exercise: from its first graded or stated cell to the next's."""
    parts: dict[str, list[NotebookNode]] = {slug: [] for slug in slugs}
    current = ""
    for cell in cells:
        grade_id = grade_id_of(cell)
        if grade_id:
            current = name_of(grade_id).slug
        if current in slugs:
            parts[current].append(cell)
    return parts


def _in_order(
    scores: Mapping[str, CellGrade], cells: Iterable[NotebookNode]
) -> list[tuple[str, CellGrade]]:
    standing = {name: position for position, name in enumerate(map(grade_id_of, cells)) if name}
    return sorted(scores.items(), key=lambda item: (standing.get(item[0], len(standing)), item[0]))
