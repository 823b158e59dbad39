"""A sample class, laid out in a scratch course and graded by plain `nbgrader autograde`."""

import shutil
import subprocess

from autograder.course import commands
from autograder.demo.sample_class import PREFIX, Chapter, lay_out
from autograder.gradebook.record import collect
from autograder.gradebook.table import class_table

from .shared import copy_of, released

#: Seconds that a cell may run: loops without an end run that long, nothing else comes near.
LIMIT_S = 2

#: Of what differs between chapters; autograder/test_same_scores.py has every solution there is.
ONE_OF_A_KIND = (
    "all_right_1",
    "misconceptions_1",
    "half_done",
    "untouched",
    "calls_the_package",
)


class Graded:
    """The course, the cases that were laid out, how grading ended, the rows of the table."""

    def __init__(self, tmp_path_factory, chapter, thorough):
        folder = tmp_path_factory.mktemp("course")
        self.course = copy_of(released(tmp_path_factory, chapter), folder)
        with (folder / "nbgrader_config.py").open("a") as config:
            config.write(f"\nc.ExecuteGraded.timeout = {LIMIT_S}\n")
        self.chapter = Chapter(self.course, chapter)
        self.cases = {}
        for case in lay_out(self.course, self.chapter, thorough):
            if thorough or case.student.removeprefix(PREFIX) in ONE_OF_A_KIND:
                self.cases[case.student] = case
            else:
                shutil.rmtree(self.course.submitted / case.student)
        # Through a pipe, as in a log shipper: an orphan that holds it would hang this read.
        self.done = subprocess.run(
            [*commands.nbgrader(), "autograde", chapter],
            cwd=self.course.root,
            env=commands.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        self.table = class_table(collect(self.course, chapter))
        self.rows = {row.student: row for row in self.table.rows}
