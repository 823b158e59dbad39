"""A class of any size whose submissions are honest: right, wrong and half done, as a draw.

Benchmarks and comparisons of engines need many submissions that no limit stops and
that never call the package's answers; `sample_class` has one of every other kind.
"""

from __future__ import annotations

import random
import shutil

import nbformat
from nbformat import NotebookNode

from autograder.course import Course
from autograder.demo.sample_class import EXERCISES, PREFIX, Chapter, solution_cell, try_it_cell

#: How often an exercise is solved, solved wrongly, left as released.
RIGHT, WRONG, BLANK = 0.75, 0.2, 0.05


def draw_submission(chapter: Chapter, draw: random.Random) -> NotebookNode:
    """Return one honest notebook: each exercise right, wrong or untouched, at random.

    Parameters
    ----------
    chapter : Chapter
        The material: released notebook and bank.
    draw : random.Random
        Where chance comes from; the same state gives the same notebook.
    """
    notebook = chapter.blank()
    for exercise in chapter.exercises:
        kind = draw.choices(("right", "wrong", "blank"), (RIGHT, WRONG, BLANK))[0]
        if kind != "blank":
            answers = exercise.right if kind == "right" else exercise.wrong
            codes = [answer.code for answer in answers]
            solution_cell(notebook, exercise.slug).source = draw.choice(codes)
        # What people leave behind; it also makes every notebook another text.
        try_it = try_it_cell(notebook, exercise.slug)
        try_it.source += f"\n# tried {draw.randrange(10**6)}"
    return notebook


def lay_out_honest(course: Course, chapter: str, size: int, seed: int = 1) -> list[str]:
    """Write `size` honest submissions into ``submitted/`` and return their students.

    Parameters
    ----------
    course : Course
        The course folder; the chapter must have been released in it.
    chapter : str
        The assignment's name.
    size : int
        How many submissions, at least 1.
    seed : int
        The class. A larger class of the same seed begins with the smaller one.

    Raises
    ------
    ValueError
        If `size` is below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    material = Chapter(course, chapter)
    draw = random.Random(seed)
    students = [f"{PREFIX}honest_{number:04d}" for number in range(1, size + 1)]
    for student in students:
        folder = course.submitted / student / chapter
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(draw_submission(material, draw), folder / EXERCISES)
        for path in sorted(material.folder.glob("*.ipynb")):
            if path.name != EXERCISES:
                shutil.copy(path, folder)
    return students
