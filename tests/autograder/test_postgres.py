"""PostgreSQL as gradebook: a real server of the test's own on loopback, two graders at once."""

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from autograder.attempts.record import Records
from autograder.authoring.release import release, scratch_course
from autograder.course import commands
from autograder.course.commands import run_nbgrader
from autograder.gradebook.record import collect
from autograder.gradebook.table import class_table
from autograder.watch.run import watch
from autograder.watch.status import Status

from ..shared import copy_of
from . import small_course
from .exchange_folder import Exchange
from .test_killed import FIRST, GRADES, SIZE, files_of, pristine, uninterrupted

__all__ = ["pristine", "uninterrupted"]  # fixtures

#: Where Debian and Ubuntu keep the server's programs, which are not on PATH.
DEBIAN = Path("/usr/lib/postgresql")

#: Seconds that the server may take to start, on a machine that does other things as well.
PATIENCE_S = 120


def programs():
    """Return the folder with the server's programs, or None."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else sorted(DEBIAN.glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)


pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        programs() is None, reason="no PostgreSQL server here; on Debian: apt install postgresql"
    ),
]


def unprivileged():
    """Return who runs the server: its programs refuse to run as root."""
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Server:
    """A database server on a free port, with everything it writes in one folder."""

    def __init__(self, folder):
        self.password = secrets.token_hex(16)
        self._folder, self._who = folder, unprivileged()
        secret = folder / "password"
        secret.write_text(self.password)
        if self._who:
            for path in (folder, secret):
                os.chown(path, self._who["user"], self._who["group"])
        self._run("initdb", "-D", folder / "data", "-U", "grader", "-A", "scram-sha-256",
                  "--pwfile", secret, "--no-sync", "--encoding=UTF8", "--locale=C")  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [programs() / "postgres", "-D", folder / "data", "-h", "127.0.0.1",
                 "-p", str(self.port), "-k", folder, "-c", "fsync=off"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._who,
            )  # fmt: skip
        try:
            self._until_it_answers()
        except BaseException:
            self.close()
            raise

    def _run(self, program, *arguments):
        done = subprocess.run(
            [programs() / program, *arguments], cwd=self._folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, **self._who,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _until_it_answers(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.OperationalError):
                self.ask("postgres", "SELECT 1")
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
                break
        raise AssertionError((self._folder / "log").read_text())

    def url(self, database):
        return f"postgresql+psycopg://grader:{self.password}@127.0.0.1:{self.port}/{database}"

    def ask(self, database, question):
        """Return the rows that a statement gives, if it gives any."""
        address = self.url(database).replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            answer = connection.execute(question)
            return answer.fetchall() if answer.description else []

    def close(self):
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="module")
def server():
    # Not below pytest's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="servemath-postgres-"))
    try:
        with contextlib.closing(Server(folder)) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def released(server, tmp_path_factory):
    """The name of a database into which nbgrader has released the chapter."""
    server.ask("postgres", "CREATE DATABASE released")
    course = scratch_course(tmp_path_factory.mktemp("release"), [FIRST])
    done = run_nbgrader(
        course.root, "generate_assignment", FIRST, "--create",
        f"--CourseDirectory.db_url={server.url('released')}", timeout_s=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not course.database.exists()
    return "released"


@pytest.fixture
def database(server, released, request):
    name = f"class_{len(request.node.name)}"
    server.ask("postgres", f"CREATE DATABASE {name} TEMPLATE {released}")
    return name


def graders(course, url, *students):
    """Start a command for each pattern of students, all at once; check that all end well."""
    command = [*commands.nbgrader(), "autograde", FIRST]
    command.append(f"--CourseDirectory.db_url={url}")
    started = []
    for number, pattern in enumerate(students):
        with (course.root / f"{number}.log").open("w") as log:
            grader = subprocess.Popen(
                [*command, "--student", pattern],
                cwd=course.root,
                env=commands.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        started.append(grader)
    ended = [grader.wait(400) for grader in started]
    said = [path.read_text() for path in sorted(course.root.glob("*.log"))]
    assert ended == [0] * len(students), "\n".join(said)


def check(server, database, course, uninterrupted):
    """All is as SQLite has it: scores, outcomes, verdicts in notebooks."""
    scores, outcomes, verdicts = uninterrupted[0]
    found = sorted(tuple(row) for row in server.ask(database, GRADES))
    assert found == sorted((*row[:-1], bool(row[-1])) for row in scores)
    assert files_of(course) == (outcomes, verdicts)
    rows = Counter(row[0] for row in found)
    assert len(rows) == SIZE
    for table, number in (("student", SIZE), ("submitted_assignment", SIZE)):
        assert server.ask(database, f"SELECT count(*) FROM {table}") == [(number,)], table


def test_the_grades_are_those_of_sqlite(server, database, pristine, uninterrupted, tmp_path):
    course = copy_of(pristine, tmp_path / "course")
    course.database.unlink()
    graders(course, server.url(database), "*")
    check(server, database, course, uninterrupted)
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write(f"\nc.CourseDirectory.db_url = {server.url(database)!r}\n")
    table = class_table(collect(course, FIRST))
    assert table.all_graded and len(table.rows) == SIZE


def test_two_graders_at_once_lose_and_double_nothing(
    server, database, pristine, uninterrupted, tmp_path
):
    course = copy_of(pristine, tmp_path / "course")
    course.database.unlink()
    graders(course, server.url(database), "*000[1-3]", "*000[4-6]")
    check(server, database, course, uninterrupted)


def test_a_watcher_grades_into_it_and_waits_while_it_cannot_be_reached(
    server, tmp_path, monkeypatch
):
    server.ask("postgres", "CREATE DATABASE watched")
    course = small_course.make(tmp_path / "made")
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write(f"\nc.CourseDirectory.db_url = {server.url('watched')!r}\n")
    release(course, small_course.NAME)
    exchange = Exchange(course, tmp_path)
    first = exchange.submit("u1", **small_course.RIGHT)
    exchange.watch(monkeypatch)

    second = exchange.submit("u2", **small_course.WRONG)
    server.ask("postgres", "ALTER DATABASE watched ALLOW_CONNECTIONS false")
    assert watch(exchange.course, [small_course.NAME], once=True) is False
    (error,) = Status.load(exchange.course).errors
    assert "not currently accepting connections" in error["said"]
    server.ask("postgres", "ALTER DATABASE watched ALLOW_CONNECTIONS true")
    exchange.watch(monkeypatch)

    assert not exchange.course.database.exists()
    scores = "SELECT sum(auto_score) FROM grade GROUP BY notebook_id ORDER BY 1"
    assert server.ask("watched", scores) == [(2.0,), (5.0,)]
    for who, name, points in (("u1", first, 5), ("u2", second, 2)):
        (attempt,) = Records(exchange.course).of(small_course.NAME, who)
        assert (attempt.points, attempt.number) == (points, 1)
        assert f"<strong>{points}</strong> of 5 points" in exchange.fetch(name)
