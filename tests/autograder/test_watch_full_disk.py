"""A disk that is full in earnest: whatever of a watched course lies on it, and whenever."""

import functools
import os
import shutil
import subprocess

import pytest

from autograder.attempts.record import Records
from autograder.gradebook.reader import grades_of
from autograder.watch import run
from autograder.watch.status import Status

from . import small_course
from .exchange_folder import NAME, Exchange
from .small_course import RIGHT, WRONG

pytestmark = pytest.mark.timeout(600)

SIZE = "24m"


@pytest.fixture
def disk(tmp_path):
    """Return a folder on a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a disk of the test's own")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    """Leave not a byte of room."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for piece in (1 << 20, 1 << 12, 1):
            try:
                while ballast.write(b"\0" * piece):
                    pass
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return small_course.released(tmp_path_factory)


@pytest.mark.parametrize(
    ("what", "when", "said"),
    [
        ("course", "copy", ""),  # there is no room for a status either
        ("course", "noted", ""),
        ("gradebook", "grade", "database or disk is full"),
        ("feedback", "write pages", "no feedback page was written; the log of nbgrader says why"),
        ("exchange", "release", "No space left on device"),
    ],
)
def test_after_there_is_room_again_all_is_graded_once_and_nothing_lost(
    released, tmp_path, monkeypatch, disk, what, when, said
):
    exchange = Exchange(released, disk if what == "course" else tmp_path)
    course = exchange.course
    if what == "gradebook":
        shutil.move(course.database, disk)
        exchange.configure(f"c.CourseDirectory.db_url = 'sqlite:///{disk}/gradebook.db'")
    elif what == "exchange":
        shutil.copytree(exchange.inbound.parents[1], disk / "exchange", dirs_exist_ok=True)
        exchange.configure(f"c.Exchange.root = '{disk}/exchange'")
        exchange.inbound = disk / "exchange" / "servemath" / "inbound"
        exchange.feedback = exchange.inbound.with_name("feedback")
    elif what == "feedback":
        course.feedback.symlink_to(disk)
    names = exchange.submit("u1", **RIGHT), exchange.submit("u2", **WRONG)

    def reach(step):
        if step == when:
            fill(disk)

    monkeypatch.chdir(course.root)
    with monkeypatch.context() as patched:
        patched.setattr(run, "Steps", functools.partial(run.Steps, reach=reach))
        assert run.watch(course, [NAME], once=True, poll_s=0.05) is False
    assert (disk / "ballast").stat().st_size > 0  # that step was come to
    (disk / "ballast").unlink()
    exchange.watch(monkeypatch)

    records = Records(course)
    made = [(who, [one.points for one in records.of(NAME, who)]) for who in ("u1", "u2")]
    assert made == [("u1", [5]), ("u2", [2])]
    database = f"sqlite:///{disk}/gradebook.db" if what == "gradebook" else course.database_url
    with small_course.Gradebook(database) as gradebook:
        points = {who: one.total for who, one in grades_of(gradebook, NAME).items()}
    assert points == {"u1": 5, "u2": 2}
    for name, total in zip(names, (5, 2), strict=True):
        assert f"<strong>{total}</strong> of 5 points" in exchange.fetch(name)
    log = (course.outcomes / "watch.log").read_text()
    assert [log.count(f"attempt 1: {total} of 5 points") for total in (5, 2)] == [1, 1]
    assert said in " ".join(one["said"] for one in Status.load(course).errors)
