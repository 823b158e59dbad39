"""Exports to Canvas and Moodle: formats, the mapping file, refusals."""

import csv
import re

import pytest
from nbgrader.api import Gradebook
from traitlets.config import Config

from autograder.course.commands import run_nbgrader
from autograder.exports import CanvasExporter, ExportError, MoodleExporter
from autograder.exports.lms import points_text
from autograder.exports.mapping import people_of, read_mapping
from autograder.exports.spreadsheet import FORMULA_STARTS, looks_like_formula, plain_text

from .small_course import NAME, POINTS, fill_gradebook, make, record

MAPPING = """\
student,name,canvas_id,sis_user_id,sis_login_id,section,email,id_number
s01,"One, Learner",1001,u-1,login1,A,one@example.org,n1
s02,=HYPERLINK(1),1002,u-2,login2,"A, B",two@example.org,n2
s03,Three,1003,,,,three@example.org,n3
s04,Four,1004,,,,four@example.org,n4
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = make(tmp_path_factory.mktemp("course"))
    fill_gradebook(course)
    record(course, "s01", 1)
    record(
        course, "s02", {"double__visible__small": 1, "half__hidden__negative": 1 / 3}, penalty=0.5
    )
    record(course, "s03", {"double__visible__small": 1, "double__hidden__large": None})
    return course


@pytest.fixture
def export(course, tmp_path, monkeypatch):
    """Return a function that exports with a mapping and settings, and reads the rows back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "students.csv").write_text(MAPPING)

    def run(exporter, mapping=None, of=course, **settings):
        if mapping is not None:
            (tmp_path / "students.csv").write_text(mapping)
        plugin = exporter(config=Config({exporter.__name__: settings}))
        with Gradebook(of.database_url) as gradebook:
            path = plugin.write(gradebook)
        with (tmp_path / path).open(newline="", encoding="utf-8") as stream:
            return list(csv.reader(stream))

    return run


def test_canvas_gets_the_columns_that_it_documents(export):
    header, possible, *rows = export(CanvasExporter, headings={NAME: "Chapter 9 (77)"})
    assert header == [
        *("Student", "ID", "SIS User ID", "SIS Login ID", "Section"),
        "Chapter 9 (77)",
    ]
    assert possible == ["    Points Possible", "", "", "", "", "5"]
    assert rows == [
        ["One, Learner", "1001", "u-1", "login1", "A", "5"],
        ["'=HYPERLINK(1)", "1002", "u-2", "login2", "A, B", "0.83"],
    ]


def test_canvas_would_read_the_file(export):
    """As its importer does: by position, and by what the cells begin with."""
    header, *rows = export(CanvasExporter, headings={NAME: "Chapter 9 (77)"})
    assert "Student" in header[0] and "ID" in header[1] and "Section" in header[4]
    assert re.search(r"SIS\s+User\s+ID", header[2]) and re.search(r"SIS\s+Login\s+ID", header[3])
    assert "Points Possible" in rows[0][0]
    assert all(re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", row[5]) for row in rows)
    assert all(len(row) == len(header) for row in rows)


def test_possible_points_can_be_left_to_canvas(export):
    rows = export(CanvasExporter, points_possible=False)
    assert [row[0] for row in rows] == ["Student", "One, Learner", "'=HYPERLINK(1)"]


@pytest.mark.parametrize(
    ("identifier", "heading", "first"),
    [("email", "Email address", "one@example.org"), ("id_number", "ID number", "n1")],
)
def test_moodle_gets_the_field_people_are_found_by_and_grade_items(
    export, identifier, heading, first
):
    header, one, two = export(
        MoodleExporter, identifier=identifier, headings={NAME: "Assignment: Chapter 9 (Real)"}
    )
    assert header == [heading, "Assignment: Chapter 9 (Real)"]
    assert one == [first, "5"]
    assert two[1] == "0.83333"


def test_moodle_refuses_more_than_the_site_takes(export):
    with pytest.raises(ExportError, match="5 points of student s01 are more than the 4"):
        export(MoodleExporter, largest=4.0)
    assert len(export(MoodleExporter, largest=5.0)) == 3  # the largest itself is taken
    assert MoodleExporter().largest == 100.0  # as Moodle has it from the start


def test_who_has_no_grade_is_left_out_and_named(export, caplog):
    rows = export(CanvasExporter)
    assert not any("1003" in row or "1004" in row for row in rows)
    assert "without a grade yet, left out: s03" in caplog.text
    assert "empty cells" not in caplog.text  # of one assignment, who has no points has no row


#: A cell that is graded and worth nothing: nobody has to look at it.
WORTHLESS = "half__visible__a_try"


@pytest.mark.parametrize(
    ("shares", "penalty", "points"),
    [
        ({"double__visible__small": 1}, 3.0, "0"),
        ({**dict.fromkeys(POINTS, 1), WORTHLESS: None}, None, "5"),
        ({**dict.fromkeys(POINTS, 1), WORTHLESS: None}, 1.5, "3.5"),
    ],
    ids=["a penalty beyond the points", "a cell worth nothing", "both count"],
)
def test_what_a_final_grade_is(export, tmp_path, shares, penalty, points):
    other = make(tmp_path / "other")
    fill_gradebook(other, points=POINTS | {WORTHLESS: 0.0})
    record(other, "s01", shares, penalty=penalty)
    for exporter in (CanvasExporter, MoodleExporter):
        assert export(exporter, of=other)[-1][-1] == points


def test_who_handed_nothing_in_can_get_a_zero_but_who_waits_does_not(export):
    rows = export(CanvasExporter, no_submission="zero")
    assert [row[5] for row in rows if row[1] == "1004"] == ["0"]
    assert not any("1003" in row for row in rows)


def test_a_heading_without_a_number_is_said(export, caplog):
    export(CanvasExporter)
    assert "names no assignment by its number" in caplog.text


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (MAPPING + "s01,Again,1009,,,,x@example.org,n9\n", "row 6: student s01 stands in row 2"),
        (
            MAPPING.replace("1002", "1001"),
            "row 3: canvas_id 1001 of student s02 is that of student s01",
        ),
        (
            MAPPING + "s05,Five,,u-1,,,,\n",
            "row 6: sis_user_id u-1 of student s05 is that of student s01",
        ),
        (MAPPING.replace("s01,", "s77,"), "student s01 has a grade and no row"),
        (MAPPING.replace("1002,u-2,login2", ",,"), "row 3: student s02 has no canvas_id or"),
        (MAPPING.replace("1002", "=1002"), "row 3: canvas_id of student s02 could be taken for"),
        (MAPPING.replace("1002", "10x2"), "row 3: canvas_id of student s02 is not a number"),
        (MAPPING.replace("student,", "learner,"), "row 1: there is no column student"),
        ("student,name\ns01,One\n", "no column canvas_id or sis_user_id or sis_login_id"),
        (MAPPING.replace("section", "name"), "the column name stands twice"),
        (MAPPING + ",Nobody,1010,,,,,\n", "row 6: the student id is missing"),
        (MAPPING + "s05,F,1005,,,,,,,\n", "row 6: more cells than there are columns"),
        (MAPPING.replace("1002", '"1\n2"'), "row 3: canvas_id of student s02 could be taken for"),
        ('student,canvas_id\n"s01,1\n', "is not a CSV file"),
        ("\n\n", "is empty"),
    ],
)
def test_a_mapping_that_is_not_sound_is_refused_by_row_and_nothing_is_written(
    export, tmp_path, mapping, told
):
    (tmp_path / "canvas.csv").write_text("old")
    with pytest.raises(ExportError) as refused:
        export(CanvasExporter, mapping)
    assert any(told in problem for problem in refused.value.problems)
    assert (tmp_path / "canvas.csv").read_text() == "old"


def test_who_a_mapping_names_can_be_asked_before_it_is_sound(tmp_path):
    """A platform's names of uploads need no column that tells people apart there."""
    path = tmp_path / "people.csv"
    path.write_text('student,"name; full",email\ns1\n,Nobody,n@x\n\ns2,Two,a@x,more\n')
    assert [(one.student, one.row, one.get("email")) for one in people_of(path)] == [
        ("s1", 2, ""),
        ("s2", 5, "a@x"),
    ]
    path.write_text("name,email\nOne,a@x\n")
    with pytest.raises(ExportError, match="row 1: there is no column student"):
        list(people_of(path))


def test_a_heading_with_a_semicolon_does_not_make_semicolons_part_cells(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('student,"e;mail"\ns1,a@x\n')
    assert read_mapping(path, ["e;mail"])["s1"].get("e;mail") == "a@x"
    path.write_text("student,email,name\ns1,a@x\n")  # cells at the end may be missing
    assert read_mapping(path, ["email"])["s1"].get("name") == ""


def test_some_students_can_be_exported_without_the_others(export):
    assert [row[1] for row in export(CanvasExporter, student=["s02"])[2:]] == ["1002"]


def test_all_problems_are_told_at_once(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("student,email\n,a@x\ns1,\ns2,b@x\ns3,b@x\n")
    with pytest.raises(ExportError) as refused:
        read_mapping(path, ["email"])
    assert len(refused.value.problems) == 3


def test_spreadsheets_semicolons_marks_and_blank_rows_are_read(tmp_path):
    path = tmp_path / "people.csv"
    path.write_bytes("\ufeffStudent;Email;Name\r\n\r\ns1; a@x ;Ä\r\n;;\r\n".encode())
    (person,) = read_mapping(path, ["email"]).values()
    assert (person.student, person.get("email"), person.get("name")) == ("s1", "a@x", "Ä")
    assert person.row == 3
    # The first line says what separates cells, whatever stands in the others.
    path.write_text("student;email;name\ns1;a@x;One, L., M., N., Jr.\n")
    (person,) = read_mapping(path, ["email"]).values()
    assert person.get("name") == "One, L., M., N., Jr."


def test_a_mapping_that_is_not_there_or_not_text_is_one_line(tmp_path):
    with pytest.raises(ExportError, match="cannot be read"):
        read_mapping(tmp_path / "none.csv", ["email"])
    (tmp_path / "latin.csv").write_bytes("student,email\ns1,ä@x\n".encode("latin-1"))
    with pytest.raises(ExportError, match="not UTF-8"):
        read_mapping(tmp_path / "latin.csv", ["email"])


def test_a_heading_that_is_a_formula_or_a_total_of_canvas_is_refused(export):
    with pytest.raises(ExportError, match="taken for a formula"):
        export(CanvasExporter, headings={NAME: "=1+1"})
    with pytest.raises(ExportError, match="a total of Canvas' own"):
        export(CanvasExporter, headings={NAME: "Final Score (3)"})


def test_an_unknown_assignment_is_named(export):
    with pytest.raises(ExportError, match=f"no assignment ch0; it has {NAME}"):
        export(CanvasExporter, assignment=["ch0"])


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_begins_like_a_formula(start):
    assert looks_like_formula(start + "1") and looks_like_formula(" " + start + "1")
    assert not looks_like_formula(plain_text(start + "1"))


def test_points_never_come_in_scientific_notation():
    assert points_text(1e-9, 2) == "0" and points_text(12345.678, 2) == "12345.68"
    assert points_text(-0.0, 2) == "0"


def test_plain_nbgrader_export_writes_the_file_and_says_what_is_wrong(course, tmp_path):
    (tmp_path / "students.csv").write_text(MAPPING)
    options = [
        *("export", "--exporter=autograder.exports.CanvasExporter"),
        f"--CanvasExporter.mapping={tmp_path / 'students.csv'}",
        f"--to={tmp_path / 'out.csv'}",
    ]
    done = run_nbgrader(course.root, *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text().startswith("Student,ID,SIS User ID,SIS Login ID,")
    (tmp_path / "students.csv").write_text(MAPPING.replace("s02,", "s01,"))
    (tmp_path / "out.csv").unlink()
    done = run_nbgrader(course.root, *options)
    assert done.returncode == 1
    assert "row 3: student s01 stands in row 2 already" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out.csv").exists()
