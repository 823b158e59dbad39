"""Formgrader's autograde button, pressed over HTTP on a real Jupyter server: it is our engine."""

import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from nbgrader.api import Gradebook

from autograder.course.commands import environment
from autograder.grading.engine.jail import why_not

from ..shared import copy_of, lives
from . import small_course
from .small_course import NAME, RIGHT

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

#: Seconds that the server, or one submission, may take on a slow machine.
PATIENCE_S = 180

ALWAYS_EQUAL = """\
class Yes:
    def __eq__(self, other):
        return True
    __hash__ = None
    def __getattr__(self, name):
        return self
def double(x):
    return Yes()
"""

#: Earns its points if it can read what learners must never see.
CURIOUS = """\
from pathlib import Path
def double(x):
    found = [path for path in SECRETS if Path(path).exists()]
    return 2 * x if found else found
"""


class Server:
    """A Jupyter server in a course folder, as an instructor starts it."""

    def __init__(self, root, home):
        folders = {
            f"JUPYTER_{kind}_DIR": home / kind.lower() for kind in ("CONFIG", "DATA", "RUNTIME")
        }
        for folder in folders.values():
            folder.mkdir(parents=True)
        self._log, self._token = home / "server.log", secrets.token_hex(16)
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server", "--no-browser", "--ip=127.0.0.1",
                 "--port=0", "--allow-root", f"--ServerApp.root_dir={root}"],
                cwd=root,
                env={
                    **environment(),
                    **{name: str(folder) for name, folder in folders.items()},
                    "IPYTHONDIR": str(home / "ipython"),
                    "JUPYTER_TOKEN": self._token,
                },
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self.url = self._until_it_listens(folders["JUPYTER_RUNTIME_DIR"])
        except BaseException:
            self.close()
            raise

    def _until_it_listens(self, runtime):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for path in runtime.glob("jpserver-*.json"):
                with contextlib.suppress(ValueError, OSError):  # half written, or not yet true
                    told = json.loads(path.read_text())
                    socket.create_connection(("127.0.0.1", told["port"]), PATIENCE_S).close()
                    return told["url"]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)
                break
        raise AssertionError(self.said())

    def said(self):
        return self._log.read_text()

    def autograde(self, student):
        """Press the button; return what formgrader shows."""
        request = urllib.request.Request(
            f"{self.url}formgrader/api/submission/{NAME}/{student}/autograde",
            method="POST",
            headers={"Authorization": f"token {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def engine(self):
        """Return the processes that grading has started and that still run."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in below if lives(process)]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return copy_of(small_course.released(tmp_path_factory), tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def server(course, tmp_path_factory):
    with contextlib.closing(Server(course.root, tmp_path_factory.mktemp("home"))) as server:
        yield server


def scores_of(course, student):
    with Gradebook(course.database_url) as gradebook:
        submission = gradebook.find_submission(NAME, student)
        return {
            grade.name: grade.auto_score
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def grade(server, course, student):
    told = server.autograde(student)
    assert told["success"], told
    outcome = json.loads((course.root / "outcomes" / NAME / f"{student}.json").read_text())
    assert (outcome["status"], outcome["reason"]) == ("graded", "")
    transcript = json.loads((course.root / "transcripts" / NAME / f"{student}.json").read_text())
    return scores_of(course, student), transcript


def test_honest_work_gets_its_points_through_the_engine(server, course):
    small_course.hand_in(course, "honest", **RIGHT)
    scores, transcript = grade(server, course, "honest")
    assert scores == small_course.POINTS
    calls = transcript["double__hidden__large"]["calls"]
    assert [(call["function"], call["result"]) for call in calls] == [("double", 2000)]
    assert server.engine() == [], "the engine outlived the request"


def test_the_same_server_grades_the_next_one_a_cheat_gets_what_it_deserves(server, course):
    small_course.hand_in(course, "cheat", double=ALWAYS_EQUAL, half=RIGHT["half"])
    scores, _ = grade(server, course, "cheat")
    assert scores == {
        name: points * ("half" in name) for name, points in small_course.POINTS.items()
    }
    assert server.engine() == []


def test_learner_code_sees_nothing_of_the_course(server, course):
    places = [course.source, course.database, course.submitted, course.root / "nbgrader_config.py"]
    code = f"SECRETS = {[str(path) for path in places]!r}\n{CURIOUS}"
    small_course.hand_in(course, "curious", double=code, half=RIGHT["half"])
    assert all(path.exists() for path in places)
    scores, transcript = grade(server, course, "curious")
    assert scores["double__visible__small"] == scores["double__hidden__large"] == 0
    assert transcript["double__visible__small"]["calls"][0]["result"] == ["l"]
    assert scores["half__hidden__negative"] == 1


def test_a_submission_that_cannot_be_graded_leaves_no_process_either(server, course):
    small_course.hand_in(course, "damaged", **RIGHT)
    (course.submitted / "damaged" / NAME / "exercises.ipynb").write_text("{")
    told = server.autograde("damaged")
    assert not told["success"] and "not valid JSON" in told["log"]
    outcome = json.loads((course.root / "outcomes" / NAME / "damaged.json").read_text())
    assert outcome["status"] == "not graded"
    assert server.engine() == []


def test_a_server_that_is_killed_takes_the_engine_with_it(server, course):
    """The last of them: no server is left to others."""
    loop = "import time\ndef double(x):\n    time.sleep(1000)\n"
    small_course.hand_in(course, "slow", double=loop, half=RIGHT["half"])
    button = subprocess.Popen(
        [sys.executable, "-c", "import sys, urllib.request as r\n"
         "r.urlopen(r.Request(sys.argv[1], method='POST',"
         " headers={'Authorization': 'token ' + sys.argv[2]}))",
         f"{server.url}formgrader/api/submission/{NAME}/slow/autograde", server._token],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(engine := server.engine()) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        server.process.kill()
    finally:
        button.wait(60)
    assert len(engine) >= 4, server.said()  # zygote, judge, a jail's init and what waits for it
    _, alive = psutil.wait_procs(engine, timeout=30)
    assert alive == []
