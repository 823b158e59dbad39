"""Where things are in a course folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The folder that holds this package: the course as it was checked out.
HOME = Path(__file__).resolve().parents[2]

#: Notebooks that are executed when they are built and keep their outputs.
EXECUTED = ("theory",)


@dataclass(frozen=True)
class Course:
    """A course folder: sources, released notebooks, and nbgrader's run-time folders."""

    root: Path

    @classmethod
    def at(cls, root: Path | str | None = None) -> Course:
        """Return the course at `root`, by default the checkout this package came from."""
        path = HOME if root is None else Path(root).resolve()
        if not (path / "source").is_dir():
            raise ValueError(f"root must be a course folder with source/ in it, got {path}")
        return cls(path)

    @property
    def source(self) -> Path:
        """Authored text and built notebooks, one folder a chapter."""
        return self.root / "source"

    @property
    def start(self) -> Path:
        """Text of the notebook that learners open first, which is made when they receive it."""
        return self.source / "start.py"

    @property
    def release(self) -> Path:
        """Notebooks as learners receive them."""
        return self.root / "release"

    @property
    def submitted(self) -> Path:
        """What learners handed in."""
        return self.root / "submitted"

    @property
    def autograded(self) -> Path:
        """Executed submissions."""
        return self.root / "autograded"

    @property
    def feedback(self) -> Path:
        """Feedback pages."""
        return self.root / "feedback"

    @property
    def attempts(self) -> Path:
        """What learners handed in again and again, one folder an attempt."""
        return self.root / "attempts"

    @property
    def returned(self) -> Path:
        """Feedback pages under the names by which a platform takes them back."""
        return self.root / "returned"

    @property
    def outcomes(self) -> Path:
        """What happened to each submission at its last grading, one JSON file each."""
        return self.root / "outcomes"

    @property
    def transcripts(self) -> Path:
        """What tests asked of submissions and were answered, one JSON file each."""
        return self.root / "transcripts"

    @property
    def timings(self) -> Path:
        """How long exercises ran, one CSV file a chapter."""
        return self.root / "timings"

    @property
    def reports(self) -> Path:
        """Class reports and earlier runs, one folder a chapter."""
        return self.root / "reports"

    @property
    def state(self) -> Path:
        """What grading keeps for itself: results that need not be found again, scratch copies."""
        return self.root / ".servemath"

    @property
    def database(self) -> Path:
        """The gradebook that nbgrader uses when nothing else is configured."""
        return self.root / "gradebook.db"

    @property
    def database_url(self) -> str:
        """The address of that gradebook, whatever the folder is called."""
        from sqlalchemy import URL

        return URL.create("sqlite", database=str(self.database)).render_as_string()

    def outcome(self, assignment: str, student: str) -> Path:
        """Return where the outcome of a submission is kept."""
        return self.outcomes / assignment / f"{student}.json"

    def log(self, assignment: str, about: str = "") -> Path:
        """Return where the log of the last command about an assignment is kept."""
        return self.outcomes / f"{assignment}{about and '.'}{about}.log"

    def transcript(self, assignment: str, student: str) -> Path:
        """Return where the transcript of a submission is kept."""
        return self.transcripts / assignment / f"{student}.json"

    def timing(self, assignment: str) -> Path:
        """Return where the timings of an assignment are kept."""
        return self.timings / f"{assignment}.csv"

    def chapters(self) -> list[str]:
        """Return the assignment names, in order."""
        return sorted(path.name for path in self.source.iterdir() if any(path.glob("*.py")))

    def guides(self) -> list[Path]:
        """Return the authored text of notebooks that belong to no chapter and are not graded."""
        return sorted(path for path in self.source.glob("*.py") if path != self.start)

    def texts(self, chapter: str) -> list[Path]:
        """Return the authored text files of a chapter."""
        folder = self.source / chapter
        if chapter not in self.chapters():
            raise ValueError(
                f"chapter must be one of {', '.join(self.chapters())}, got {chapter!r}"
            )
        return sorted(folder.glob("*.py"))
