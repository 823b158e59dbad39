"""The course folder: where things are in it, what its configuration says, nbgrader run in it."""

from autograder.course.folder import EXECUTED, HOME, Course

__all__ = ["EXECUTED", "HOME", "Course"]
