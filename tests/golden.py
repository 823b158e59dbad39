"""A sample class, laid out in a scratch course and graded by plain `nbgrader autograde`."""

import subprocess
import sys

from autograder.authoring.release import release, scratch_course
from autograder.course.commands import environment
from autograder.demo.sample_class import Chapter, lay_out
from autograder.gradebook.record import collect
from autograder.gradebook.table import class_table


class Graded:
    """The course, the cases that were laid out, how grading ended, the rows of the table."""

    def __init__(self, folder, chapter, thorough):
        self.course = scratch_course(folder, [chapter])
        release(self.course, chapter)
        self.chapter = Chapter(self.course, chapter)
        self.cases = {case.student: case for case in lay_out(self.course, self.chapter, thorough)}
        # Through a pipe, as in a log shipper: an orphan that holds it would hang this read.
        self.done = subprocess.run(
            [sys.executable, "-m", "nbgrader", "autograde", chapter],
            cwd=self.course.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        self.table = class_table(collect(self.course, chapter))
        self.rows = {row.student: row for row in self.table.rows}
