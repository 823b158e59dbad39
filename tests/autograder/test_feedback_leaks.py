"""No feedback page shows source, messages or expected values of a hidden test.

The worst that grading could leave behind is laid out here without grading: every test
cell holds its source, a traceback with it and its message; the learner's cells, the
comments, the remarks and the metadata hold hidden tests too.
"""

import contextlib
import io
import json
import re
import traceback

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder import bank
from autograder.bank.runner import run_test
from autograder.cells import grade_id_of, iter_test_cells, parse_grade_id, points_of
from autograder.check.transcripts import transcript
from autograder.course import Course
from autograder.demo.sample_class import solution_cell
from autograder.feedback.hidden import LEFT_OUT
from autograder.grading.outcomes import Outcome

from ..shared import copy_of, released
from . import leaks
from .in_process import Formgrader

CHAPTERS = Course.at().chapters()

pytestmark = pytest.mark.timeout(300)


def code_error(error, source):
    lines = traceback.format_exception(error)
    return nbformat.v4.new_output(
        "error", ename=type(error).__name__, evalue=str(error), traceback=[*lines, source]
    )


class Submitted:
    """One submission with its outputs, as grading would leave it, and what its tests said."""

    def __init__(self, built, codes):
        self.notebook, self.codes = nbformat.from_dict(json.loads(json.dumps(built))), codes
        self.points, self.messages, self.tried = {}, {}, []
        for slug, code in codes.items():
            solution_cell(self.notebook, slug).source = code
        namespace = {"__name__": "__main__"}
        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                self._run(cell, namespace)
        self.asked = transcript(built, codes)

    def _run(self, cell, namespace):
        grade_id = grade_id_of(cell)
        printed = io.StringIO()
        cell.outputs = []
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                points = run_test(cell, namespace)
        except Exception as error:
            cell.outputs = [code_error(error, cell.source)]
            if grade_id:
                self.messages[grade_id] = str(error)
            else:
                self.tried.append(str(error))
        else:
            self.points[grade_id] = points
        cell.outputs.insert(0, nbformat.v4.new_output("stream", text=printed.getvalue()))

    def visible_messages(self):
        """Return what visible tests and cells to try things in said; learners have those."""
        return [
            message
            for grade_id, message in self.messages.items()
            if parse_grade_id(grade_id).role == "visible"
        ] + self.tried

    def hand_in(self, course, chapter, student):
        released = nbformat.read(course.release / chapter / "exercises.ipynb", as_version=4)
        for slug, code in self.codes.items():
            solution_cell(released, slug).source = code
        for folder, notebook in ((course.submitted, released), (course.autograded, self.notebook)):
            path = folder / student / chapter / "exercises.ipynb"
            path.parent.mkdir(parents=True)
            nbformat.write(notebook, path)
        with Gradebook(course.database_url) as gradebook:
            gradebook.add_student(student)
            gradebook.add_submission(chapter, student)
            for grade in gradebook.find_submission_notebook("exercises", chapter, student).grades:
                grade.auto_score = self.points.get(grade.name, 0.0)
                grade.needs_manual_grade = False
            gradebook.db.commit()
        Outcome(student, chapter).save(course.root)


def leak_everywhere(course, chapter, student, built):
    """Put hidden tests wherever a submission has room for text, pictures of it left aside."""
    path = course.autograded / student / chapter / "exercises.ipynb"
    notebook = nbformat.read(path, as_version=4)
    regions = leaks.hidden_regions(built)
    everything = "\n".join(regions.values())
    printed_history = repr([everything])
    for cell in notebook.cells:
        cell.metadata["hidden"] = everything
        if cell.cell_type != "code":
            continue
        said = [everything, printed_history]
        cell.outputs = [nbformat.v4.new_output("stream", text=text) for text in said]
        cell.outputs.append(nbformat.v4.new_output("display_data", data={"text/html": everything}))
        cell.outputs.append(
            nbformat.v4.new_output("error", ename="Error", evalue=everything, traceback=said)
        )
    notebook.metadata["hidden"] = everything
    nbformat.write(notebook, path)
    (path.parent / "hidden.txt").write_text(everything)
    (path.parent / "timestamp.txt").write_text(everything)
    with Gradebook(course.database_url) as gradebook:
        found = gradebook.find_submission_notebook("exercises", chapter, student)
        for grade in found.grades:
            grade.auto_score = 0
        for comment in found.comments:
            comment.manual_comment = f"Look:\n{everything[:5000]}\nThat is why."
        gradebook.db.commit()
    Outcome(student, chapter, remarks=list(regions.values())).save(course.root)


class Pages:
    """A chapter's feedback pages, and what they must not show."""

    def __init__(self, course, chapter):
        self.chapter, self.course = chapter, course
        path = self.course.source / chapter / "exercises.ipynb"
        self.built = nbformat.read(path, as_version=4)
        self.released = nbformat.read(
            self.course.release / chapter / "exercises.ipynb", as_version=4
        )
        self.submitted = {}
        exercises = bank.load(chapter)
        for pick in range(2):
            codes = {one.slug: one.wrong[pick % len(one.wrong)].code for one in exercises}
            self._hand_in(f"wrong_{pick}", codes)
        self._hand_in("right", {one.slug: one.right[0].code for one in exercises})
        stubs = {one.slug: solution_cell(self.released, one.slug).source for one in exercises}
        self._hand_in("untouched", stubs)
        self._hand_in("leaking", self.submitted["wrong_0"].codes)
        leak_everywhere(self.course, chapter, "leaking", self.built)
        Formgrader(self.course.root).feedback(chapter)
        self.pages = {
            student: self.page(student).read_text(encoding="utf-8") for student in self.submitted
        }

    def page(self, student):
        return self.course.feedback / student / self.chapter / "exercises.html"

    def _hand_in(self, student, codes):
        self.submitted[student] = self._run(codes)
        self.submitted[student].hand_in(self.course, self.chapter, student)
        if student != "untouched":
            path = self.course.root / "transcripts" / self.chapter / f"{student}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.submitted[student].asked))

    def _run(self, codes):
        same = (one for one in self.submitted.values() if one.codes == codes)
        return next(same, None) or Submitted(self.built, codes)


@pytest.fixture(scope="module", params=CHAPTERS)
def made(request, tmp_path_factory):
    course = copy_of(released(tmp_path_factory, request.param), tmp_path_factory.mktemp("course"))
    return Pages(course, request.param)


def test_every_submission_gets_its_page(made):
    assert all("points" in leaks.readings(page)[2] for page in made.pages.values())
    regions = leaks.hidden_regions(made.built)
    assert len(regions) >= 10 and all(len(region) > 100 for region in regions.values())


def test_no_page_shows_a_line_or_a_text_of_a_hidden_test(made):
    secrets = leaks.secrets(made.built, made.released)
    assert len(secrets) > 200
    for student, page in made.pages.items():
        own = leaks.flat("\n".join(made.submitted[student].codes.values()))
        assert leaks.found_in(page, {text for text in secrets if text not in own}) == [], student
    # The search itself finds what is there.
    graded = made.course.autograded / "wrong_0" / made.chapter / "exercises.ipynb"
    sources = "\n".join(cell.source for cell in nbformat.read(graded, as_version=4).cells)
    assert len(leaks.found_in(sources, secrets)) > 0.9 * len(secrets)


def test_no_page_shows_a_number_that_only_a_hidden_test_holds(made):
    staff = "\n".join(
        f"{wrong.misconception}\n{wrong.hint}"
        for exercise in bank.load(made.chapter)
        for wrong in exercise.wrong
    )
    for student, page in made.pages.items():
        codes = "\n".join(made.submitted[student].codes.values())
        public = leaks.shown_to_learners(made.released)
        visible = "\n".join(made.submitted[student].visible_messages())
        numbers = leaks.secret_numbers(made.built, public, codes, staff, visible)
        assert numbers & leaks.numbers_in(page) == set(), student
        assert len(numbers) > 10


def test_no_page_shows_what_a_failed_hidden_test_said(made):
    public = leaks.flat(leaks.shown_to_learners(made.released))
    failed = 0
    for student, page in made.pages.items():
        for grade_id, message in made.submitted[student].messages.items():
            if grade_id is None or parse_grade_id(grade_id).role != "hidden" or not message:
                continue
            failed += 1
            lines = {leaks.flat(line) for line in message.split("\n")}
            expected = {
                leaks.flat(value)
                for value in re.findall(r"should (?:return|be) (.+?), but", message)
                if len(value) >= TELLING_VALUE
            }
            # What a visible test said in the same words is no secret of a hidden one.
            visible = made.submitted[student].visible_messages()
            seen = leaks.flat("\n".join([public, *visible]))
            shown = {line for line in lines if len(line) >= leaks.TELLING and line not in seen}
            own = [*made.submitted[student].codes.values(), *visible]
            known = leaks.flat("\n".join([public, *own]))
            expected = {value for value in expected if value not in known}
            assert leaks.found_in(page, shown | expected) == [], (student, grade_id)
    assert failed >= 10


#: Shorter expected values (24, None) stand in many places for many reasons.
TELLING_VALUE = 6


def test_visible_tests_keep_their_messages(made):
    seen = 0
    for name, cell in iter_test_cells(made.built):
        grade_id = cell.metadata.nbgrader["grade_id"]
        message = made.submitted["wrong_1"].messages.get(grade_id)
        if name.role == "visible" and message:
            first = leaks.flat(message.split("\n")[0])
            seen += leaks.found_in(made.pages["wrong_1"], [first]) == [first]
    failed = [
        grade_id
        for grade_id in made.submitted["wrong_1"].messages
        if grade_id and parse_grade_id(grade_id).role == "visible"
    ]
    assert seen == len(failed) > 0


def test_hidden_tests_are_named_by_what_they_test(made):
    text = leaks.readings(made.pages["wrong_0"])[2]
    for name, cell in iter_test_cells(made.built):
        if name.role == "hidden":
            title = cell.source.split('"""')[1].split(":", 1)[1].strip()
            first = leaks.flat(title.split("\n")[0]).replace("`", "")
            assert first[1:] in text


def test_what_was_left_out_is_said(made):
    assert LEFT_OUT in made.pages["leaking"]
    assert "Look:" in made.pages["leaking"] and "That is why." in made.pages["leaking"]


def test_nothing_but_pages_stands_beside_a_page(made):
    folder = made.page("leaking").parent
    assert sorted(path.name for path in folder.iterdir()) == ["exercises.html"]


def test_known_mistakes_are_named_with_hint_and_section(made):
    """Of most learners whose answers are a known mistake's, not of one who was right."""
    page, named = leaks.readings(made.pages["wrong_1"])[2], 0
    exercises = bank.load(made.chapter)
    for exercise in exercises:
        hint = leaks.flat(exercise.wrong[1].hint).replace("`", "")
        named += hint in page
    assert named >= 0.7 * len(exercises)
    for student in ("right", "untouched"):
        assert "Likely misconception" not in made.pages[student]


def test_points_are_those_of_the_gradebook(made):
    for student, submitted in made.submitted.items():
        if student != "leaking":
            total = sum(points_of(cell) for _, cell in iter_test_cells(made.built))
            earned = sum(value for name, value in submitted.points.items() if name)
            assert f"{earned:g} of {total:g} points" in leaks.readings(made.pages[student])[2]
