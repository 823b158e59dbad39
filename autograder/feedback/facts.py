"""What a feedback page says, as plain facts: a submission, its exercises, their tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from autograder.feedback.misconceptions import Misconception
from autograder.feedback.work import Piece


@dataclass(frozen=True)
class Link:
    """A section of the theory: what to call it, and where it is, if anywhere."""

    title: str
    url: str = ""


@dataclass(frozen=True)
class Played:
    """What a plan did in the simulator, `said` in words.

    Of the visible trace also a `drawing`, its `legend` (sign, class, meaning), and the numbers
    in `rows` (what, how much).
    """

    said: str
    drawing: Markup = field(default_factory=Markup)
    legend: tuple[tuple[str, str, str], ...] = ()
    rows: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Result:
    """One graded cell: what it tests in words, its points, and why points were lost.

    `message` is what a visible test said; of a hidden one it is always empty, and `fell` is the
    property that did not hold, where that may be said. `played` is there
    where the cell asked for a plan.
    """

    title: str
    hidden: bool
    points: float
    of: float
    by_hand: bool = False
    waiting: bool = False
    why: str = ""
    fell: str = ""
    message: str = ""
    grade_id: str = ""
    played: Played | None = None

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
    """What a learner reads about one notebook; `reason` says why it could not be graded.

    `refused` says why it was not to be graded, by the course's rules for attempts, and
    `standing` where the learner stands by them.
    """

    student: str
    assignment: str
    notebook: str
    exercises: tuple[Exercise, ...] = ()
    remarks: tuple[str, ...] = ()
    reason: str = ""
    late_penalty: float = 0.0
    other_pages: tuple[str, ...] = ()
    refused: str = ""
    standing: tuple[str, ...] = ()

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
