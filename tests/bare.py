"""Chapter 1 as a learner has it: the bundle, the slim lock, an environment of their own.

    python tests/bare.py

Unpacks a fresh bundle, makes a virtual environment of its lock alone, lets the cell for Colab
install the package there from the zip, and then runs theory and solved exercises to their end,
validates the solved notebook and the unsolved one, and says what all of it weighs and takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import nbformat

from autograder.authoring.bundle import bundle
from autograder.authoring.colab import TAG
from autograder.course import HOME, Course
from autograder.demo.sample_class import Chapter
from autograder.machine import setup_venv

CHAPTER = "ch1_serving_tradeoffs"
LOCK = "requirements-learn.lock"
LIMIT_S = 300
#: What only staff and contributors have.
NOT_HERE = ("autograder", "pytest", "mypy", "sphinx", "jupytext", "seaborn", "pandas", "scipy")


def call(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command, and end with what it said if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\nservemath: bare run FAILED")
    return done.stdout


def install(python: Path, lock: Path) -> None:
    """Install what a lock pins, with uv where it is, else with pip."""
    for commands, environment in setup_venv.installers(str(python)):
        first = commands[0]
        words = [*first[: first.index("-r")], "-r", str(lock)]
        if subprocess.run(words, env=environment, check=False, timeout=LIMIT_S).returncode == 0:
            return
    sys.exit("servemath: bare run FAILED: could not install the lock")


def megabytes(folder: Path) -> float:
    """Return what the files of a folder take."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> None:
    """Do all of it, a line of output each."""
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"servemath: bare run, {time.monotonic() - began:5.1f} s: {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="servemath-") as name:
        folder = Path(name)
        course = Course.at(HOME)
        archive = bundle(course, folder)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        home = folder / "servemath"
        venv.create(folder / "venv", with_pip=True)
        places = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = places / "python"
        install(python, home / LOCK)
        tell(f"the lock is installed, {megabytes(folder / 'venv'):.0f} MB")

        theory = home / "release" / CHAPTER / "theory.ipynb"
        cells = nbformat.read(theory, as_version=4).cells
        (cell,) = (cell for cell in cells if TAG in cell.metadata.get("tags", ()))
        fake = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
        call(python, "-c", fake + cell.source, cwd=folder)
        found = call(
            python,
            "-c",
            "import importlib.util as i, json, servemath_helpers; print(json.dumps("
            f"[name for name in {NOT_HERE} if i.find_spec(name)]))",
            cwd=folder,
        )
        if json.loads(found):
            sys.exit(f"servemath: bare run FAILED: learners have {found}")
        tell("the cell for Colab has installed the package from the zip")

        work = theory.parent
        solved = Chapter(course, CHAPTER).solved()
        nbformat.write(solved, work / "solved.ipynb")
        path = f"{places}{os.pathsep}{os.environ['PATH']}"
        for notebook in ("theory.ipynb", "solved.ipynb"):
            call(
                *(python, "-m", "nbconvert", "--to", "notebook", "--execute"),
                *("--ExecutePreprocessor.timeout=60", "--output", f"ran_{notebook}", notebook),
                cwd=work,
                PATH=path,
            )
            tell(f"{notebook} has run to its end")
        for notebook, expected in (
            ("solved.ipynb", "Success! Your notebook passes all the tests."),
            ("exercises.ipynb", "VALIDATION FAILED"),
        ):
            said = call(python, "-m", "nbgrader", "validate", notebook, cwd=work, PATH=path)
            if expected not in said:
                sys.exit(f"{said}\nservemath: bare run FAILED: {notebook}: no {expected!r}")
            tell(f"nbgrader validate {notebook}: {expected}")


if __name__ == "__main__":
    main()
