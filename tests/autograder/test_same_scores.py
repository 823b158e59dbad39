"""Every solution of the bank scores in the engine what it scores in one plain namespace.

`bank.runner` runs a solution and the tests side by side, as a stock kernel does. The
benchmark `benchmarks/autograde.py` compares with stock nbgrader itself.
"""

import functools

import nbformat
import pytest

from autograder import bank
from autograder.bank.runner import run
from autograder.cells import grade_id_of, iter_test_cells, points_of
from autograder.course import Course
from autograder.grading.engine.jail import why_not
from autograder.grading.engine.trials import earned
from autograder.grading.execute import ExecuteGraded

CHAPTERS = [chapter for chapter in Course.at().chapters() if bank.load(chapter)]


@pytest.fixture(scope="module")
def executor():
    return ExecuteGraded(jail=why_not() is None, allow_unsandboxed=True, workers=2, timeout=30)


@pytest.fixture(scope="module")
def pipeline(executor):
    with executor.make_pipeline() as pipeline:
        yield pipeline


def solutions(exercise):
    return [solution.code for solution in (*exercise.right, *exercise.wrong)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_right_and_wrong_solutions_earn_the_same_points(chapter, executor, pipeline, tmp_path):
    notebook = nbformat.read(Course.at().source / chapter / "exercises.ipynb", as_version=4)
    exercises = bank.load(chapter)
    plainly = functools.cache(functools.partial(run, notebook))
    jobs = []
    for number in range(max(len(solutions(exercise)) for exercise in exercises)):
        chosen = {
            f"{exercise.slug}__solution": solutions(exercise)[number % len(solutions(exercise))]
            for exercise in exercises
        }
        handed_in = nbformat.from_dict(notebook)
        for cell in handed_in.cells:
            cell.source = chosen.get(grade_id_of(cell), cell.source)
        job = executor.job(handed_in, {"folder": str(tmp_path)})
        pipeline.hand_in(job)
        jobs.append((job, chosen))
    for job, chosen in jobs:
        result = pipeline.take(job)
        for exercise in exercises:
            plain = plainly(exercise.slug, chosen[f"{exercise.slug}__solution"])
            got = earned(job, result, exercise.slug)
            points = {
                grade_id_of(cell): min(got.get(grade_id_of(cell), 0), points_of(cell))
                for name, cell in iter_test_cells(notebook)
                if name.slug == exercise.slug
            }
            assert points == plain.points, (
                exercise.slug,
                chosen[f"{exercise.slug}__solution"],
            )
