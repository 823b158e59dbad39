"""The class report as a page, a CSV and a JSON file, for classes of every kind."""

import base64
import csv
import hashlib
import json
import re
import stat
from html.parser import HTMLParser

import nbformat
import pytest

from autograder import bank
from autograder.cells import iter_test_cells, points_by_exercise
from autograder.course import Course
from autograder.gradebook.record import property_in_words
from autograder.grading.engine import codec
from autograder.report import write_report
from autograder.report.pseudonyms import pseudonyms, salt

from .small_course import (
    NAME,
    fill_gradebook,
    gradebook_of,
    hand_in,
    keep_transcript,
    make,
    not_graded,
    record,
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; drop table grade;--",
    "<script>alert(2)",
    "{{ 7*7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "</table></main><h1>done",
    "\u202egnirts\u0000",
    "&lt;b&gt;",
]


class Page(HTMLParser):
    """The elements of a page, its texts, and what it would load."""

    VOID = frozenset(["meta", "br"])

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check(path):
    """Check what holds for every page and return it."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "img"} & set(
        page.tags
    )
    for tag, attributes in page.attributes:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.attributes
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'") and f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    for tag, attributes in page.attributes:
        if tag == "svg":
            assert attributes["role"] == "img" and len(attributes["aria-label"]) > 30
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {attributes["href"][1:] for tag, attributes in page.attributes if tag == "a"}
    assert inside <= set(ids)
    return page


def rows_of(path):
    with path.with_suffix(".csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def course(tmp_path):
    course = make(tmp_path)
    fill_gradebook(course)
    return course


@pytest.fixture
def grade(course):
    """Return a function that hands in and grades, for one student."""

    def grade(student, shares, **how):
        hand_in(course, student)
        record(course, student, shares, **how)

    return grade


def test_an_empty_class(course):
    path = write_report(course, NAME)
    page = check(path)
    assert path == course.root / "reports" / NAME / "report.html"
    assert "Nobody has handed in yet" in page.words and "svg" not in page.tags
    assert rows_of(path) == []
    assert json.loads(path.with_suffix(".json").read_text())["totals"] is None


def test_one_student(course, grade):
    grade("s1", {"double__visible__small": 1, "double__hidden__large": 0.5})
    page = check(write_report(course, NAME))
    assert "not defined" in page.words and "fewer than 5 graded" in page.words
    assert page.tags.count("svg") == 2  # points and difficulty
    assert "About half__hidden__negative" in page.words


def test_everyone_has_full_marks(course, grade):
    for number in range(6):
        grade(f"s{number}", 1)
    page = check(write_report(course, NAME))
    assert "Nobody lost a point." in page.words
    assert "all have the same points here" in page.words


def test_only_submissions_that_could_not_be_graded(course):
    hand_in(course, "s1")
    not_graded(course, "s1", "exercises.ipynb is not valid JSON (damaged or cut short)")
    page = check(write_report(course, NAME))
    assert "Could not be graded" in page.words and "is not valid JSON" in page.words
    assert "No submission has a grade yet" in page.words


def test_hostile_ids_and_remarks_are_text(course, grade):
    for student in HOSTILE:
        if "/" not in student and "\x00" not in student:  # ids are names of folders
            grade(student, 0.5, remarks=HOSTILE, first_name="<b>x</b>", last_name="X")
    for names in (False, True):
        path = write_report(course, NAME, names=names)
        page = check(path)
        assert "<script>alert(1)</script>" in "".join(page.text)  # a remark, as text
        for row in rows_of(path):
            assert not row["learner"].startswith(("=", "+", "-", "@"))
            assert not row["notes"].startswith(("=", "+", "-", "@"))
    assert "{{ 7*7 }}" in page.words


def test_learners_have_pseudonyms_unless_names_are_asked_for(course, grade):
    grade("s_adam_0", 1, first_name="Zyx", last_name="Wvut")
    hand_in(course, "s_eve_9")
    not_graded(course, "s_eve_9", "exercises.ipynb is missing; the folder holds s_eve_9 (2).ipynb")
    hidden = write_report(course, NAME)
    named = write_report(course, NAME, names=True)
    assert hidden != named
    for suffix in (".html", ".csv", ".json"):
        text = hidden.with_suffix(suffix).read_text()
        for telling in ("s_adam_0", "Zyx", "Wvut", "s_eve_9"):
            assert telling not in text
        text = named.with_suffix(suffix).read_text()
        assert "Zyx Wvut (s_adam_0)" in text and "s_eve_9 (2).ipynb" in text
        assert stat.S_IMODE(named.with_suffix(suffix).stat().st_mode) == 0o600
    names = pseudonyms(salt(course), ["s_adam_0", "s_eve_9"])
    assert {row["learner"] for row in rows_of(hidden)} == set(names.values())
    for run in (hidden.parent / "runs").iterdir():
        assert "s_adam_0" not in run.read_text()
    assert "This report names learners" in check(named).words


def test_the_numbers_of_page_csv_and_json_agree(course, grade):
    grade("s1", 1, penalty=0.5)
    grade("s2", {"double__visible__small": 1, "half__visible__small": 0.5})
    path = write_report(course, NAME)
    check(path)
    known = json.loads(path.with_suffix(".json").read_text())
    assert known["max_points"] == {"double": 3.0, "half": 2.0}
    assert known["totals"]["mean"] == 3.25
    by_name = {row["learner"]: row for row in rows_of(path)}
    for learner in known["learners"]:
        row = by_name[learner["learner"]]
        assert (
            float(row["total"]) == learner["total"]
            and float(row["half"]) == learner["scores"]["half"]
        )
    assert sorted(row["late penalty"] for row in by_name.values()) == ["0", "0.5"]


def test_a_score_by_hand_counts(course, grade):
    grade("s1", 0)
    with gradebook_of(course) as gradebook:
        found = gradebook.find_grade("double__hidden__large", "exercises", NAME, "s1")
        found.manual_score, found.extra_credit = 1.5, 0.25
        gradebook.db.commit()
    (row,) = rows_of(write_report(course, NAME))
    assert row["total"] == "1.75"


def test_timings_are_shown_where_they_were_kept(course, grade):
    grade("s1", 1)
    grade("s2", 1)
    assert "No timings were kept" in check(write_report(course, NAME)).words
    (course.root / "timings").mkdir()
    (course.root / "timings" / f"{NAME}.csv").write_text(
        "student,exercise,seconds\ns1,double,0.5\ns1,half,nan\ns2,double,1.5\ns2,,9\nx,double,1\n"
        "s2,half,-1\ns2\n"
    )
    path = write_report(course, NAME)
    assert "not how long learners worked" in check(path).words
    (time,) = json.loads(path.with_suffix(".json").read_text())["times"]
    assert time["seconds"]["median"] == 1.0 and time["seconds"]["n"] == 2
    assert time["slowest"] == pseudonyms(salt(course), ["s2"])["s2"]


def test_the_previous_run_is_compared(course, grade):
    grade("s1", 0.5)
    grade("s2", 1)
    assert "No earlier run" in check(write_report(course, NAME)).words
    with gradebook_of(course) as gradebook:
        gradebook.find_grade("double__hidden__large", "exercises", NAME, "s1").manual_score = 2
        gradebook.db.commit()
    for _ in range(2):
        page = check(write_report(course, NAME))
        assert "1 changed, 1 did not, 0 new, 0 gone" in page.words
        assert "+1" in page.words
    page = check(write_report(course, NAME, names=True))
    assert "1 changed" in page.words and "s1" in page.words


def test_misconceptions_come_with_the_learners_who_hold_them(tmp_path):
    chapter = "ch1_serving_tradeoffs"
    (tmp_path / "source").mkdir()
    course = Course.at(tmp_path)
    fill_gradebook(course, chapter, {"littles_law__hidden__x": 2.0})
    (exercise,) = [one for one in bank.load(chapter) if one.slug == "littles_law"]
    asked = {
        "function": "littles_law",
        "args": codec.encode([]),
        "kwargs": codec.encode({"lam": 8, "L": 20}),
    }
    answers = {"s1": 8 / 20, "s2": 8 / 20, "s3": 20 / 8}
    for student in answers:
        path = course.submitted / student / chapter / "exercises.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        record(course, student, 0, chapter)
    assert "No transcripts" in check(write_report(course, chapter)).words
    for student, answer in answers.items():
        calls = [{**asked, "result": codec.encode(answer)}]
        keep_transcript(course, student, {"littles_law__hidden__x": {"calls": calls}}, chapter)
    path = write_report(course, chapter, names=True)
    (held,) = json.loads(path.with_suffix(".json").read_text())["misconceptions"]["held"]
    assert held["name"].replace(" ", "_") == "inverse_ratio" and held["learners"] == ["s1", "s2"]
    wrong = {one.name: one for one in exercise.wrong}["inverse_ratio"]
    assert " ".join(wrong.misconception.split()) in check(path).words


def test_a_place_of_one_s_own(course, tmp_path):
    assert write_report(course, NAME, out=tmp_path) == tmp_path / "report.html"
    place = tmp_path / "deep" / "class.html"
    assert write_report(course, NAME, out=place) == place
    assert place.with_suffix(".json").is_file()
    with pytest.raises(ValueError, match=r"out must be a folder or end in \.html"):
        write_report(course, NAME, out=tmp_path / "class.pdf")


def test_an_unknown_assignment_and_a_missing_gradebook_are_clear_errors(course):
    with pytest.raises(ValueError, match="does not know ch0"):
        write_report(course, "ch0")
    course.database.unlink()
    with pytest.raises(ValueError, match="no gradebook"):
        write_report(course, NAME)


def test_the_gradebook_is_the_one_that_is_configured(course, grade):
    grade("s1", 1)
    course.database.rename(course.root / "other.db")
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text() + '\nc.CourseDirectory.db_url = "sqlite:///other.db"\n')
    (row,) = rows_of(write_report(course, NAME))
    assert row["total"] == "5"


def test_properties_stand_in_the_notebook_s_own_words():
    course = Course.at()
    for chapter in course.chapters():
        notebook = nbformat.read(course.source / chapter / "exercises.ipynb", as_version=4)
        assert points_by_exercise(notebook)
        for name, cell in iter_test_cells(notebook):
            words = property_in_words(cell.source, name)
            assert not words[0].islower() and not words.startswith(("Hidden", "Visible")), words
