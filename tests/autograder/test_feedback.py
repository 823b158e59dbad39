"""Feedback pages of a small course: what stands on them, and when they are written."""

import html
import json
import os
import re
from dataclasses import replace
from datetime import datetime, timedelta

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.attempts.policy import Attempts
from autograder.course import HOME, Course
from autograder.feedback import collect, notebooks
from autograder.feedback.collect import Collector, Places
from autograder.feedback.facts import Link
from autograder.feedback.generate import FeedbackExporter
from autograder.feedback.hidden import LEFT_OUT, HiddenTests, split_source
from autograder.feedback.notebooks import read_json
from autograder.feedback.results import why_lost
from autograder.feedback.theory import theory_link
from autograder.grading.outcomes import NOT_GRADED, UNFINISHED, Outcome
from servemath_helpers.checks import COPY, FIRST

from . import hostile
from .conftest import code_cell, notebook_of
from .in_process import Formgrader

PS = "ps1"

VISIBLE = '"""Visible: doubles `int`s."""\nassert double(2) == 4, "double(2) should be 4"'
HIDDEN = '''"""Hidden: zero and below, and 1 < 2."""
### BEGIN HIDDEN TESTS
assert double(-7.125) == -14.25, "a message that nobody may see"
check_calls(double, ((0,), 0, "Whatever x is, twice of it is asked for."))
check_calls(double, ((7.125,), 14.25, "Seven is 7.125 at most."))
### END HIDDEN TESTS'''


def cell_of(kind, grade_id, source, **nbgrader):
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    given = {
        "grade": False,
        "grade_id": grade_id,
        "locked": False,
        "schema_version": 3,
        "solution": False,
        "task": False,
        **nbgrader,
    }
    return make(source, metadata={"nbgrader": given}, id=grade_id.replace("_", "-"))


def assignment():
    return notebook_of(
        cell_of("markdown", "double__statement", "# Double", locked=True),
        cell_of("code", "double__solution", "def double(x):\n    raise NotImplementedError",
                solution=True),
        nbformat.v4.new_code_cell("print(double(3))", id="try-it"),
        cell_of("code", "double__visible__twos", VISIBLE, grade=True, locked=True, points=1),
        cell_of("code", "double__hidden__signs", HIDDEN, grade=True, locked=True, points=2),
        cell_of("markdown", "essay__answer", "Why?", grade=True, solution=True, points=4),
        nbformat.v4.new_markdown_cell("## The end, says the course", id="end"),
    )  # fmt: skip


class Class:
    """A course in a folder, and one submission of it that is as good as graded."""

    def __init__(self, root):
        (root / "source" / PS).mkdir(parents=True)
        nbformat.write(assignment(), root / "source" / PS / "exercises.ipynb")
        nbformat.write(notebook_of(), root / "source" / PS / "theory.ipynb")
        (root / "source" / PS / "theory.py").write_text("# %%\n")
        (root / "nbgrader_config.py").write_bytes((HOME / "nbgrader_config.py").read_bytes())
        self.course, self.formgrader = Course.at(root), Formgrader(root)
        self.formgrader.release(PS)

    def hand_in(self, student, code="def double(x):\n    return x + 2", handed_in=(), said=()):
        """Lay out a submission with its graded notebook: outputs as handed in, and of the run."""
        outputs = dict(said)
        submitted, graded = assignment(), assignment()
        for notebook in (submitted, graded):
            notebook.cells[1].source = code
            notebook.cells[-2].source = "Because *two*."
        submitted.cells[2].outputs = list(handed_in)
        for position, output in outputs.items():
            graded.cells[position].outputs = [output]
        for folder, notebook in (("submitted", submitted), ("autograded", graded)):
            path = self.path(folder, student)
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, path)
        with self.gradebook() as gradebook:
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(PS, student)
            for grade in self.grades(gradebook, student).values():
                grade.auto_score, grade.needs_manual_grade = 0, False
        Outcome(student, PS).save(self.course.root)

    def path(self, folder, student):
        return self.course.root / folder / student / PS / "exercises.ipynb"

    @property
    def gradebook(self):
        def opened():
            return Saved(self.course.database_url)

        return opened

    def grades(self, gradebook, student):
        found = gradebook.find_submission_notebook("exercises", PS, student).grades
        return {grade.name: grade for grade in found}

    def page(self, student, name="exercises"):
        return self.course.feedback / student / PS / f"{name}.html"

    def read(self, student):
        return self.page(student).read_text(encoding="utf-8")

    def text(self, student):
        self.formgrader.feedback(PS, student)
        return text_of(self.read(student))


class Saved(Gradebook):
    def __exit__(self, *error):
        self.db.commit()
        return super().__exit__(*error)


def text_of(page):
    body = re.sub(r"<(style|title)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def error(name, message):
    return nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[HIDDEN])


def printed(text):
    return nbformat.v4.new_output("stream", text=text)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Class(tmp_path_factory.mktemp("class"))


def test_points_titles_and_reasons(made):
    visible = error("AssertionError", "double(2) should be <4>\nHint: x")
    hidden = error("AssertionError", "a message that nobody may see")
    made.hand_in("a", said={3: visible, 4: hidden})
    with made.gradebook() as gradebook:
        made.grades(gradebook, "a")["double__visible__twos"].auto_score = 0.5
    text = made.text("a")
    assert "0.5 of 7 points" in text
    assert "visible test Doubles int s. (in part) 0.5 of 1 double(2) should be <4> Hint: x" in text
    assert "hidden test Zero and below, and 1 < 2. (failed) 0 of 2 The test ran, and" in text
    assert "◐ Doubles int s. and 1 more" in text
    assert "nobody may see" not in text and "-7.125" not in made.read("a")


def test_a_hidden_test_says_only_what_kind_of_error_it_was(made):
    made.hand_in("kinds", said={4: error("ZeroDivisionError", "7.125 -14.25")})
    text = made.text("kinds")
    said = "It stopped with ZeroDivisionError while this was tested: Zero and below, and 1 < 2."
    assert said in text and "14.25" not in text
    made.hand_in("kinds", said={4: error("Expected_14_25", "x")})
    text = made.text("kinds")
    assert "It stopped with an error while this was tested" in text and "14_25" not in text


#: What a hidden test said, and what the page says of it; HIDDEN holds the first two hints.
SAID = [
    ("f(0) should return 0, but it stopped with TypeError: 7.125.\nHint: {of}",
     "It stopped with TypeError. Whatever x is, twice of it is asked for."),
    ("f(0) should raise ValueError, but it returned 7.125.\nHint: {of}",
     "A call that must be refused got an answer. Whatever x is, twice"),
    ("f(0) should raise ValueError, but it raised KeyError: 7.125.\nHint: {of}",
     "A call must be refused with another error. Whatever x is, twice"),
    ("f(0) should return 0, but it returned 7.125.\nHint: {of}",
     "an answer was not what the statement asks for. Whatever x is, twice"),
    ("f(0) should leave its arguments as they are, but it changed argument 1.\nHint: " + COPY,
     "A call changed its arguments. Work on a copy"),
    ("f(0) should return 0, but it returned 1.\nHint: " + FIRST, FIRST),
    ("f(0) should return 0, but it returned 1.\nHint: Seven is 7.125 at most.",
     "what the statement asks for. 0 of 2"),
    ("f(0) should return 0, but it stopped with Eval: x.\nHint: I saw it all.",
     "It stopped with an error while this was tested: Zero and below, and 1 < 2. essay"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "said"), SAID)
def test_a_hidden_test_names_the_property_that_fell_and_none_of_its_inputs(made, message, said):
    """Only a sentence of the test's own that has no number which learners do not have."""
    of = "Whatever x is, twice of it is asked for."
    made.hand_in("fell", said={4: error("AssertionError", message.format(of=of))})
    text = made.text("fell")
    assert said.partition(" 0 of 2")[0].partition(" essay")[0] in text
    assert "7.125" not in text and "I saw it all" not in text


@pytest.mark.parametrize(
    ("name", "said"),
    [("CellTimeoutError", "too long"), ("DeadKernelError", "ended the program"), ("", "lost"),
     ("NotRun", "could not be run"), ("NoCredit", "are the package's own"), ("eval", "an error")],
)  # fmt: skip
def test_reasons_are_in_our_own_words(name, said):
    assert said in why_lost(name)


def test_manual_scores_waiting_cells_comments_and_being_late(made):
    made.hand_in("b")
    with made.gradebook() as gradebook:
        grades = made.grades(gradebook, "b")
        grades["essay__answer"].manual_score, grades["essay__answer"].extra_credit = 3, 0.5
        grades["double__visible__twos"].needs_manual_grade = True
        notebook = gradebook.find_submission_notebook("exercises", PS, "b")
        notebook.late_submission_penalty = 1.25
        gradebook.find_comment(
            "essay__answer", "exercises", PS, "b"
        ).manual_comment = "Good <b>work</b>\nin two lines"
    text = made.text("b")
    assert "2.25 of 7 points, so far" in text
    assert "Handed in late − 1.25" in text and "Together 2.25 of 7" in text
    assert "graded by a person Essay" not in text  # its title is said once
    assert "✓ graded by a person Graded by a person (passed) 3.5 of 4" not in text
    assert "3.5 of 4" in text and "waits for a grader" in text
    assert "Comment Good <b>work</b> in two lines" in text
    assert "Because two ." in text


def test_a_penalty_never_leads_below_zero(made):
    made.hand_in("late")
    with made.gradebook() as gradebook:
        gradebook.find_submission_notebook("exercises", PS, "late").late_submission_penalty = 5
    assert "0 of 7 points" in made.text("late")


def test_outputs_are_those_handed_in_not_those_of_the_graded_run(made):
    made.hand_in("c", handed_in=[printed("as I saw it")], said={2: printed("print(In) was here")})
    text = made.text("c")
    assert "as I saw it" in text and "print(In)" not in text


def test_what_stopped_a_cell_is_said_unless_it_was_not_begun(made):
    made.hand_in("d", said={2: error("NameError", "name 'dobule' is not defined")})
    assert "this cell stopped: NameError: name 'dobule' is not defined" in made.text("d")
    made.hand_in("d", said={2: error("NotImplementedError", "")})
    assert "this cell stopped" not in made.text("d")
    made.hand_in("d", said={2: error("Error", "a message that nobody may see")})
    assert f"this cell stopped: Error: {LEFT_OUT}" in made.text("d")


def test_the_courses_own_cells_are_not_shown_as_the_learners(made):
    made.hand_in("e")
    text = made.text("e")
    assert "The end, says the course" not in text and "print(double(3))" not in text
    assert "return x + 2" in text


def test_notebooks_without_points_get_a_short_page(made):
    made.hand_in("f")
    nbformat.write(
        notebook_of(code_cell("x", None)), made.path("autograded", "f").with_name("theory.ipynb")
    )
    made.formgrader.feedback(PS, "f")
    page = made.page("f", "theory").read_text()
    assert "carries no points" in page and '<a href="exercises.html">' in page


def ungraded(made, student, reason="exercises.ipynb is <b>not</b> valid JSON", status=NOT_GRADED):
    path = made.path("submitted", student)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    Outcome(student, PS, status, reason).save(made.course.root)
    return path.parent


def test_who_could_not_be_graded_reads_why(made):
    made.hand_in("g")
    folder = ungraded(made, "broken")
    (folder / "timestamp.txt").write_text("2026-01-01 10:00:00 UTC\n")
    (folder / "submission_secret.txt").symlink_to(made.course.database)
    made.formgrader.feedback(PS)
    text = text_of(made.read("broken"))
    assert "could not be graded exercises.ipynb is <b>not</b> valid JSON" in text
    ungraded(made, "broken", HIDDEN.splitlines()[2])
    made.formgrader.feedback(PS)
    assert LEFT_OUT in text_of(made.read("broken"))
    names = {path.name for path in made.page("broken").parent.iterdir()}
    assert names == {"exercises.html", "timestamp.txt"}


def test_once_graded_the_page_says_so_without_force(made):
    made.hand_in("g")
    ungraded(made, "mended")
    made.formgrader.feedback(PS)
    assert "could not be graded" in made.read("mended")
    made.hand_in("mended")
    made.formgrader.feedback(PS)
    assert "of 7 points" in made.read("mended")


def test_an_old_page_does_not_outlive_a_submission_that_cannot_be_graded(made):
    made.hand_in("g")
    made.hand_in("relapsed")
    made.formgrader.feedback(PS)
    made.path("autograded", "relapsed").unlink()
    made.path("autograded", "relapsed").parent.rmdir()
    ungraded(made, "relapsed")
    made.formgrader.feedback(PS)
    assert "could not be graded" in made.read("relapsed")


def test_grading_that_did_not_finish_is_no_reason_to_write(made):
    made.hand_in("g")
    ungraded(made, "running", UNFINISHED)
    ungraded(made, "gone").joinpath("exercises.ipynb").unlink()
    made.path("submitted", "gone").parent.rmdir()
    made.formgrader.feedback(PS)
    assert not made.page("running").exists() and not made.page("gone").exists()


def test_a_new_comment_is_on_the_page_without_force(made):
    made.hand_in("h")
    assert "One more thing" not in made.text("h")
    with made.gradebook() as gradebook:
        comment = gradebook.find_comment("double__solution", "exercises", PS, "h")
        comment.manual_comment = "One more thing"
    assert "One more thing" in made.text("h")


def test_only_the_student_asked_for_is_written(made):
    made.hand_in("i")
    made.hand_in("j")
    ungraded(made, "k")
    made.formgrader.feedback(PS)
    for student in "ijk":
        made.page(student).write_text("old")
    made.formgrader.feedback(PS, "i")
    assert made.read("i") != "old"
    assert made.read("j") == made.read("k") == "old"


def test_excluded_students_are_left_alone(made):
    made.hand_in("i")
    made.hand_in("j")
    made.formgrader.feedback(PS)
    made.page("j").write_text("old")
    settings = {"CourseDirectory": {"student_id_exclude": "j,k"}}
    Formgrader(made.course.root, **settings).feedback(PS)
    assert made.read("j") == "old" and made.read("i") != "old"


def test_nothing_of_the_submission_is_copied_beside_the_page(made):
    made.hand_in("l")
    folder = made.path("autograded", "l").parent
    (folder / "answers.html").write_text(HIDDEN)
    (folder / "data").mkdir()
    (folder / "data" / "hidden.csv").write_text(HIDDEN)
    (folder / "submission_secret.txt").write_text(HIDDEN)
    when = datetime(2026, 1, 1) + timedelta(hours=1)
    (folder / "timestamp.txt").write_text(f"{when} UTC")
    made.formgrader.feedback(PS, "l")
    names = {path.name for path in made.page("l").parent.iterdir()}
    assert names == {"exercises.html", "timestamp.txt"}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"cells": 3}', "\x00", "[" * 50_000])
def test_a_damaged_graded_notebook_costs_no_points(made, damage):
    made.hand_in("m")
    with made.gradebook() as gradebook:
        made.grades(gradebook, "m")["double__hidden__signs"].auto_score = 2
    made.path("autograded", "m").write_text(damage)
    text = made.text("m")
    assert "2 of 7 points" in text and "cannot be read any more" in text
    assert "Zero and below" in text


@pytest.mark.parametrize("damage", ["", "{", '{"cells": [{"cell_type": "code", "outputs": 1}]}'])
def test_a_damaged_submission_shows_no_outputs_and_that_is_all(made, damage):
    made.hand_in("n")
    made.path("submitted", "n").write_text(damage)
    assert "return x + 2" in made.text("n")


def test_a_link_in_place_of_the_submission_is_not_followed(made):
    made.hand_in("o", handed_in=[printed("mine")])
    path = made.path("submitted", "o")
    path.rename(path.with_name("elsewhere.ipynb"))
    path.symlink_to("elsewhere.ipynb")
    assert read_json(path) is None
    assert "mine" not in made.text("o")


def test_a_submission_missing_from_the_gradebook_is_no_zero(made):
    made.hand_in("p")
    with made.gradebook() as gradebook:
        gradebook.remove_submission(PS, "p")
    text = made.text("p")
    assert "could not be graded" in text and "0 of 7" not in text


def test_hostile_work_goes_all_the_way_and_stays_text(made):
    made.hand_in("q", handed_in=hostile.outputs("http://127.0.0.1:9"))
    made.formgrader.feedback(PS, "q")
    page = made.read("q")
    assert "<script" not in page and "onerror=" not in html.unescape(page).split("<main>")[0]
    assert "&lt;script&gt;window.ran_stream=1" in page


def test_names_that_no_file_system_expects(made):
    student = "ё&<i> 'x'"
    made.hand_in(student)
    text = made.text(student)
    assert student in text and "<i>" not in made.read(student)


def places(made):
    course = made.course
    return Places(course.root, course.database_url, course.source, course.submitted)


def test_theory_is_linked_where_staff_say():
    source, url = Course.at().source, "https://x/{assignment}#{anchor}"
    first, second = Course.at().chapters()[:2]
    link = Link("Theory 1.1 Little's law", "https://x/ch1_serving_tradeoffs#1.1-Little%27s-law")
    assert theory_link(source, url, first, "1.1") == link
    assert theory_link(source, url, second, "1.1") == link
    assert theory_link(source, url, first, "1.99") == Link("Theory 1.99")
    assert theory_link(source, "", first, "1.1") == Link("Theory 1.1 Little's law")


def test_a_learner_without_a_transcript_reads_of_no_misconception(made):
    made.hand_in("r")
    collected = Collector(places(made), "r", PS, "exercises").collect(None)
    assert [exercise.suspicions for exercise in collected.exercises] == [(), ()]


@pytest.mark.parametrize(
    ("policy", "placed"),
    [(None, "an attempt"), (Attempts(), None)],
    ids=["policy", "attempt"],
)
def test_where_no_attempts_are_kept_a_page_says_nothing_of_them(made, monkeypatch, policy, placed):
    monkeypatch.setattr(collect.Records, "placed", lambda *_: placed)
    where = replace(places(made), policy=policy)
    assert Collector(where, "nobody", PS, "exercises").not_graded("why").standing == ()


def test_a_notebook_of_the_course_is_read_again_only_if_it_changed(tmp_path, monkeypatch):
    read, path = [], tmp_path / "x.ipynb"
    monkeypatch.setattr(
        notebooks, "read_notebook", lambda path: read.append(path) or nbformat.read(path, 4)
    )
    for source in ("1", "2"):
        nbformat.write(notebook_of(code_cell(source)), path)
        os.utime(path, (0, int(source)))
        assert [notebooks.cells_without_id(path) for _ in range(2)] == [{source}] * 2
    assert read == [path] * 2


def test_the_exporter_is_for_nbgrader_alone(tmp_path):
    path = tmp_path / "x.ipynb"
    nbformat.write(notebook_of(), path)
    with pytest.raises(ValueError, match="resources must come from nbgrader"):
        FeedbackExporter().from_filename(str(path))


@pytest.mark.parametrize(
    ("source", "released", "hidden"),
    [
        ("a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS\nc", "a\nc", "b"),
        ("a\nb", "a\nb", ""),
        ("a\n### BEGIN HIDDEN TESTS\nb", "a", "b"),
        ("### BEGIN HIDDEN TESTS\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS", "", "b"),
        ("a\n### BEGIN HIDDEN TESTS\na\n### END HIDDEN TESTS\na", "a\na", "a"),
    ],
)
def test_hidden_parts_are_found_as_nbgrader_finds_them(source, released, hidden):
    parts = split_source(source)
    assert (parts.released, parts.hidden) == (released, hidden)


@pytest.mark.parametrize("source", ["%magic\nx", "", "x = 1", "'\x00'"])
def test_a_test_without_docstring_has_no_title(source):
    assert split_source(source).title == ""


def test_secrets_are_found_however_they_are_written():
    hidden = HiddenTests([split_source(HIDDEN)])
    assert hidden.shown_in("x " + HIDDEN.split("\n")[2].replace(" ", "\n  ") + " y")
    assert hidden.shown_in(repr([HIDDEN])) and hidden.shown_in(json.dumps({"In": HIDDEN}))
    assert not hidden.shown_in("assert double(-7) == -14")
    kept = hidden.keep_out_of_lines(f"before\n  {HIDDEN.splitlines()[2]}\nafter")
    assert kept == f"before\n{LEFT_OUT}\nafter"


def test_what_one_cell_shows_is_no_secret_in_another():
    shown = split_source("assert double(-7.125) == -14.25")
    hidden = HiddenTests([shown, split_source(HIDDEN)])
    assert hidden.shown_in("a message that nobody may see")
    assert not hidden.shown_in("assert double(-7.125) == -14.25")
