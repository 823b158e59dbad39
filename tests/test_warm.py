"""A program of `warm` is what a start of its own would be, and ends with whoever asked for it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from . import warm

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

#: In the place of ours: says where it is and what it was told, then does that.
PROGRAM = """
import os, sys, time

print(sys.argv, os.getcwd(), os.environ["SAID"], sys.stdin.read(), os.getpid(), flush=True)
time.sleep(600) if sys.argv[1] == "wait" else sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def started(tmp_path):
    package = tmp_path / "autograder"
    (package / "course").mkdir(parents=True)
    (package / "course" / "commands.py").touch()
    (package / "__main__.py").write_text(PROGRAM)

    def start(*words):
        return subprocess.Popen(
            [warm.programs() / "servemath", *words],
            cwd=package,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "SAID": "hello"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def test_it_has_its_callers_words_folder_environment_streams_and_code(started, tmp_path):
    for code in (0, 3):
        with started(str(code)) as asked:
            said, _ = asked.communicate("typed")
            told, _, pid = said.rpartition(" ")
            words = [str(tmp_path / "autograder" / "__main__.py"), str(code)]
            assert told == f"{words} {tmp_path / 'autograder'} hello typed"
            assert (asked.returncode, psutil.pid_exists(int(pid))) == (code, False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_ends_with_its_caller(started, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests ignores it (nohup), and so do programs")
    with started("wait") as asked:
        asked.stdin.close()
        program = psutil.Process(int(asked.stdout.readline().split()[-1]))
        asked.send_signal(number)
        assert asked.wait(60) == -number
        _, lives = psutil.wait_procs([program], timeout=60)
        assert lives == []


def test_nbgrader_says_what_it_says_otherwise():
    said = [
        subprocess.run([*command, "db", "student"], capture_output=True, text=True, check=False)
        for command in ([sys.executable, "-m", "nbgrader"], warm.nbgrader())
    ]
    plain, forked = [(done.returncode, done.stdout, done.stderr) for done in said]
    assert plain == forked and "import" in plain[1]
