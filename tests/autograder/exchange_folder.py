"""A small course with an exchange, and learners who submit and fetch, as nbgrader does it."""

import secrets
import shutil
from datetime import UTC, datetime

import nbformat
from nbgrader.utils import notebook_hash

from autograder.course import Course
from autograder.watch.run import watch

from . import small_course

NAME = small_course.NAME

CONFIG = """
c.Exchange.root = {exchange!r}
c.ExchangeCollect.check_owner = False  # the learners of a test have no accounts
"""


class Exchange:
    """A course, copied into `folder`, and its exchange."""

    def __init__(self, released, folder, config=""):
        self.course = Course(shutil.copytree(released.root, folder / "course"))
        self.inbound = folder / "exchange" / "servemath" / "inbound"
        self.inbound.mkdir(parents=True)
        (folder / "exchange").chmod(0o777)
        self.feedback = self.inbound.with_name("feedback")
        self.configure(CONFIG.format(exchange=str(folder / "exchange")) + config)
        self._secrets = {}

    def configure(self, text):
        """Add to the course's configuration."""
        with (self.course.root / "nbgrader_config.py").open("a") as stream:
            stream.write(text + "\n")

    def submit(self, student, at=None, assignment=NAME, finish=True, **solutions):
        """Leave a submission as ``nbgrader submit`` does; return its name."""
        at = at or datetime.now(UTC)
        notebook = nbformat.read(self.course.source / NAME / "exercises.ipynb", as_version=4)
        for cell in notebook.cells:
            slug, _, role = cell.metadata.get("nbgrader", {}).get("grade_id", "").partition("__")
            if role == "solution":
                cell.source = solutions.get(
                    slug, f"def {slug}(x):\n    raise NotImplementedError()\n"
                )
        stamp = f"{at:%Y-%m-%d %H:%M:%S.%f} UTC"
        name = f"{student}+{assignment}+{stamp}+{secrets.token_urlsafe(9)}"
        folder = self.inbound / name
        folder.mkdir()
        nbformat.write(notebook, folder / "exercises.ipynb")
        (folder / "timestamp.txt").write_text(stamp)
        self._secrets[name] = secrets.token_hex(64)
        if finish:
            self.finish(name)
        return name

    def finish(self, name):
        """Do what ``nbgrader submit`` does last."""
        (self.inbound / name / "submission_secret.txt").write_text(self._secrets[name])
        (self.inbound / name).chmod(0o777)

    def watch(self, monkeypatch):
        """Have a watcher deal with what is there."""
        monkeypatch.chdir(self.course.root)
        assert watch(self.course, [NAME], once=True, poll_s=0.05)

    def fetch(self, name):
        """Return the page that a learner fetches for a submission, None if there is none."""
        digest = notebook_hash(secret=self._secrets[name], notebook_id="exercises")
        page = self.feedback / f"{digest}.html"
        return page.read_text() if page.is_file() else None
