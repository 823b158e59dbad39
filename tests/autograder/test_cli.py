"""The program `servemath`, run as a person would run it."""

import contextlib
import csv
import errno
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

import autograder.report
from autograder import regrade
from autograder.authoring import release
from autograder.authoring.command_page import page, place
from autograder.check import looks
from autograder.cli import regrading
from autograder.cli.app import app
from autograder.cli.frame import bar, names, watch
from autograder.cli.frame.exits import Exit, Mistake, NotHere
from autograder.course import HOME, Course, commands
from autograder.demo import run as demo
from autograder.demo.sample_class import Chapter, cases
from autograder.findings import Finding
from autograder.gradebook.table import ClassTable, Row
from autograder.grading.engine import jail
from autograder.grading.outcomes import NOT_GRADED, UNFINISHED, Outcome
from autograder.machine import lab as machine_lab
from autograder.regrade.workspace import workspace
from autograder.report.snapshots import Comparison, LearnerChange, Snapshot

from .. import warm
from ..shared import copy_of
from . import small_course
from .small_course import NAME, RIGHT, WRONG

COMMANDS = get_command(app).commands
FIRST = Course.at().chapters()[0]


def invoke(*arguments, **extra):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **extra)


def servemath(course, *arguments, **extra):
    return invoke("--course", course.root, *arguments, **extra)


def ends(monkeypatch, code, said=""):
    """Let each command of nbgrader do nothing and end so."""
    done = subprocess.CompletedProcess([], code, "", said)
    monkeypatch.setattr(commands, "run_nbgrader", lambda *_, **__: done)


@pytest.fixture
def course(tmp_path):
    """A course of one small assignment that nobody has handed in."""
    return small_course.make(tmp_path / "course")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of three, one of whom nobody can grade, and how `grade --feedback` went."""
    course = copy_of(small_course.released(tmp_path_factory), tmp_path_factory.mktemp("class"))
    small_course.hand_in(course, "u1", **RIGHT)
    small_course.hand_in(course, "u2", **{**RIGHT, "double": WRONG["double"]})
    damaged = course.submitted / "u3" / NAME
    damaged.mkdir(parents=True)
    (damaged / "exercises.ipynb").write_text("{")
    return course, servemath(course, "grade", "ch9", "--feedback")


# -- help ------------------------------------------------------------------------


def test_help_names_every_command_and_every_exit_code():
    done = invoke("--help")
    assert done.exit_code == 0
    for name, command in COMMANDS.items():
        assert name in done.stdout
        assert not command.get_short_help_str().endswith("..."), "the first line is too long"
    for code in Exit:
        assert f"{int(code)}: " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples_that_it_would_take(name):
    command = COMMANDS[name]
    done = invoke(name, "--help")
    assert done.exit_code == 0 and "Usage: servemath" in done.stdout
    examples = [line.split("`")[1] for line in command.epilog.splitlines() if "`" in line]
    assert examples
    for example in examples:
        program, named, *arguments = shlex.split(example.partition(" > ")[0])
        assert (program, named) == ("servemath", name)
        command.make_context(named, arguments)  # raises if there is no such option


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name):
    assert [param.name for param in COMMANDS[name].params if not param.help] == []


def test_the_reference_page_is_what_the_help_says():
    told = place(Course.at()).read_text(encoding="utf-8")
    assert told == page(), "run: servemath build --only notebooks"


def test_make_and_the_commit_hooks_call_commands_that_there_are():
    texts = [(HOME / name).read_text() for name in ("Makefile", ".pre-commit-config.yaml")]
    called = [re.findall(r"/servemath ([a-z-]+)", text) for text in texts]
    assert len(called[0]) >= 10 and called[1] == ["build"]
    assert set(called[0]) <= set(COMMANDS)


def test_no_command_is_help_and_wrong_usage():
    done = invoke()
    assert done.exit_code == Exit.WRONG_USAGE and "Usage: servemath" in done.stdout
    assert "Error" not in done.stderr


def test_help_loads_nothing_heavy():
    """That is what keeps it fast; how fast depends on the machine."""
    code = (
        "import sys\nfrom autograder.cli import main\nsys.argv = ['servemath', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = set('nbgrader nbformat nbclient jupytext numpy matplotlib sqlalchemy IPython "
        "jinja2 traitlets'.split())\nprint(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_program_is_installed_and_is_the_package_run_as_a_module():
    (script,) = entry_points(group="console_scripts", name="servemath")
    assert script.value == "autograder.cli:main"
    for command in (
        [Path(sys.executable).parent / "servemath"],
        [sys.executable, "-m", "autograder"],
    ):
        done = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (0, f"servemath {version('servemath')}\n")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("servemath re", ["release", "regrade", "report"]),
        ("servemath grade ch9", [NAME]),
        ("servemath grade ch1", []),
        (f"servemath grade {NAME} --student u", ["u1", "u2"]),
        ("servemath build --only ", ["notebooks", "release"]),
    ],
)
def test_the_shell_completes_commands_chapters_students_and_values(course, typed, expected):
    for student in ("u1", "u2", "w1"):
        small_course.hand_in(course, student)
    words = typed.split(" ")
    done = subprocess.run(
        [warm.programs() / "servemath"],
        cwd=course.root,
        env={
            **os.environ,
            "_SERVEMATH_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == expected


def test_completion_outside_of_a_course_is_empty_not_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = get_command(app).make_context("servemath", ["grade"], resilient_parsing=True)
    assert names.complete_chapter(context, "c") == names.complete_student(context, "") == []


# -- mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["docter"], "No such command 'docter'. Did you mean 'doctor'?"),
        (["grade"], "Missing argument 'ASSIGNMENT'"),
        (["grade", "ch9", "--fast"], "No such option: --fast"),
        (["build", "--only", "theory"], "'notebooks', 'release'"),
        (["build", "ch8"], f"no chapter is called 'ch8'; there is {NAME}"),
        (["check", "ch9_smal1"], f"Did you mean {NAME}?"),
        (["grade", "homework"], f"no assignment is called 'homework'; there is {NAME}"),
        (["grade", "ch9"], f"nothing was handed in for {NAME}: a submission lies in"),
        (["table"], f"nothing was handed in for {NAME}"),
        (["report", "ch9"], f"nothing was handed in for {NAME}"),
        (["report", "ch9", "--out", "r.pdf"], "--out must be a folder that exists or end in .html"),
        (["regrade", "ch9"], "there is no gradebook yet. The release tells it: servemath release"),
        (["bundle", "--out", "nbgrader_config.py"], "is a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_words_and_ends_in_code_2(course, monkeypatch, arguments, told):
    monkeypatch.chdir(course.root)
    done = invoke(*arguments)
    assert done.exit_code == Exit.WRONG_USAGE
    assert done.stderr.startswith("servemath: ") and told in done.stderr
    assert "Traceback" not in done.output and done.stdout == ""


def test_wrong_usage_says_where_help_is(course):
    assert "Try 'servemath grade --help'." in servemath(course, "grade").stderr


def test_the_course_is_the_folder_that_one_is_in_or_below(course, monkeypatch):
    monkeypatch.chdir(course.source / NAME)
    assert "servemath: no chapter is called 'x'" in invoke("check", "x").stderr


def test_outside_of_a_course_one_is_told_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("check")
    assert done.exit_code == Exit.WRONG_USAGE
    assert done.stderr.startswith("servemath: not in a course folder") and "--course" in done.stderr


def test_a_folder_named_as_the_course_must_be_one(course):
    for folder in (course.root / "nowhere", course.source):
        done = invoke("--course", folder, "check")
        assert done.exit_code == Exit.WRONG_USAGE
        assert f"{folder} is not a course folder" in done.stderr


def test_a_course_without_chapters_is_told_so(course):
    shutil.rmtree(course.source / NAME)
    assert "holds no chapter" in servemath(course, "check").stderr


def test_names_may_be_cut_short_but_not_to_nothing():
    known = ["ch1_a", "ch1_ab", "ch2_b"]
    assert names.meant("ch2", known, "chapter") == "ch2_b"
    assert names.meant("ch1_a", known, "chapter") == "ch1_a"
    for word in ("", "ch1", "b"):
        with pytest.raises(Mistake):
            names.meant(word, known, "chapter")


def test_a_student_is_named_in_full(graded):
    """`u` could be anybody: grading the wrong one again is no small slip."""
    course, _ = graded
    shutil.copytree(course.submitted / "u1", course.submitted / "w10", dirs_exist_ok=True)
    try:
        done = servemath(course, "grade", "ch9", "--student", "w1")
    finally:
        shutil.rmtree(course.submitted / "w10")
    assert done.exit_code == Exit.WRONG_USAGE
    assert "no student who handed in" in done.stderr and "Did you mean w10?" in done.stderr


# -- what nobody foresaw -------------------------------------------------------------


def failing_with(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(looks, "everything", fail)


def test_a_mistake_of_ours_is_one_line_and_how_to_see_more(course, monkeypatch):
    failing_with(monkeypatch, KeyError("no such key"))
    done = servemath(course, "check", "ch9")
    assert done.exit_code == Exit.BUG
    first, second = done.stderr.splitlines()
    assert first.startswith("servemath: this is a mistake of ours: KeyError: 'no such key'")
    assert "autograder/cli/authoring.py:" in first
    assert second == (f"For the traceback: servemath --debug --course {course.root} check ch9")


def test_debug_shows_the_traceback(course, monkeypatch):
    failing_with(monkeypatch, KeyError("no such key"))
    done = invoke("--debug", "--course", course.root, "check")
    assert done.exit_code == Exit.BUG
    assert "Traceback" in done.stderr and "in fail" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "No space", "gradebook.db"), Exit.NOT_HERE, "No space left"),
        (PermissionError(errno.EACCES, "denied", "x"), Exit.NOT_HERE, "x: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "gone", "x"), Exit.BUG, "a mistake of ours"),
        (NotHere("no jail here"), Exit.NOT_HERE, "servemath: no jail here"),
        (KeyboardInterrupt(), Exit.STOPPED, "servemath: stopped"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_it_ends_says_what_was_wrong(course, monkeypatch, error, code, told):
    failing_with(monkeypatch, error)
    done = servemath(course, "check")
    assert done.exit_code == code
    assert told in done.stderr and "Traceback" not in done.output


# -- authors ---------------------------------------------------------------------------


@pytest.fixture
def quick_release(monkeypatch):
    """Leave nbgrader's command out; return what was released."""
    made = []

    def fake(course, chapter):
        made.append(chapter)
        return [course.release / chapter / "exercises.ipynb"]

    monkeypatch.setattr(release, "release", fake)
    return made


@pytest.fixture
def docs(course):
    """The data that pages are made from, beside a course of one's own."""
    (course.root / "docs").mkdir()
    return course.root / "docs"


def test_build_makes_notebooks_pages_and_the_release(course, docs, quick_release):
    (course.source / NAME / "exercises.ipynb").unlink()
    done = servemath(course, "build")
    assert done.exit_code == 0 and quick_release == [NAME]
    assert (course.source / NAME / "exercises.ipynb").is_file()
    assert (docs / "reference" / "command-line.md").read_text() == page()
    for line in ("built  ", "released  "):
        assert line in done.stdout


def test_build_says_what_it_left_as_it_was(course, docs, quick_release):
    done = servemath(course, "build", "ch9", "--only", "notebooks")
    assert done.exit_code == 0 and quick_release == []
    (line,) = [line for line in done.stdout.splitlines() if "exercises.ipynb" in line]
    assert line.startswith("unchanged  ")


def test_build_may_leave_out_what_is_newer_than_its_text(course, docs):
    done = servemath(course, "build", "--only", "notebooks", "--stale")
    assert done.exit_code == 0 and "exercises.ipynb" not in done.stdout


def test_build_may_only_release(course, docs, quick_release):
    done = servemath(course, "build", "--only", "release")
    assert quick_release == [NAME] and "unchanged" not in done.stdout
    assert not (docs / "symbols.md").exists()


def test_release_alone_is_a_command_too(course, quick_release):
    assert servemath(course, "release", "ch9").exit_code == 0
    assert quick_release == [NAME]


def test_a_release_that_nbgrader_refuses_is_told(course, monkeypatch):
    def refuse(course, chapter):
        raise release.ReleaseError("nbgrader generate_assignment failed:\nit says why")

    monkeypatch.setattr(release, "release", refuse)
    done = servemath(course, "release")
    assert done.exit_code == Exit.WRONG_USAGE and "it says why" in done.stderr


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("# %% [markdown]\n# << nonsense.x >>\n", "'nonsense' is undefined"),
        ('# %% nbgrader={"grade_id": "x__y"}\n1\n', "grade_id must look like"),
    ],
)
def test_an_authors_slip_is_told_with_its_place(course, docs, cell, told):
    text = course.source / NAME / "exercises.py"
    text.write_text(f"{text.read_text()}\n{cell}")
    done = servemath(course, "build")
    assert done.exit_code == Exit.WRONG_USAGE
    assert done.stderr.splitlines()[-1].startswith(f"servemath: {NAME}: ") and told in done.stderr


def test_a_cell_of_theory_that_stops_is_told_with_its_first_line(course, docs):
    text = course.source / NAME / "theory.py"
    text.write_text(f"{small_course.HEADER}\n# %%\nshare = busy / total\n")
    done = servemath(course, "build")
    assert done.exit_code == Exit.WRONG_USAGE
    assert done.stderr.splitlines()[-1] == (
        f"servemath: {NAME}: a cell of theory stops with NameError: name 'busy' is not defined "
        "(it begins: share = busy / total)"
    )


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("fault", 1)])
def test_check_ends_in_1_if_something_needs_a_look(course, monkeypatch, state, code):
    asked = []

    def everything(course, chapters, execute):
        asked.append((chapters, execute))
        return [("thing", lambda: Finding("thing", state, "as it is", "mend it"))]

    monkeypatch.setattr(looks, "everything", everything)
    done = servemath(course, "check", "ch9", "--execute")
    assert done.exit_code == code and asked == [([NAME], True)]
    assert " ".join(done.stdout.split()) == f"{state} thing as it is what to do: mend it"


def test_bank_shows_exercises_with_their_counts():
    done = invoke("--course", HOME, "bank", FIRST)
    assert done.exit_code == 0 and "littles_law" in done.stdout and "together" in done.stdout


def test_a_bank_needs_built_notebooks(course):
    (course.source / NAME / "exercises.ipynb").unlink()
    done = servemath(course, "bank")
    assert done.exit_code == Exit.WRONG_USAGE and "exercises.ipynb" in done.stderr


def test_the_bundle_holds_what_learners_need_and_nothing_of_staff(tmp_path):
    done = invoke("--course", HOME, "bundle", "--out", tmp_path)
    assert done.exit_code == 0 and "servemath-learner.zip" in done.stdout
    with zipfile.ZipFile(tmp_path / "servemath-learner.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert [name for name in files if "autograder" in name or name.startswith("servemath/so")] == []
    assert "scripts" not in files["servemath/pyproject.toml"]
    released = f"servemath/release/{FIRST}/exercises.ipynb"
    assert files[released] == (HOME / "release" / FIRST / "exercises.ipynb").read_text("utf-8")


# -- graders -----------------------------------------------------------------------------


def test_grade_shows_the_table_and_who_could_not_be_graded(graded):
    _, done = graded
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["u1", "5", "3", "2"] in rows
    assert ["u2", "3", "1", "2"] in rows
    assert "u3       not graded" in done.stdout and "not valid JSON" in done.stdout
    assert "Graded now: 2\nCould not be graded: 1 (u3)" in done.stdout
    assert done.exit_code == Exit.NEEDS_A_LOOK


def test_grade_keeps_the_log(graded):
    course, done = graded
    assert f"outcomes/{NAME}.log" in done.stdout
    assert "u3 could not be graded" in (course.outcomes / f"{NAME}.log").read_text()


def test_grade_writes_feedback_where_it_was_asked_to(graded):
    course, done = graded
    assert "Feedback pages (3): " in done.stdout
    for student in ("u1", "u2", "u3"):
        assert (course.feedback / student / NAME / "exercises.html").is_file()


def test_progress_is_plain_lines_on_stderr_where_there_is_no_terminal(graded):
    _, done = graded
    assert f"grading {NAME}: 0 of 3\n" in done.stderr
    assert f"grading {NAME}: 3 of 3\n" in done.stderr
    assert "writing feedback: 3 of 3\n" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_grading_again_says_what_it_left_alone(graded, monkeypatch):
    course, _ = graded
    ends(monkeypatch, 0)
    done = servemath(course, "grade", "ch9")
    assert "Graded now: 0\nGraded before: 2 (--force grades them again)" in done.stdout
    assert done.exit_code == Exit.NEEDS_A_LOOK


def test_one_student_can_be_graded_alone_and_others_troubles_are_not_theirs(graded):
    course, _ = graded
    before = (course.outcomes / NAME / "u2.json").stat().st_mtime_ns
    done = servemath(course, "grade", "ch9", "--student", "u1", "--force")
    assert done.exit_code == 0
    assert "Graded now: 1\nLog: " in done.stdout
    assert (course.outcomes / NAME / "u2.json").stat().st_mtime_ns == before


def test_table_prints_csv_and_ends_well_whatever_it_shows(graded):
    course, _ = graded
    done = servemath(course, "table", "--csv")
    assert done.exit_code == 0
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["student", "total", "double", "half", "notes"]
    assert rows[1] == ["u1", "5", "3", "2", ""]
    assert rows[3][:4] == ["u3", "", "", ""]
    assert "points of 5" in servemath(course, "table", "ch9").stdout


def test_report_prints_where_it_is(graded, tmp_path):
    course, _ = graded
    done = servemath(course, "report", "ch9", "--out", tmp_path / "class.html")
    assert done.exit_code == 0
    assert done.stdout == f"report  {os.path.relpath(tmp_path / 'class.html')}\n"
    assert "u1" not in (tmp_path / "class.html").read_text(encoding="utf-8")


def test_report_shows_names_where_it_was_asked_to(graded, monkeypatch):
    course, _ = graded
    asked = []
    monkeypatch.setattr(
        autograder.report,
        "write_report",
        lambda *positional, **named: asked.append((positional, named)) or course.root / "r.html",
    )
    servemath(course, "report", "ch9", "--names")
    assert asked == [((course, NAME), {"names": True, "out": None})]


def test_where_nothing_can_be_jailed_grading_does_not_begin(graded, monkeypatch):
    course, _ = graded
    monkeypatch.setattr(jail, "why_not", lambda: "namespaces are forbidden; allow them")
    before = (course.outcomes / NAME / "u1.json").read_bytes()
    for command in ("grade", "regrade"):
        done = servemath(course, command, "ch9")
        assert done.exit_code == Exit.NOT_HERE
        assert done.stderr == "servemath: namespaces are forbidden; allow them\n"
    assert (course.outcomes / NAME / "u1.json").read_bytes() == before


def test_an_assignment_that_the_gradebook_does_not_know_is_told(course):
    small_course.fill_gradebook(course, "ch8_other")
    small_course.hand_in(course, "u1")
    done = servemath(course, "grade", "ch9")
    assert done.exit_code == Exit.WRONG_USAGE
    assert f"the gradebook does not know {NAME}. The release tells it" in done.stderr


def test_a_relative_gradebook_is_one_in_the_course_folder_wherever_one_stands(course, monkeypatch):
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write('\nc.CourseDirectory.db_url = "sqlite:///grades.db"\n')
    docs = course.root / "docs"
    docs.mkdir()
    small_course.hand_in(course, "u1")
    monkeypatch.chdir(docs)
    for command in ("table", "report"):
        done = invoke(command, "ch9")
        assert done.exit_code == Exit.WRONG_USAGE
        assert "there is no gradebook yet. The release tells it" in done.stderr
    small_course.fill_gradebook(course)
    small_course.record(course, "u1", 1)
    course.database.rename(course.root / "grades.db")
    assert "u1,5,3,2," in invoke("table", "ch9", "--csv").stdout
    assert invoke("report", "ch9").exit_code == 0
    assert [path.name for path in docs.iterdir()] == [] and not course.database.exists()


def test_a_gradebook_that_cannot_be_read_is_told(course):
    small_course.hand_in(course, "u1")
    course.database.write_bytes(b"not a database at all" * 100)
    done = servemath(course, "table")
    assert done.exit_code == Exit.NOT_HERE
    assert "file is not a database. servemath doctor says more" in done.stderr


def test_a_command_that_stopped_before_it_began_is_told_with_the_end_of_its_log(
    course, monkeypatch
):
    small_course.fill_gradebook(course)
    small_course.hand_in(course, "u1")

    ends(monkeypatch, 1, "first\n\nthe reason\n")
    done = servemath(course, "grade", "ch9")
    assert done.exit_code == Exit.NOT_HERE
    assert "before it had graded anything" in done.stderr
    assert done.stderr.endswith("first\nthe reason\n")


def test_who_got_no_feedback_page_is_named(graded, monkeypatch):
    course, _ = graded
    (course.feedback / "u3" / NAME / "exercises.html").unlink()
    ends(monkeypatch, 1)
    done = servemath(course, "grade", "ch9", "--student", "u1", "--feedback")
    assert done.exit_code == Exit.NOT_HERE, "nothing was graded and nbgrader ended with 1"
    ends(monkeypatch, 0)
    done = servemath(course, "grade", "ch9", "--feedback")
    assert "Feedback pages (2): " in done.stdout and "No feedback page: 1 (u3)" in done.stdout
    assert done.exit_code == Exit.NEEDS_A_LOOK


# -- watching a command ----------------------------------------------------------------


def test_a_file_is_done_when_it_was_written_since(tmp_path):
    path = tmp_path / "page.html"
    fresh = watch.Watched(path)
    assert not fresh.is_done()
    path.write_text("one")
    assert fresh.is_done()
    again = watch.Watched(path)
    assert not again.is_done()
    os.utime(path, ns=(1, 1))
    assert again.is_done()


def test_an_outcome_is_done_when_it_no_longer_says_unfinished(course):
    watched = watch.outcome_watch(course, NAME, "u1")
    Outcome("u1", NAME, NOT_GRADED, UNFINISHED).save(course.root)
    assert not watched.is_done()
    Outcome("u1", NAME).save(course.root)
    assert watched.is_done()


def test_a_command_that_does_nothing_for_too_long_is_ended(course, monkeypatch):
    started = []

    class Process(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__([sys.executable, "-c", "import time; time.sleep(600)"], **named)
            started.append(self)

    monkeypatch.setattr(commands.subprocess, "Popen", Process)
    with pytest.raises(TimeoutError, match="nbgrader autograde did nothing for 0 s"):
        commands.run_nbgrader(course.root, "autograde", timeout_s=0.0)
    assert started[0].returncode is not None


def test_what_a_command_wrote_last_is_reported_before_it_is_over(course, monkeypatch):
    target = course.root / "page.html"
    real = subprocess.Popen

    def writes_and_ends(*_, **named):
        code = f"open({str(target)!r}, 'w').close(); print('said')"
        return real([sys.executable, "-c", code], **named)

    monkeypatch.setattr(commands.subprocess, "Popen", writes_and_ends)
    done = []
    watched = {"u1": watch.Watched(target), "u2": watch.Watched(course.root / "never")}
    log = course.root / "log"
    ended = commands.run_nbgrader(course.root, log=log, news=watch.news_of(watched, done.append))
    assert (ended.returncode, done) == (0, ["u1"])
    assert ended.stderr == log.read_text() == "said\n"


def test_progress_is_a_bar_in_a_terminal():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with bar._bar(console, "grading", 3) as advance:
        advance("u1 [bold]")
    assert "grading" in screen.getvalue() and "1/3" in screen.getvalue()
    assert "u1 [bold]" in screen.getvalue()


def test_much_work_is_told_in_few_lines(capsys):
    with bar.progress("work", 1000) as advance:
        for number in range(1000):
            advance(str(number))
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "work: 0 of 1000" and told[-1] == "work: 1000 of 1000"
    assert len(told) == bar.PARTS + 1


# -- regrade -------------------------------------------------------------------------------


def changes_of(gain=-2.0, tests=("double__hidden__large",), not_graded=()):
    before = Snapshot("2026-01-01T000000Z", {"double": 3.0}, {"u1": {"double": 3.0}})
    after = Snapshot("2026-01-02T000000Z", {"double": 3.0}, {"u1": {"double": 3.0 + gain}})
    changed = (LearnerChange("u1", 3.0, 3.0 + gain, {"double": gain}),) if gain else ()
    found = Comparison(before.taken, changed, 1 - len(changed), (), (), {"double": gain}, {})
    return regrade.Changes(
        NAME, before, after, found, tests, dict.fromkeys(not_graded, "why"), "state", "token"
    )


@pytest.fixture
def planned(graded, monkeypatch):
    """Let a regrade find these changes; return what is then done with them."""
    course, _ = graded
    calls = []

    def plan(changes):
        monkeypatch.setattr(regrade, "plan", lambda *_: changes)
        monkeypatch.setattr(
            regrade, "apply", lambda *_: calls.append("apply") or course.root / "reports"
        )
        monkeypatch.setattr(regrade, "discard", lambda *_: calls.append("discard"))
        return calls

    return plan


def test_regrade_shows_who_changes_and_asks_before_it_writes(graded, planned):
    calls = planned(changes_of())
    done = servemath(graded[0], "regrade", "ch9", input="y\n")
    assert done.exit_code == 0 and calls == ["apply"]
    assert "double -2" in done.stdout and "Write this to the gradebook?" in done.stdout
    assert "The previous scores and gradebook: " in done.stdout


@pytest.mark.parametrize(
    ("options", "typed", "code"), [([], "n\n", 0), (["--dry-run"], "", 0), ([], "", 130)]
)
def test_without_a_yes_nothing_is_written(graded, planned, options, typed, code):
    calls = planned(changes_of())
    done = servemath(graded[0], "regrade", "ch9", *options, input=typed)
    assert done.exit_code == code and calls == ["discard"]


def test_regrade_does_not_ask_where_it_was_told_yes(graded, planned):
    calls = planned(changes_of())
    done = servemath(graded[0], "regrade", "ch9", "--yes")
    assert calls == ["apply"] and "Write this" not in done.stdout


def test_where_nothing_changes_there_is_nothing_to_write(graded, planned):
    calls = planned(changes_of(gain=0.0, tests=()))
    done = servemath(graded[0], "regrade", "ch9", "--yes")
    assert done.exit_code == 0 and calls == ["discard"] and "Nothing to write." in done.stdout


def test_who_cannot_be_graded_any_more_is_worth_a_look(graded, planned):
    planned(changes_of(not_graded=["u3"]))
    assert servemath(graded[0], "regrade", "ch9", "--yes").exit_code == Exit.NEEDS_A_LOOK


def test_a_regrade_that_cannot_be_is_told(graded, monkeypatch):
    def refuse(*_):
        raise regrade.RegradeError("graded cells were added")

    monkeypatch.setattr(regrade, "plan", refuse)
    done = servemath(graded[0], "regrade", "ch9")
    assert done.exit_code == Exit.WRONG_USAGE
    assert done.stderr.endswith("servemath: graded cells were added\n")


def test_the_progress_of_a_regrade_is_read_from_its_scratch_copy(course, monkeypatch):
    def plan(course, assignment):
        for student in ("u1", "u2"):
            Outcome(student, assignment).save(workspace(course, assignment))
        return "changes"

    for student in ("u1", "u2", "u3"):
        small_course.hand_in(course, student)
    monkeypatch.setattr(regrade, "plan", plan)
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert regrading._plan(course, NAME) == "changes"
    assert told.getvalue().splitlines() == [
        f"grading a copy of {NAME}: {done} of 3" for done in range(3)
    ]


# -- trying things out -----------------------------------------------------------------------


@pytest.fixture
def demonstrated(tmp_path, monkeypatch):
    """Let the demo grade nobody and find these scores."""
    scratch = release.scratch_course(tmp_path / "course", [FIRST])
    shutil.copytree(HOME / "release" / FIRST, scratch.release / FIRST)
    monkeypatch.setattr(
        autograder.report, "write_report", lambda course, name: course.root / f"{name}.html"
    )
    made = [case for case, _ in cases(Chapter(scratch, FIRST))]

    def demonstrate(**changed):
        rows = [Row(case.student, changed.get(case.student, case.scores), ()) for case in made]
        table = ClassTable(FIRST, {}, tuple(rows))
        monkeypatch.setattr(demo, "run", lambda course, chapters: [table])
        return servemath(scratch, "demo", "ch1")

    return demonstrate, made


def test_the_demo_ends_with_the_reports_path_and_whether_scores_are_right(demonstrated):
    demonstrate, made = demonstrated
    done = demonstrate()
    assert done.exit_code == 0, done.output
    *_, report, verdict = done.stdout.splitlines()
    assert report.startswith("Class report: ") and report.endswith(f"{FIRST}.html")
    assert verdict == f"Scores as they should be: {len(made)} of {len(made)} submissions"


def test_a_score_that_is_not_deserved_is_named(demonstrated):
    demonstrate, _ = demonstrated
    done = demonstrate(sample_all_right_1={"littles_law": 0.0})
    assert done.exit_code == Exit.NEEDS_A_LOOK
    assert f"Not so: sample_all_right_1 ({FIRST})" in done.stdout


def test_a_demo_in_a_real_class_is_refused(graded):
    done = servemath(graded[0], "demo")
    assert done.exit_code == Exit.WRONG_USAGE and "submissions of a real class" in done.stderr


def test_the_sample_class_can_be_taken_out(course):
    for student in ("sample_one", "u1"):
        small_course.hand_in(course, student)
    done = servemath(course, "clean-demo")
    assert done.stdout == "removed 1 sample students\n"
    assert [path.name for path in course.submitted.iterdir()] == ["u1"]


def test_a_lab_is_what_learners_have_and_leaves_their_files_alone(tmp_path):
    course = Course(tmp_path)
    shutil.copytree(HOME / "release", course.release)
    everything = {path.relative_to(course.release) for path in course.release.rglob("*.ipynb")}
    assert {Path("start.ipynb"), Path("your_service.ipynb")} < everything
    checkpoint = course.release / FIRST / ".ipynb_checkpoints" / "theory-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    mine = tmp_path / machine_lab.FOLDER
    for name in ("start.ipynb", f"{FIRST}/exercises.ipynb"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text("mine")
    copied = {path.relative_to(mine) for path in machine_lab.copy_missing(course)}
    assert copied == everything - {Path("start.ipynb"), Path(FIRST, "exercises.ipynb")}
    assert (mine / "start.ipynb").read_text() == "mine"
    assert machine_lab.copy_missing(course) == []


def test_a_lab_needs_jupyter(course, monkeypatch):
    def missing(program, *_):
        raise FileNotFoundError(program)

    monkeypatch.setattr(os, "execvpe", missing)
    monkeypatch.chdir(course.root)
    done = servemath(course, "lab")
    assert done.exit_code == Exit.NOT_HERE and "make setup" in done.stderr
