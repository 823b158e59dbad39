"""What `servemath doctor` finds, on a machine that has it and on one that lacks it."""

import json
import shutil
import sqlite3
import sys
import tempfile
from collections import namedtuple
from contextlib import closing
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.check import looks as check
from autograder.cli.app import app
from autograder.course import Course
from autograder.findings import Finding
from autograder.grading.engine import jail
from autograder.machine import doctor

from . import small_course
from .small_course import NAME

Space = namedtuple("Space", "total used free")


@pytest.fixture
def course(tmp_path):
    (tmp_path / "source" / "ch1_one").mkdir(parents=True)
    (tmp_path / "source" / "ch1_one" / "theory.py").touch()
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    return Course.at(tmp_path)


def set_option(course, line):
    (course.root / "nbgrader_config.py").write_text(f"c = get_config()\n{line}\n")


@pytest.mark.parametrize(
    ("have", "state"),
    [((3, 10), "fault"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "fault")],
)
def test_python_must_be_one_that_the_lock_serves(monkeypatch, have, state):
    monkeypatch.setattr(doctor.sys, "version_info", (*have, 0, "final", 0))
    finding = doctor.python()
    assert finding.state == state
    assert ("make PYTHON=" in finding.advice) == (state == "fault")


# -- packages -------------------------------------------------------------------


def lock(course, *lines):
    (course.root / "requirements.lock").write_text("\n".join(lines) + "\n")


def test_packages_as_pinned_are_well(course):
    lock(
        course,
        f"nbgrader=={version('nbgrader')}",
        "    # via servemath",
        "nowhere==1 ; sys_platform == 'no such system'",
    )
    assert doctor.packages(course) == Finding(
        "packages", "ok", "1, all as pinned in requirements.lock"
    )


def test_other_versions_and_missing_packages_are_named(course):
    lock(course, "nbgrader==0.0.1", "no-such-package==2.0", "pip==0.1", "numpy==0.1")
    finding = doctor.packages(course)
    assert finding.state == "fault"
    assert f"nbgrader is {version('nbgrader')}, not 0.0.1" in finding.found
    assert "no-such-package is not installed" in finding.found
    assert finding.found.endswith("and 1 more")
    assert "make setup" in finding.advice


def test_without_a_lock_there_is_nothing_to_compare(course):
    assert doctor.packages(course).state == "note"


# -- alembic --------------------------------------------------------------------


def test_alembic_on_path_is_well(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert doctor.alembic().state == "ok"


def test_alembic_only_beside_the_interpreter_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.alembic()
    assert finding.state == "note" and "activate" in finding.advice


def test_no_alembic_at_all_is_a_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    finding = doctor.alembic()
    assert finding.state == "fault" and "make setup" in finding.advice


# -- gradebook ------------------------------------------------------------------


@pytest.fixture
def database(course):
    with closing(sqlite3.connect(course.database)) as connection:
        connection.execute("CREATE TABLE grade (x)")
    return course.database


def test_a_gradebook_that_can_be_written_is_well_and_is_left_as_it_was(course, database):
    before = database.read_bytes()
    assert doctor.gradebook(course) == Finding("gradebook", "ok", "gradebook.db can be written")
    assert database.read_bytes() == before
    assert {path.name for path in course.root.iterdir()} == {
        "gradebook.db",
        "nbgrader_config.py",
        "source",
    }


def test_no_gradebook_yet_is_a_note(course):
    finding = doctor.gradebook(course)
    assert finding.state == "note" and finding.advice == "servemath release makes it"


def test_a_gradebook_that_another_program_holds_is_a_fault(course, database):
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        finding = doctor.gradebook(course)
    assert finding.state == "fault"
    assert "database is locked" in finding.found and "formgrader" in finding.advice


def test_a_damaged_gradebook_is_a_fault(course):
    course.database.write_bytes(b"not a database at all" * 100)
    finding = doctor.gradebook(course)
    assert finding.state == "fault" and "not a database" in finding.found


def test_a_folder_that_cannot_be_written_is_a_fault(course, database, monkeypatch):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    finding = doctor.gradebook(course)
    assert finding.state == "fault" and "Read-only file system" in finding.found


def test_the_gradebook_that_is_configured_is_the_one_looked_at(course, database, tmp_path):
    other = tmp_path / "elsewhere" / "grades.db"
    other.parent.mkdir()
    shutil.copy(database, other)
    set_option(course, f"c.CourseDirectory.db_url = 'sqlite:///{other}'")
    assert doctor.gradebook(course).found == "grades.db can be written"


def test_due_dates_are_told_in_utc_and_in_the_course_s_zone(course):
    assert doctor.due_dates(course).state == "note", "there is no gradebook"
    small_course.fill_gradebook(course)
    assert doctor.due_dates(course) == Finding("due dates", "ok", "none, so nothing is late")
    with small_course.gradebook_of(course) as gradebook:
        gradebook.update_or_create_assignment(NAME, duedate=datetime(2026, 12, 2, 7, 59))
    finding = doctor.due_dates(course)
    assert finding.found == f"{NAME}: 2026-12-02 07:59 UTC" and "timezone" in finding.advice
    set_option(course, "c.Exchange.timezone = 'Asia/Tokyo'")
    told = f"{NAME}: 2026-12-02 07:59 UTC (2026-12-02 16:59 Asia/Tokyo)"
    assert doctor.due_dates(course) == Finding("due dates", "ok", told)
    set_option(course, "c.Exchange.timezone = 'Asia/Tokio'")
    finding = doctor.due_dates(course)
    assert finding.state == "fault" and "knows no Asia/Tokio" in finding.found


def test_a_server_that_does_not_answer_is_a_fault_and_no_password_is_shown(course):
    set_option(
        course, "c.CourseDirectory.db_url = 'postgresql+nosuchdriver://u:secret@127.0.0.1:9/g'"
    )
    finding = doctor.gradebook(course)
    assert finding.state == "fault" and "127.0.0.1:9" in finding.found
    assert "secret" not in finding.found + finding.advice


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("c.X = (", "SyntaxError"),
        ("c.CourseDirectory.db_url = 'not an address'", "Could not parse"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_a_fault(course, line, told):
    set_option(course, line)
    finding = doctor.gradebook(course)
    assert finding.state == "fault" and told in finding.found


# -- disk, jail, release, browser --------------------------------------------------


def test_disk_must_have_room_for_several_times_what_was_handed_in(course, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Space(0, 0, 2 * 2**30))
    assert doctor.disk(course) == Finding("disk", "ok", "2.0 GiB free")
    monkeypatch.setattr(doctor, "DISK_TIMES_SUBMITTED", 2**30)
    (course.submitted / "u1").mkdir(parents=True)
    (course.submitted / "u1" / "exercises.ipynb").write_bytes(b"123")
    finding = doctor.disk(course)
    assert finding.state == "fault"
    assert f"{course.root}: 2.0 GiB free, 3.0 GiB wanted" in finding.found
    assert tempfile.gettempdir() + ":" not in finding.found


def test_room_for_temporary_files_is_wanted_too(course, monkeypatch):
    temporary = Path(tempfile.gettempdir())
    free = {course.root: 2**40, temporary: 2**20}
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Space(0, 0, free[place]))
    finding = doctor.disk(course)
    assert finding.state == "fault" and finding.found.startswith(f"{temporary}: 0.0 GiB free")


def test_a_machine_that_can_jail_is_well(course, monkeypatch):
    monkeypatch.setattr(jail, "probe", lambda: jail.NAMESPACES)
    told = Finding("jail", "ok", "learners' code can be shut in by namespaces")
    assert doctor.jail(course) == told


def test_the_second_wall_is_named_with_its_version(course, monkeypatch):
    monkeypatch.setattr(jail, "probe", lambda: jail.LANDLOCK)
    monkeypatch.setattr(jail.syscalls, "landlock_abi", lambda: 4)
    told = Finding("jail", "ok", "learners' code can be shut in by Landlock (ABI 4)")
    assert doctor.jail(course) == told


def no_wall():
    raise jail.JailUnavailable("namespaces are forbidden.")


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("", "fault"),
        ("c.ExecuteGraded.allow_unsandboxed = True", "note"),
        ("c.ExecuteGraded.dask_scheduler = 'tcp://10.0.0.5:8786'", "note"),
    ],
)
def test_a_machine_that_cannot_jail_is_a_fault_unless_the_course_does_without(
    course, monkeypatch, line, state
):
    monkeypatch.setattr(jail, "probe", no_wall)
    monkeypatch.delenv("SERVEMATH_DASK_SCHEDULER", raising=False)
    set_option(course, line)
    found = doctor.jail(course)
    assert (found.subject, found.state) == ("jail", state)
    assert "namespaces are forbidden. To grade without a jail" in found.found


def test_a_release_that_is_out_of_date_is_a_fault(course, monkeypatch):
    for state in ("ok", "fault"):
        monkeypatch.setattr(
            check,
            "release",
            lambda chapter, state=state: Finding(f"r {chapter.name}", state, "old"),
        )
        assert doctor.release(course).state == state
    assert doctor.release(course).found == "r ch1_one is old"


def test_no_browser_is_a_note(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.browser()
    assert finding.state == "note" and "apt install chromium" in finding.advice
    (tmp_path / "chromium").touch(mode=0o755)
    assert str(tmp_path / "chromium") in doctor.browser().found


def test_a_browser_can_be_named(monkeypatch, tmp_path):
    (tmp_path / "chromium").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROMIUM", "/no/such/browser")
    assert "no Chromium" in doctor.browser().found


# -- the command ------------------------------------------------------------------


def examinations(*findings):
    return lambda course: [(finding.subject, lambda f=finding: f) for finding in findings]


WELL = Finding("disk", "ok", "9 GiB free")
NOTE = Finding("browser", "note", "none")
FAULT = Finding("jail", "fault", "forbidden", "allow it")


@pytest.mark.parametrize(
    ("findings", "code"), [([WELL], 0), ([WELL, NOTE], 0), ([WELL, FAULT, NOTE], 1)]
)
def test_only_a_fault_is_worth_an_exit_code(course, monkeypatch, findings, code):
    monkeypatch.setattr(doctor, "examinations", examinations(*findings))
    done = CliRunner().invoke(app, ["-C", str(course.root), "doctor"])
    assert done.exit_code == code
    for finding in findings:
        assert finding.found in done.stdout
    assert ("what to do: allow it" in done.stdout) == (FAULT in findings)


def test_json_holds_the_same(course, monkeypatch):
    monkeypatch.setattr(doctor, "examinations", examinations(WELL, FAULT))
    done = CliRunner().invoke(app, ["-C", str(course.root), "doctor", "--json"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert told["findings"][1] == {
        "subject": "jail",
        "state": "fault",
        "found": "forbidden",
        "advice": "allow it",
    }


def test_every_examination_is_under_the_name_of_its_finding(course, monkeypatch):
    monkeypatch.setattr(jail, "probe", lambda: jail.NAMESPACES)
    monkeypatch.setattr(check, "release", lambda chapter: Finding(chapter.name, "ok", ""))
    looks = doctor.examinations(course)
    assert [name for name, _ in looks] == [look().subject for _, look in looks]
    assert [name for name, _ in looks] == [
        *(
            "Python",
            "packages",
            "alembic",
            "gradebook",
            "due dates",
            "disk",
            "jail",
            "release",
            "browser",
        )
    ]
