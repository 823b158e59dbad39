"""What Canvas and Moodle let graders download, from the zip to the grades they import."""

import csv
import io
import re
import unicodedata
import zipfile

import pytest
from nbgrader.apps.zipcollectapp import ZipCollectApp

from autograder.course.commands import run_nbgrader
from autograder.downloads.extract import name_in
from autograder.downloads.names import upload_of
from autograder.downloads.people import Roster
from autograder.gradebook.record import collect
from autograder.late.stamp import LATE_MARK, NAME

from ..autograder.small_course import NAME as CHAPTER
from ..autograder.small_course import RIGHT, WRONG, hand_in, make

CLASS = 40

NAMES = ["Jane Doe", "José Núñez", "Anne-Marie O'Neill", "李 小龍", "Jane Doe", "Åsa Öst"]


def person(number):
    """Return the name of one of the class; two of them have the same."""
    return NAMES[number] if number < len(NAMES) else f"Learner {number}"


def canvas(number, notebook):
    """Yield a person's files as Canvas names them: some late, some numbered, some twice."""
    late = "LATE_" if number % 10 == 3 else ""
    plain = "".join(filter(str.isalnum, person(number).lower()))
    numbering = {4: "-1", 5: " (2)", 6: "-Copy1"}.get(number % 10, "")
    if number % 10 == 7:
        yield f"{plain}_{1000 + number}_55000_exercises.ipynb", b"an earlier upload"
    yield f"{plain}_{late}{1000 + number}_{55501 + number}_exercises{numbering}.ipynb", notebook


def moodle(number, notebook):
    """Yield a person's files as Moodle puts them: folders, of groups too, and texts beside them."""
    group = "Group B-" if number % 10 == 3 else ""
    name = person(number)
    if number % 10 == 4:  # as some systems write accents
        name = unicodedata.normalize("NFD", name)
    whose = f"{group}{name}_{123456 + number}_assignsubmission"
    if number % 10 == 5:
        yield f"{whose}_onlinetext_/onlinetext.html", b"<p>see the file</p>"
    if number % 10 == 7:
        yield f"{whose}_file_/exercises (1).ipynb", notebook
        yield f"{whose}_file_/exercises.ipynb", b"an earlier upload"
    else:
        yield f"{whose}_file{'_' * (number % 2)}/exercises.ipynb", notebook


PLATFORMS = {
    "Canvas": (canvas, "CanvasExporter", "ID", lambda number: str(1000 + number)),
    "Moodle": (moodle, "MoodleExporter", "Email address", lambda number: f"p{number}@example.org"),
}


def notebook_of(course, student, solutions):
    hand_in(course, student, **solutions)
    folder = course.submitted / student
    data = (folder / CHAPTER / "exercises.ipynb").read_bytes()
    (folder / CHAPTER / "exercises.ipynb").unlink()
    (folder / CHAPTER).rmdir()
    folder.rmdir()
    return data


def download(course, files, name="submissions.zip"):
    """Put a zip, or a file, where nbgrader looks for what was downloaded."""
    archive = course.root / "downloaded" / CHAPTER / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    if isinstance(files, bytes):
        (archive / name).write_bytes(files)
        return
    with zipfile.ZipFile(archive / name, "w") as zipped:
        for path, data in dict(files).items():
            zipped.writestr(path, data)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_class_from_the_platform_s_zip_to_its_file_of_grades(platform, tmp_path):
    names, exporter, heading, identifier = PLATFORMS[platform]
    course = make(tmp_path / "course")
    notebooks = [notebook_of(course, "x", RIGHT), notebook_of(course, "x", WRONG)]
    download(course, [file for k in range(CLASS) for file in names(k, notebooks[k % 2])])
    people = [["student", "name", "canvas_id", "email"]]
    people += [[f"s{k:02}", person(k), 1000 + k, f"p{k}@example.org"] for k in range(CLASS)]
    with (course.root / "students.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(people)
    worksheet = "Identifier,Full name,Email address\n" + "".join(
        f"Participant {123456 + k},{person(k)},p{k}@example.org\n" for k in range(CLASS)
    )
    download(course, worksheet.encode(), "Grades.csv")
    for command in (
        ["generate_assignment", CHAPTER],
        ["zip_collect", CHAPTER],
        ["autograde", CHAPTER],
        ["export", f"--exporter=autograder.exports.{exporter}", "--to=grades.csv"],
    ):
        done = run_nbgrader(course.root, *command)
        assert done.returncode == 0, done.stderr
    with (course.root / "grades.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    graded = {row[heading]: float(row[CHAPTER]) for row in rows if row[heading]}
    assert graded == {identifier(k): 2.0 if k % 2 else 5.0 for k in range(CLASS)}
    remarks = {one.student: one.remarks for one in collect(course, CHAPTER).submissions}
    assert remarks.keys() == {f"s{k:02}" for k in range(CLASS)}
    late = {who for who, said in remarks.items() if any("marked late" in one for one in said)}
    assert late == ({"s03", "s13", "s23", "s33"} if platform == "Canvas" else set())


# -- what is collected ---------------------------------------------------------------------


@pytest.fixture
def course(tmp_path, monkeypatch):
    course = make(tmp_path / "course")
    monkeypatch.chdir(course.root)
    return course


def zip_collect(course, *arguments):
    """Collect, and return what was handed in by whom: path -> bytes."""
    ZipCollectApp.clear_instance()
    app = ZipCollectApp.instance()
    app.initialize([CHAPTER, *arguments])
    app.start()
    ZipCollectApp.clear_instance()
    return {
        str(path.relative_to(course.submitted)).replace(f"/{CHAPTER}/", ": "): path.read_bytes()
        for path in course.submitted.rglob("*")
        if path.is_file()
    }


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


COLLECTED = {
    "the last upload counts, in whatever order it stands there": (
        {
            "doe_1_52_exercises.ipynb": "b",
            "doe_1_51_exercises-3.ipynb": "a",
            "roe_2_60_exercises-2.ipynb": "d",
            "roe_2_60_exercises-1.ipynb": "c",
        },
        {"1: exercises.ipynb": "b", "2: exercises.ipynb": "d"},
    ),
    "files beside the notebook come along under their own names": (
        {"doe_1_51_exercises.ipynb": "a", "doe_1_52_week-1.py": "b", "doe_1_53_d (2).csv": "c"},
        {"1: exercises.ipynb": "a", "1: week-1.py": "b", "1: d (2).csv": "c"},
    ),
    "a learner's zip is unpacked, from where its notebook lies": (
        {
            "doe_1_51_work.zip": zipped({"hw/exercises.ipynb": "a", "hw/src/m.py": "b"}),
            "Ann Lee_7_assignsubmission_file_/w.ZIP": zipped({"exercises-1.ipynb": "c"}),
        },
        {"1: exercises.ipynb": "a", "1: src/m.py": "b", "Ann Lee: exercises.ipynb": "c"},
    ),
    "a damaged zip is a file": (
        {"doe_1_51_work.zip": b"PK no zip", "doe_1_52_exercises.ipynb": "a"},
        {"1: work.zip": "PK no zip", "1: exercises.ipynb": "a"},
    ),
    "folders are brought up to the notebook": (
        {
            "Ann Lee_7_assignsubmission_file_/hw/exercises.ipynb": "a",
            "Ann Lee_7_assignsubmission_file_/hw/m/x.py": "b",
        },
        {"Ann Lee: exercises.ipynb": "a", "Ann Lee: m/x.py": "b"},
    ),
    "a flat Moodle download, names alike told apart": (
        {
            "Ann Lee_7_assignsubmission_file_exercises.ipynb": "a",
            "Ann Lee_8_assignsubmission_file_exercises.ipynb": "b",
        },
        {"Ann Lee (7): exercises.ipynb": "a", "Ann Lee (8): exercises.ipynb": "b"},
    ),
    "late marks are kept, a learner's own time is not": (
        {
            "doe_LATE_1_51_exercises.ipynb": "a",
            "roe_2_52_exercises.ipynb": "b",
            "roe_2_53_timestamp.txt": "2020-01-01 00:00 UTC",
        },
        {"1: exercises.ipynb": "a", f"1: {NAME}": f"{LATE_MARK}\n", "2: exercises.ipynb": "b"},
    ),
    "left-overs and texts are no files": (
        {
            "__MACOSX/._doe_1_51_exercises.ipynb": "x",
            "all/doe_1_51_exercises.ipynb": "a",
            "doe_1_text.html": "x",
            "Ann Lee_7_assignsubmission_onlinetext_/onlinetext.html": "x",
        },
        {"1: exercises.ipynb": "a"},
    ),
    "nothing gets out of its folder": (
        {
            "doe_1_51_exercises.ipynb": "a",
            "Ann Lee_7_assignsubmission_file_/../../../evil.py": "x",
            "doe_1_52_w.zip": zipped({"../../evil.py": "x", "/evil.py": "x", "m.py": "b"}),
        },
        {"1: exercises.ipynb": "a", "1: m.py": "b"},
    ),
}


@pytest.mark.parametrize("case", COLLECTED)
def test_what_is_collected(course, case):
    files, expected = COLLECTED[case]
    download(course, files)
    assert zip_collect(course) == {name: data.encode() for name, data in expected.items()}


@pytest.mark.parametrize(
    ("written", "says_utf_8", "name"),
    [
        ("José".encode().decode("cp437"), False, "José"),  # as many programs do
        ("José".encode("cp437").decode("cp437"), False, "José"),
        ("José", True, "José"),
    ],
)
def test_a_name_in_a_zip_is_read_as_it_was_meant(written, says_utf_8, name):
    member = zipfile.ZipInfo(written)
    member.flag_bits = 0x800 * says_utf_8
    assert name_in(member) == name


def test_what_was_unpacked_already_is_collected_too(course):
    folder = course.root / "downloaded" / CHAPTER / "archive" / "submissions"
    folder.mkdir(parents=True)
    (folder / "doe_1_51_exercises.ipynb").write_text("a")
    (folder / "roe_2_52_w.zip").write_bytes(zipped({"exercises.ipynb": "b"}))
    assert zip_collect(course) == {"1: exercises.ipynb": b"a", "2: exercises.ipynb": b"b"}


@pytest.mark.parametrize(
    ("files", "arguments", "why"),
    [
        (None, (), "put what the platform lets you download into"),
        ({"exercises.ipynb": "a"}, (), "of 1 files .* none is an upload as Canvas or Moodle"),
        ({"Ann_7_assignsubmission_onlinetext_/o.html": "x"}, (), "none is an upload"),
        (b"PK no zip", (), "cannot be unpacked"),
        (
            {"exercises.ipynb": "a"},
            (r"--FileNameCollectorPlugin.named_regexp=(?P<student_id>\d)_(?P<file_id>.)",),
            "matches none of 1 files",
        ),
    ],
)
def test_nothing_collected_is_an_error_with_the_reason(course, capfd, files, arguments, why):
    if files is not None:
        download(course, files)
    with pytest.raises(SystemExit) as ended:
        zip_collect(course, *arguments)
    assert ended.value.code == 1
    assert re.search(rf"ERROR\] Nothing was collected: .*{why}", capfd.readouterr().err)


def test_a_regular_expression_of_one_s_own_is_nbgrader_s_business(course):
    download(course, {"u1-exercises.ipynb": "a", "u2-exercises.ipynb": "b"})
    option = r"--FileNameCollectorPlugin.named_regexp=.*/(?P<student_id>\w+)-(?P<file_id>\w+)"
    collected = zip_collect(course, option)
    assert collected == {"u1: exercises.ipynb": b"a", "u2: exercises.ipynb": b"b"}


# -- who that is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("doe_1001_5_x.py", "s1"),
        ("doe_LATE_1001_5_x.py", "s1"),
        ("group7_1002_5_x.py", "s2"),
        ("nobody_9_5_x.py", None),
        ("Jane Doe_1_assignsubmission_file_/x.py", "s1"),
        ("Team 1-Jane Doe_1_assignsubmission_file_/x.py", "s1"),
        ("jane  DOE_1_assignsubmission_file_/x.py", "s1"),
        ("Ann-Kathrin Müller_1_assignsubmission_file_/x.py", "s2"),
        ("A-B-Ann-Kathrin Mu\u0308ller_1_assignsubmission_file_/x.py", "s2"),
        ("Same Name_1_assignsubmission_file_/x.py", None),
        ("Same Name_77_assignsubmission_file_/x.py", "s3"),
    ],
)
def test_the_mapping_says_who_somebody_is(tmp_path, path, student):
    mapping = tmp_path / "students.csv"
    mapping.write_text(
        "student,name,canvas_id,email\n"
        's1,"Doe, Jane",1001,j@x\n'
        "s2,Ann-Kathrin Müller,1002,a@x\n"
        "s3,Same Name,1003,c@x\n"
        "s4,Same Name,1004,d@x\n"
    )
    roster = Roster(mapping, {"77": "C@x"})
    assert roster.student(upload_of(path.split("/"))) == student
