"""Programs that start at once: forks of a process that has imported what they import.

A start of nbgrader takes two seconds of a core, nearly all of it imports that are the same each
time, and a run of all tests starts it a hundred times. Whoever types its name here reaches a
process that has loaded what is not ours; a fork of it gets the caller's streams, folder and
environment, imports what is ours from where they say, and runs the program as `python -m` does.

`python tests/warm.py <socket>` is that process. It ends with its standard input.
"""

import array
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Programs by name, and the module that each of them is.
PROGRAMS = {"alembic": "alembic", "nbgrader": "nbgrader", "servemath": "autograder"}

#: What they import that is not ours.
LOADED = (
    *("nbgrader.apps.nbgraderapp", "nbgrader.server_extensions.formgrader", "alembic.command"),
    *("sqlalchemy.dialects.sqlite", "nbconvert.exporters", "IPython.core.interactiveshell"),
    *("numpy", "psutil", "typer", "rich.progress", "rich.table", "babel.dates", "jinja2"),
    *("jupytext", "nbclient", "nh3", "mistune", "pygments.formatters", "rapidfuzz"),
)

#: What stands under a program's name: asks for it, forwards signals, and ends as it ended.
CALLER = """#!{python} -IS
import array, json, os, signal, socket, sys

asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
asked.connect({place!r})
mask = os.umask(0)
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
request = json.dumps([words, os.getcwd(), dict(os.environ), mask]).encode()
streams = array.array("i", [0, 1, 2])
asked.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
asked.sendall(request)
program = int.from_bytes(asked.recv(4), "big")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(program, number))
ended = asked.recv(4)
status = int.from_bytes(ended, "big", signed=True) if ended else 70
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def programs():
    """Return a folder of programs that start at once, for as long as this process lives."""
    if not hasattr(os, "pidfd_open"):  # not on Linux: as they are
        return Path(sys.executable).parent
    return _server()[0]


@functools.cache
def _server():
    """Start the process that forks; it goes, with its folder, when this one ends in any way."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    place = str(folder / "socket")
    for name in PROGRAMS:
        caller = folder / name
        caller.write_text(CALLER.format(python=sys.executable, place=place), encoding="utf-8")
        caller.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, __file__, place],
        env={**os.environ, "LANG": "C.UTF-8", "PYTHONPATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.read(1) == b"+"
    return folder, process  # with the end of its standard input that must stay open


def nbgrader():
    """Return what starts nbgrader, as `autograder.course.commands.nbgrader` does."""
    return [str(programs() / "nbgrader")]


def _serve(place):
    """Fork for each caller until nobody holds our standard input; a fork returns its words."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(place)
    listener.listen(16)
    os.write(1, b"+")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            shutil.rmtree(Path(place).parent)
            os._exit(0)
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _answer(asked, str(Path(place).parent))
        asked.close()


def _answer(asked, here):
    """Be the keeper of a program: it ends with its caller, and its status is told.

    What the program starts by name starts at once as well: nbgrader has alembic make gradebooks.
    """
    size, kept, _, _ = asked.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i", kept[0][2])
    request = asked.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
    words, folder, variables, mask = json.loads(request)
    program = os.fork()
    if program == 0:
        asked.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.umask(mask)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", "")])
        time.tzset()
        return words
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    asked.sendall(program.to_bytes(4, "big"))
    ended = os.pidfd_open(program)
    ready, _, _ = select.select([asked, ended], [], [])
    if asked in ready:
        os.kill(program, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    with contextlib.suppress(OSError):
        asked.sendall(status.to_bytes(4, "big", signed=True))
    os._exit(0)


if __name__ == "__main__":
    del sys.path[0]  # our folder: each program has its own
    gc.disable()
    for module in LOADED:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()
    sys.argv = _serve(sys.argv[1])
    # From here on, in a fork, as `python -m` does it.
    first = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(Path.cwd()), *filter(None, first)]
    if sys.argv[0] == "servemath":
        commands = importlib.import_module("autograder.course.commands")
        commands.nbgrader = lambda: ["nbgrader"]
    runpy.run_module(PROGRAMS[sys.argv[0]], run_name="__main__", alter_sys=True)
