"""The shape of every exercise, and the proof that it can be solved and failed."""

import re
import symtable

import nbformat
import pytest

from autograder import bank
from autograder.bank import runner
from autograder.bank.report import coverage
from autograder.cells import (
    grade_id_of,
    is_test_cell,
    iter_test_cells,
    nbgrader_metadata,
    parse_grade_id,
    points_by_exercise,
    points_of,
)

from .conftest import CHAPTERS, COURSE, built

POINTS = {1: (0.5, 1.5), 2: (1.0, 2.0), 3: (2.0, 3.0)}
EXERCISES = [(chapter, exercise) for chapter in CHAPTERS for exercise in bank.load(chapter)]
ids = [f"{chapter}/{exercise.slug}" for chapter, exercise in EXERCISES]
each_exercise = pytest.mark.parametrize(("chapter", "exercise"), EXERCISES, ids=ids)


def named(kind):
    cases = [
        pytest.param(chapter, exercise, solution, id=f"{exercise.slug}/{solution.name}")
        for chapter, exercise in EXERCISES
        for solution in getattr(exercise, kind)
    ]
    return pytest.mark.parametrize(("chapter", "exercise", "solution"), cases)


def roles(notebook, slug):
    """Return the cells of an exercise from its statement on, as roles."""
    names = [grade_id_of(cell) for cell in notebook.cells]
    start = names.index(f"{slug}__statement")
    found = []
    for name in names[start:]:
        if name is not None and parse_grade_id(name).slug != slug:
            break
        found.append("try-it" if name is None else parse_grade_id(name).role)
        if found[-1] == "hidden":
            break
    return found


def test_every_chapter_has_ten_exercises_in_the_bank_and_in_the_notebook(chapter):
    exercises = bank.load(chapter)
    assert [exercise.number for exercise in exercises] == list(range(1, 11))
    assert list(points_by_exercise(built(chapter))) == [exercise.slug for exercise in exercises]


@each_exercise
def test_an_exercise_follows_the_rhythm(chapter, exercise):
    assert roles(built(chapter), exercise.slug) == [
        "statement",
        "solution",
        "try-it",
        "visible",
        "hidden",
    ]


@each_exercise
def test_points_follow_difficulty_and_the_hidden_part_is_the_larger(chapter, exercise):
    points = {
        name.role: points_of(cell)
        for name, cell in iter_test_cells(built(chapter))
        if name.slug == exercise.slug
    }
    assert (points["visible"], points["hidden"]) == POINTS[exercise.stars]


def test_the_total_shown_at_the_top_is_the_sum_of_the_points(chapter):
    notebook = built(chapter)
    total = sum(points_by_exercise(notebook).values())
    first_words = "\n".join(cell.source for cell in notebook.cells[:2])
    assert re.search(rf"\b{total:g} points", first_words)


@each_exercise
def test_every_test_cell_says_what_it_tests_where_learners_can_read_it(chapter, exercise):
    released = nbformat.read(COURSE.release / chapter / "exercises.ipynb", as_version=4)
    for name, cell in iter_test_cells(released):
        if name.slug == exercise.slug:
            assert re.match(r'"""[A-Z].{10,}', cell.source), grade_id_of(cell)


@each_exercise
def test_the_statement_names_every_function_and_its_theory_section(chapter, exercise):
    (statement,) = [
        cell.source
        for cell in built(chapter).cells
        if grade_id_of(cell) == f"{exercise.slug}__statement"
    ]
    for function in exercise.functions:
        assert f"{function}(" in statement
    assert exercise.section in statement
    assert "<<" not in statement and "\\$" not in statement


@each_exercise
def test_the_authored_solution_earns_full_marks(chapter, exercise):
    notebook = built(chapter)
    trial = runner.run(notebook, exercise.slug, runner.solution_source(notebook, exercise.slug))
    assert trial.failures == {}


@each_exercise
def test_the_starter_raises_not_implemented_and_earns_nothing(chapter, exercise):
    released = nbformat.read(COURSE.release / chapter / "exercises.ipynb", as_version=4)
    trial = runner.run(
        built(chapter), exercise.slug, runner.solution_source(released, exercise.slug)
    )
    assert trial.total == 0
    assert len(trial.failures) == 2
    visible = next(text for name, text in trial.failures.items() if "__visible__" in name)
    assert visible.startswith("NotImplementedError")


@each_exercise
def test_the_bank_holds_enough_and_names_nothing_twice(chapter, exercise):
    assert len(exercise.right) >= 3
    assert len(exercise.wrong) >= 5
    assert exercise.withheld and exercise.library
    for solutions in (exercise.right, exercise.wrong):
        assert len({solution.name for solution in solutions}) == len(solutions)
        assert len({solution.code for solution in solutions}) == len(solutions)
    for wrong in exercise.wrong:
        assert len(wrong.hint) > 40 and len(wrong.misconception) > 15, wrong.name
        assert re.fullmatch(r"\d\.\d+", wrong.section), wrong.name


@named("right")
def test_a_right_solution_earns_full_marks(chapter, exercise, solution):
    trial = runner.run(built(chapter), exercise.slug, solution.code)
    assert trial.failures == {}
    assert trial.total == points_by_exercise(built(chapter))[exercise.slug]


@named("wrong")
def test_a_wrong_solution_loses_points_for_a_reason_in_words(chapter, exercise, solution):
    trial = runner.run(built(chapter), exercise.slug, solution.code)
    assert trial.total < points_by_exercise(built(chapter))[exercise.slug]
    for failure in trial.failures.values():
        assert not failure.startswith(("SyntaxError", "NameError", "ImportError")), failure


@named("library")
def test_calling_the_package_passes_the_tests_so_only_the_grader_can_tell(
    chapter, exercise, solution
):
    trial = runner.run(built(chapter), exercise.slug, solution.code)
    assert trial.failures == {}


def test_every_section_that_a_hint_points_to_exists(chapter):
    theory = built(chapter, "theory")
    text = "\n".join(cell.source for cell in theory.cells if cell.cell_type == "markdown")
    sections = set(re.findall(r"^## (\d\.\d+)", text, re.M))
    for exercise in bank.load(chapter):
        assert exercise.section in sections
        own = [wrong.section for wrong in exercise.wrong if wrong.section[0] == chapter[2]]
        assert set(own) <= sections, exercise.slug


def test_the_reflection_is_optional_and_graded_by_a_person(chapter):
    answers = [
        cell
        for cell in built(chapter).cells
        if nbgrader_metadata(cell).get("grade") and not is_test_cell(cell)
    ]
    assert len(answers) == 1
    assert answers[0].cell_type == "markdown"
    assert points_of(answers[0]) == 0
    assert "optional" in answers[0].source.lower() or any(
        "optional" in cell.source.lower() for cell in built(chapter).cells[-4:]
    )


def test_hidden_tests_of_every_exercise_catch_what_visible_ones_let_through(chapter):
    found = coverage(COURSE, chapter)
    assert len(found) == 10
    assert [row.exercise.slug for row in found if not row.hidden_only] == []


EMPTIES = """
def {name}(*args, **kwargs):
    for value in (*args, *kwargs.values()):
        if hasattr(value, "clear"):
            value.clear()
        elif hasattr(value, "fill"):
            value.fill(0)
    return {answer}
"""


@pytest.mark.parametrize("answer", ["0", "[]", "{}", "None", "args[0]"])
def test_no_hidden_test_takes_its_answer_from_what_a_call_leaves(chapter, answer):
    notebook = built(chapter)
    for exercise in bank.load(chapter):
        code = "".join(EMPTIES.format(name=name, answer=answer) for name in exercise.functions)
        trial = runner.run(notebook, exercise.slug, code)
        hidden = {name: points for name, points in trial.points.items() if "__hidden__" in name}
        assert not any(hidden.values()), (exercise.slug, hidden)


def test_no_test_binds_a_name_that_an_exercise_asks_for(chapter):
    """The trusted process keeps what tests define: such a name would be tested on itself."""
    asked = {name for exercise in bank.load(chapter) for name in exercise.functions}
    for _, cell in iter_test_cells(built(chapter)):
        top = symtable.symtable(cell.source, "<test>", "exec")
        bound = {
            symbol.get_name()
            for symbol in top.get_symbols()
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
        }
        assert not bound & asked
