"""A drawn class is the same each time, varied, and made of honest answers."""

import random

import nbformat
import pytest

from autograder.cells import grade_id_of
from autograder.course import Course
from autograder.demo.honest_class import draw_submission, lay_out_honest
from autograder.demo.sample_class import EXERCISES, Chapter, solution_cell

NAME = Course.at().chapters()[0]


@pytest.fixture
def course(tmp_path):
    """A course folder with the release of this one and nothing handed in."""
    for part in ("source", "release"):
        (tmp_path / part).symlink_to(Course.at().root / part)
    return Course.at(tmp_path)


def answers(notebook, chapter):
    return [solution_cell(notebook, exercise.slug).source for exercise in chapter.exercises]


def test_a_larger_class_begins_with_the_smaller_one(course):
    small = lay_out_honest(course, NAME, 2)
    before = [(course.submitted / name / NAME / EXERCISES).read_bytes() for name in small]
    large = lay_out_honest(course, NAME, 3)
    after = [(course.submitted / name / NAME / EXERCISES).read_bytes() for name in large]
    assert large[:2] == small and after[:2] == before
    assert len(set(after)) == 3
    assert (course.submitted / large[2] / NAME / "theory.ipynb").is_file()


def test_every_answer_is_the_banks_or_the_released_one(course):
    chapter = Chapter(course, NAME)
    draw = random.Random(7)
    blank = answers(chapter.blank(), chapter)
    kinds = set()
    for _ in range(10):
        notebook = draw_submission(chapter, draw)
        nbformat.validate(notebook)
        for exercise, answer, released in zip(
            chapter.exercises, answers(notebook, chapter), blank, strict=True
        ):
            right = {solution.code for solution in exercise.right}
            wrong = {solution.code for solution in exercise.wrong}
            assert answer in right | wrong | {released}
            kinds.add("right" if answer in right else "wrong" if answer in wrong else "blank")
    assert kinds == {"right", "wrong", "blank"}


def test_only_what_learners_may_write_is_changed(course):
    chapter = Chapter(course, NAME)
    drawn, blank = draw_submission(chapter, random.Random(3)), chapter.blank()
    for cell, released in zip(drawn.cells, blank.cells, strict=True):
        if grade_id_of(cell) and not grade_id_of(cell).endswith("__solution"):
            assert cell == released


def test_an_empty_class_is_refused(course):
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        lay_out_honest(course, NAME, 0)
