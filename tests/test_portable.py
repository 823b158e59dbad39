"""The learner's side without what only Linux has: package, labs and checks all work."""

import subprocess
import sys

from autograder.course import HOME

#: Modules and names that Windows, or a browser's Python, does not have.
MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty")
OF_OS = "fork forkpty getuid geteuid getgid setsid setuid killpg getpgid nice mkfifo wait4"
OF_SIGNAL = "SIGKILL SIGHUP SIGQUIT SIGALRM SIGCHLD SIGPIPE SIGUSR1 alarm setitimer pthread_kill"

HIDE = f"""
import asyncio, multiprocessing, os, signal, subprocess, sys, tempfile  # Python's own, as it is
import IPython, ipywidgets, ipykernel, platformdirs  # theirs is theirs to mend
import httpx, matplotlib.pyplot, tornado.web

for name in {MODULES}:
    sys.modules[name] = None
for module, names in ((os, {OF_OS.split()}), (signal, {OF_SIGNAL.split()})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""

USE = """
import importlib, pathlib, pkgutil, servemath_helpers

os.chdir(tempfile.mkdtemp())
for info in pkgutil.walk_packages(servemath_helpers.__path__, "servemath_helpers."):
    if not info.name.endswith("__main__"):
        importlib.import_module(info.name)

from servemath_helpers import checks, queueing, questions
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab.view import QueueingLab
from servemath_helpers.service import plan_service
from servemath_helpers.sim import Requests

checks.check_close(queueing.littles_law(lam=8, L=20), 2.5, "a stay")
for lab in (KVWallLab(""), QueueingLab("somebody")):
    lab.show()
    lab.list_questions()
print(plan_service("Llama-3.1-8B", {"L4": 1}, Requests([0.0, 1.0], 100, 20), tpot_s=1).replicas)
"""


def test_the_package_its_labs_and_checks_need_nothing_that_only_linux_has():
    done = subprocess.run(
        [sys.executable, "-c", HIDE + USE],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1"
