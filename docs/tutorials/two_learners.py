"""Hand in chapter 1 for two learners of the tutorial: run this in the course folder.

learner_2 has solved everything; learner_3 has fallen for a common misconception in each
exercise. Both come from the bank of solutions.
"""

import shutil

import nbformat

from autograder.course import Course
from autograder.demo.sample_class import Chapter, solution_cell

CHAPTER = "ch1_serving_tradeoffs"


def main() -> None:
    """Write both submissions into ``submitted/``."""
    course = Course.at(".")
    chapter = Chapter(course, CHAPTER)
    mistaken = chapter.blank()
    for exercise in chapter.exercises:
        solution_cell(mistaken, exercise.slug).source = exercise.wrong[0].code
    for student, notebook in {"learner_2": chapter.solved(), "learner_3": mistaken}.items():
        folder = course.submitted / student / CHAPTER
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(chapter.folder / "theory.ipynb", folder)
        nbformat.write(notebook, folder / "exercises.ipynb")
        print(f"handed in  {folder.relative_to(course.root)}")


if __name__ == "__main__":
    main()
