"""What `servemath check` looks at: each thing when it is right, and when it is not."""

import re
import shutil

import pytest

from autograder import bank, check
from autograder.cells import parse_grade_id
from autograder.course import HOME, Course
from autograder.findings import Finding

from . import small_course
from .small_course import NAME, POINTS, RIGHT, WRONG


@pytest.fixture
def course(tmp_path):
    course = small_course.make(tmp_path / "course")
    released = check.fresh_release(course, NAME, tmp_path / "scratch")
    (course.release / NAME).mkdir(parents=True)
    for name, text in released.items():
        (course.release / NAME / name).write_text(text, encoding="utf-8")
    return course


def exercise(slug, right, wrong):
    return bank.Exercise(
        slug=slug,
        number=1,
        title=slug,
        stars=1,
        points={
            parse_grade_id(grade_id).role: int(worth)
            for grade_id, worth in POINTS.items()
            if parse_grade_id(grade_id).slug == slug
        },
        section="9.1",
        functions=(slug,),
        withheld=(),
        right=tuple(bank.Right(f"right_{i}", code) for i, code in enumerate(right)),
        wrong=tuple(bank.Wrong(f"wrong_{i}", code, "", "", "9.1") for i, code in enumerate(wrong)),
        library=(),
    )


def without_points(text):
    """Return the text of a chapter whose exercises have records: those say the points."""
    return re.sub(r" points=\d", "", text)


@pytest.fixture
def known(course, monkeypatch):
    """Let the bank hold these exercises of the small course."""
    text = course.source / NAME / "exercises.py"
    text.write_text(without_points(text.read_text()))

    def know(*exercises):
        monkeypatch.setattr(bank, "load", lambda chapter: exercises)

    know(
        exercise("double", [RIGHT["double"]], [WRONG["double"]]),
        exercise("half", [RIGHT["half"]], [WRONG["half"]]),
    )
    return know


def test_all_is_well_in_a_course_as_it_was_built(course, known):
    findings = [look() for _, look in check.everything(course, [NAME])][1:]
    assert findings == [
        Finding(f"notebooks of {NAME}", "ok", "1 as the text gives them, outputs not looked at"),
        Finding(f"release of {NAME}", "ok", "1 as the notebooks give them"),
        Finding(
            f"exercises of {NAME}",
            "ok",
            "4 right solutions earn all points, 2 wrong ones lose some",
        ),
    ]


def test_every_look_is_under_the_name_of_its_finding(course, known):
    looks = check.everything(course, [NAME])
    assert [name for name, _ in looks] == [look().subject for _, look in looks]


@pytest.mark.parametrize("execute", [False, True])
def test_text_that_changed_since_the_build_is_noticed(course, execute):
    text = course.source / NAME / "exercises.py"
    assert check.notebooks(course, NAME, execute).state == "ok"
    text.write_text(text.read_text() + "\n# %% [markdown]\n# One more cell.\n")
    finding = check.notebooks(course, NAME, execute)
    assert (finding.state, finding.found) == ("fault", "not what the text gives: exercises.py")
    assert finding.advice == f"servemath build {NAME} --only notebooks"


def test_outputs_are_looked_at_only_when_they_are_made_again(tmp_path):
    """A number that the code no longer gives is seen by running it, and by nothing else."""
    from autograder.authoring.build import build_text
    from autograder.files import write_atomically

    folder = tmp_path / "course" / "source" / "ch9_theory"
    text = folder / "theory.py"
    write_atomically(text, small_course.HEADER + "\n# %%\n1 + 1\n")
    write_atomically(folder / "theory.ipynb", build_text(text).replace('"2"', '"3"'))
    course = Course.at(tmp_path / "course")
    assert check.notebooks(course, "ch9_theory").state == "ok"
    assert check.notebooks(course, "ch9_theory", execute=True).state == "fault"


def test_a_notebook_that_was_never_built_is_noticed(course):
    (course.source / NAME / "exercises.ipynb").unlink()
    assert check.notebooks(course, NAME).found == "not built yet: exercises.py"
    assert check.exercises(course, NAME).found == "not built yet"


def test_text_that_cannot_be_built_is_a_finding_that_says_where(course):
    text = course.source / NAME / "exercises.py"
    text.write_text(text.read_text() + "\n# %% [markdown]\n# << nonsense.x >>\n")
    finding = check.notebooks(course, NAME)
    assert finding.state == "fault"
    assert "exercises.py, cell" in finding.found and "'nonsense' is undefined" in finding.found


@pytest.mark.parametrize("change", ["edited", "one too many", "missing"])
def test_a_release_that_is_not_what_the_notebooks_give_is_noticed(course, change):
    released = course.release / NAME / "exercises.ipynb"
    if change == "edited":
        released.write_text(released.read_text().replace("raise NotImplementedError()", "pass"))
        found = "not what the notebooks give: exercises.ipynb"
    elif change == "one too many":
        shutil.copy(released, released.with_name("notes.ipynb"))
        found = "not what the notebooks give: notes.ipynb"
    else:
        released.unlink()
        found = f"release/{NAME} holds no notebook"
    finding = check.release(course, NAME)
    assert finding == Finding(f"release of {NAME}", "fault", found, f"servemath release {NAME}")


def test_a_notebook_that_nbgrader_refuses_is_noticed_with_its_reason(course):
    built = course.source / NAME / "exercises.ipynb"
    built.write_text(built.read_text().replace("### END SOLUTION", ""))
    finding = check.release(course, NAME)
    assert finding.state == "fault"
    told = "nbgrader refuses: RuntimeError: no end solution statement found"
    assert finding.found == told


def test_the_fresh_release_is_what_nbgraders_own_command_gave(tmp_path):
    """What is committed came from `nbgrader generate_assignment`: see test_current."""
    original = Course.at(HOME)
    chapter = original.chapters()[0]
    fresh = check.fresh_release(original, chapter, tmp_path)
    committed = (original.release / chapter).glob("*.ipynb")
    assert fresh == {path.name: path.read_text(encoding="utf-8") for path in committed}
    assert "### BEGIN HIDDEN TESTS" not in fresh["exercises.ipynb"]


def test_making_a_fresh_release_touches_nothing_of_the_course(course, tmp_path):
    before = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}
    check.fresh_release(course, NAME, tmp_path / "again")
    after = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}
    assert after == before


def test_a_right_solution_that_loses_points_is_named(course, known):
    known(
        exercise("double", [WRONG["double"]], []),
        exercise("half", [RIGHT["half"]], [WRONG["half"]]),
    )
    finding = check.exercises(course, NAME)
    assert finding.state == "fault"
    assert finding.found == "double: right_0 (right, and earns 1 of 3)"


def test_a_wrong_solution_that_earns_everything_is_named(course, known):
    known(
        exercise("double", [], [RIGHT["double"], WRONG["double"]]),
        exercise("half", [], [WRONG["half"]]),
    )
    finding = check.exercises(course, NAME)
    assert finding.state == "fault"
    assert finding.found == "double: wrong_0 (wrong, and earns all 3)"


def test_an_exercise_that_cannot_be_solved_is_named(course, known):
    text = course.source / NAME / "exercises.py"
    text.write_text(without_points(small_course.text_of(large="assert double(1000) == 2001")))
    from autograder.authoring.build import build

    build(course, NAME)
    known(
        exercise("double", [], [WRONG["double"]]),
        exercise("half", [RIGHT["half"]], [WRONG["half"]]),
    )
    finding = check.exercises(course, NAME)
    assert finding.found == "double: the solution in the text (right, and earns 1 of 3)"


def test_exercises_and_bank_must_be_the_same(course, known):
    known(exercise("double", [RIGHT["double"]], [WRONG["double"]]))
    finding = check.exercises(course, NAME)
    assert finding.state == "fault" and finding.found.endswith("not in both: half")


def test_a_page_that_is_out_of_date_is_noticed(tmp_path):
    root = tmp_path / "course"
    shutil.copytree(HOME / "docs", root / "docs", ignore=shutil.ignore_patterns("_*", "images"))
    (root / "source").mkdir()
    course = Course.at(root)
    assert check.pages(course).state == "ok"
    (root / "docs" / "symbols.md").write_text("# Symbols\n")
    (root / "docs" / "reference" / "command-line.md").unlink()
    finding = check.pages(course)
    assert finding.state == "fault"
    assert "docs/symbols.md, docs/reference/command-line.md" in finding.found
    assert "glossary" not in finding.found
