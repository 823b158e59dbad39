"""The facts of one submission that its feedback page shows."""

from __future__ import annotations

import builtins
import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry

from autograder import bank
from autograder.cells import CellName, grade_id_of, is_test_cell, parse_grade_id
from autograder.feedback import safe
from autograder.feedback.hidden import CellSource, HiddenTests, split_source
from autograder.feedback.misconceptions import Misconception, load_transcript, match
from autograder.feedback.work import HandedIn, Piece, last_error, pieces
from autograder.grading.outcomes import NOT_GRADED, load_outcome

#: A notebook beyond this many bytes is not read again for its outputs.
MOST_BYTES = 50_000_000

#: What became of a test, in our own words: an exception's text may hold anything.
WORDS = {
    "AssertionError": "The test ran, and an answer was not what the statement asks for.",
    "NotImplementedError": "The function is not written yet.",
    "NotRun": "This test could not be run.",
    "NoCredit": "The solution only calls the package's own answer to this question. "
    "Write the computation yourself; other parts of the package are welcome.",
    "CellTimeoutError": "It took too long and was stopped.",
    "DeadKernelError": "The code ended the program that ran it.",
    "OutputFlood": "It printed so much that it was stopped.",
}


@dataclass(frozen=True)
class Link:
    """A section of the theory: what to call it, and where it is, if anywhere."""

    title: str
    url: str = ""


@dataclass(frozen=True)
class Result:
    """One graded cell: what it tests in words, its points, and why points were lost.

    `message` is what a visible test said; of a hidden one it is always empty.
    """

    title: str
    hidden: bool
    points: float
    of: float
    by_hand: bool = False
    waiting: bool = False
    why: str = ""
    message: str = ""

    @property
    def passed(self) -> bool:
        """Whether it has all its points."""
        return self.points >= self.of

    @property
    def state(self) -> str:
        """What became of it, in a word."""
        if self.waiting:
            return "waits for a grader"
        if self.passed:
            return "passed"
        return "in part" if self.points > 0 else "failed"


@dataclass(frozen=True)
class Suspicion:
    """A likely misconception, with the section of the theory that helps."""

    found: Misconception
    theory: Link


@dataclass(frozen=True)
class Exercise:
    """What a learner reads about one exercise."""

    slug: str
    title: str
    number: int | None = None
    theory: Link | None = None
    tests: tuple[Result, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    work: tuple[Piece, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(test.points for test in self.tests)

    @property
    def of(self) -> float:
        """Points there are."""
        return sum(test.of for test in self.tests)

    @property
    def waiting(self) -> bool:
        """Whether a person has still to grade part of it."""
        return any(test.waiting for test in self.tests)

    @property
    def failed(self) -> tuple[Result, ...]:
        """Tests that lost points."""
        return tuple(test for test in self.tests if not test.passed and not test.waiting)


@dataclass(frozen=True)
class Submission:
    """What a learner reads about one notebook; `reason` says why it could not be graded."""

    student: str
    assignment: str
    notebook: str
    exercises: tuple[Exercise, ...] = ()
    remarks: tuple[str, ...] = ()
    reason: str = ""
    late_penalty: float = 0.0
    other_pages: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """Points earned, less what being late costs; never below 0."""
        return max(0.0, sum(exercise.points for exercise in self.exercises) - self.late_penalty)

    @property
    def of(self) -> float:
        """Points there are."""
        return sum(exercise.of for exercise in self.exercises)

    @property
    def waiting(self) -> bool:
        """Whether a person has still to grade part of it."""
        return any(exercise.waiting for exercise in self.exercises)


@dataclass(frozen=True)
class Score:
    """What the gradebook says of one graded cell."""

    points: float
    of: float
    by_hand: bool
    waiting: bool


@dataclass
class Graded:
    """What the gradebook says of one notebook of a submission."""

    sources: dict[str, CellSource] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    late_penalty: float = 0.0


@dataclass(frozen=True)
class Places:
    """Where the files of one course lie, and how pages link to the theory.

    In `theory_url`, ``{anchor}`` stands for the section; empty means no links.
    """

    root: Path
    db_url: str
    source: Path
    submitted: Path
    theory_url: str = ""


def read_gradebook(places: Places, student: str, assignment: str, notebook: str) -> Graded:
    """Return what the gradebook says of one notebook of a submission.

    Raises
    ------
    MissingEntry
        If the gradebook has no such submission.
    """
    graded = Graded()
    with Gradebook(places.db_url) as gradebook:
        found = gradebook.find_submission_notebook(notebook, assignment, student)
        original = gradebook.find_notebook(notebook, assignment)
        graded.sources = {
            cell.name: split_source(str(cell.source or "")) for cell in original.source_cells
        }
        for grade in found.grades:
            graded.scores[grade.name] = Score(
                points=float(grade.score or 0),
                of=float(grade.max_score or 0),
                by_hand=grade.manual_score is not None,
                waiting=bool(grade.needs_manual_grade),
            )
        for comment in found.comments:
            if comment.comment:
                graded.comments[comment.name] = str(comment.comment)
        graded.late_penalty = float(found.late_submission_penalty or 0)
    return graded


def graded_notebooks(db_url: str, assignment: str) -> list[str]:
    """Return the notebooks of an assignment that carry points."""
    with Gradebook(db_url) as gradebook:
        try:
            notebooks = gradebook.find_assignment(assignment).notebooks
        except MissingEntry:
            return []
        return [notebook.name for notebook in notebooks if notebook.grade_cells]


def read_json(path: Path) -> object:
    """Return what a file holds as JSON; None if it is missing, damaged, a link, or too large."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def read_notebook(path: Path) -> NotebookNode | None:
    """Return a notebook of our own, or None if it is missing or damaged."""
    if not isinstance(read_json(path), dict):
        return None
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception:  # whatever a damaged file makes of nbformat
        return None
    return notebook


def name_of(grade_id: str) -> CellName:
    """Return the parts of a `grade_id`; one of another scheme is an exercise of its own."""
    try:
        return parse_grade_id(grade_id)
    except ValueError:
        return CellName(grade_id, "visible")


def theory_link(places: Places, assignment: str, section: str) -> Link:
    """Return the link to a section of a chapter's theory.

    Parameters
    ----------
    places : Places
        Where the source and the learners' theory are.
    assignment, section : str
        Such as ``ch1_serving_tradeoffs`` and ``1.1``.
    """
    theory = places.source / assignment / "theory.ipynb"
    heading = _sections(theory, _stamp(theory)).get(section)
    if heading is None:
        return Link(f"Theory {section}")
    anchor = quote(heading.replace(" ", "-"))
    url = places.theory_url.format(anchor=anchor, assignment=assignment, section=section)
    return Link(f"Theory {heading}", url)


def _stamp(path: Path) -> int:
    """Return a file's time, so that what was read of it is not kept beyond a change."""
    return path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=100)
def _cells_without_id(path: Path, _stamp: int) -> frozenset[str]:
    """Return the sources of a notebook's cells that have no `grade_id`."""
    notebook = read_notebook(path)
    cells = notebook.cells if notebook else []
    return frozenset(cell.source for cell in cells if not grade_id_of(cell))


@functools.lru_cache(maxsize=100)
def _sections(theory: Path, _stamp: int) -> dict[str, str]:
    """Return the headings of a theory notebook, as of a time, by their number."""
    notebook = read_notebook(theory)
    texts = [cell.source for cell in notebook.cells] if notebook else []
    headings = re.findall(r"^## (\d+\.\d+ .+)$", "\n".join(texts), re.MULTILINE)
    return {heading.split()[0]: heading.strip() for heading in headings}


def why_lost(name: str) -> str:
    """Say in our own words why a test lost points, given the name of the exception.

    >>> why_lost("ZeroDivisionError")
    'It stopped with ZeroDivisionError.'
    >>> why_lost("Expected42")
    'It stopped with an error.'
    """
    if name in WORDS:
        return WORDS[name]
    known = getattr(builtins, name, None) if name.isidentifier() else None
    if isinstance(known, type) and issubclass(known, BaseException):
        return f"It stopped with {name}."
    return "It stopped with an error." if name else "It lost points."


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

    def not_graded(self, reason: str) -> Submission:
        """Return what there is to say of a submission that could not be graded."""
        reason = safe.line_of_text(reason, 600)
        return Submission(self._student, self._assignment, self._notebook, reason=reason)

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
        try:
            graded = read_gradebook(self._places, self._student, self._assignment, self._notebook)
        except MissingEntry:
            return self.not_graded("the gradebook holds no grades for it")
        hidden = HiddenTests(graded.sources.values())
        transcript = load_transcript(self._places.root, self._assignment, self._student)
        remarks = [] if outcome is None else outcome.remarks
        if executed is None:
            remarks = [*remarks, "the graded notebook cannot be read any more: points only"]
        cells = executed.cells if executed is not None else []
        exercises = self._exercises(graded, hidden, cells)
        return Submission(
            self._student,
            self._assignment,
            self._notebook,
            exercises=tuple(self._with_suspicions(one, transcript) for one in exercises),
            remarks=tuple(hidden.keep_out_of(safe.line_of_text(said)) for said in remarks),
            late_penalty=graded.late_penalty,
        )

    def _exercises(
        self, graded: Graded, hidden: HiddenTests, cells: list[NotebookNode]
    ) -> list[Exercise]:
        slugs = self._slugs(graded.scores, cells)
        parts = _cells_by_exercise(cells, set(slugs))
        errors = {grade_id_of(cell) or "": last_error(cell) for cell in cells if is_test_cell(cell)}
        path = self._places.submitted / self._student / self._assignment
        handed_in = HandedIn(read_json(path / f"{self._notebook}.ipynb"))
        ours = self._of_the_course()
        return [
            self._titled(
                Exercise(
                    slug,
                    slug.replace("_", " ").capitalize(),
                    tests=tuple(
                        _test(grade_id, score, graded.sources, errors, hidden)
                        for grade_id, score in _in_order(graded.scores, cells)
                        if name_of(grade_id).slug == slug
                    ),
                    work=tuple(pieces(parts.get(slug, []), handed_in, hidden, ours)),
                    comments=tuple(
                        hidden.keep_out_of_lines(safe.clean_text(comment))
                        for grade_id, comment in graded.comments.items()
                        if name_of(grade_id).slug == slug
                    ),
                )
            )
            for slug in slugs
        ]

    def _slugs(self, scores: Mapping[str, Score], cells: Iterable[NotebookNode]) -> list[str]:
        """Return the exercises: in the bank's order, then as they stand in the notebook."""
        found = {name_of(name).slug for name in scores}
        standing = [name_of(name).slug for cell in cells if (name := grade_id_of(cell))]
        order = dict.fromkeys([*self._known, *standing, *sorted(found)])
        return [slug for slug in order if slug in found]

    def _titled(self, exercise: Exercise) -> Exercise:
        known = self._known.get(exercise.slug)
        if known is None:
            return exercise
        theory = theory_link(self._places, self._assignment, known.section)
        return replace(exercise, title=known.title, number=known.number, theory=theory)

    def _with_suspicions(self, exercise: Exercise, transcript: Mapping[str, object]) -> Exercise:
        """Add misconceptions where points were lost and answers were recorded."""
        known = self._known.get(exercise.slug)
        if known is None or not exercise.failed:
            return exercise
        suspicions = tuple(
            Suspicion(found, theory_link(self._places, self._assignment, found.section))
            for found in match(known, transcript)
        )
        return replace(exercise, suspicions=suspicions)

    def _of_the_course(self) -> frozenset[str]:
        path = self._places.source / self._assignment / f"{self._notebook}.ipynb"
        return _cells_without_id(path, _stamp(path))


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
    scores: Mapping[str, Score], cells: Iterable[NotebookNode]
) -> list[tuple[str, Score]]:
    standing = {name: position for position, name in enumerate(map(grade_id_of, cells)) if name}
    return sorted(scores.items(), key=lambda item: (standing.get(item[0], len(standing)), item[0]))


def _test(
    grade_id: str,
    score: Score,
    sources: Mapping[str, CellSource],
    errors: Mapping[str, tuple[str, str]],
    hidden: HiddenTests,
) -> Result:
    name = name_of(grade_id)
    source = sources.get(grade_id, CellSource("", ""))
    # A cell is taken for hidden unless it is known to hide nothing.
    secret = name.role == "hidden" or bool(source.hidden) or grade_id not in sources
    title = source.title or name.property_in_words.capitalize() or "Graded by a person"
    if title.partition(" ")[0].isalpha():  # a word, no name of a function
        title = title[0].upper() + title[1:]
    test = Result(title, secret, score.points, score.of, score.by_hand, score.waiting)
    if test.passed or test.waiting or test.by_hand:
        return test
    error, said = errors.get(grade_id, ("", ""))
    if secret or not said.strip():
        return replace(test, why=why_lost(error))
    if error != "AssertionError" and error in WORDS:
        return replace(test, why=WORDS[error])
    message = safe.clean_text(said, 3000)
    prefix = "" if error == "AssertionError" else f"{error}: "
    return replace(test, message=hidden.keep_out_of(prefix + message))
