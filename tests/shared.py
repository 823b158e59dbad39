"""What several files of tests begin with, made once for all workers of a run."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import astuple

import psutil

from autograder.authoring.release import release, scratch_course
from autograder.bank import runner
from autograder.cells import iter_test_cells
from autograder.course import Course
from autograder.files import write_atomically
from servemath_helpers.deep.engine import Finding


def _place(tmp_path_factory):
    """Return a folder that all workers of a run share."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in the run's
    folder = base / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def made_once(tmp_path_factory, name, make):
    """Return a folder that `make` filled: by whichever worker came first; not to be changed."""
    folder = _place(tmp_path_factory) / name
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


def released(tmp_path_factory, chapter):
    """Return a course of one chapter as `servemath release` leaves it; not to be changed."""

    def make(folder):
        release(scratch_course(folder, [chapter]), chapter)

    return Course(made_once(tmp_path_factory, f"released-{chapter}", make))


def copy_of(course, folder):
    """Return a copy of a course, to be changed."""
    return Course(shutil.copytree(course.root, folder, dirs_exist_ok=True))


def run_once(tmp_path_factory):
    """Return `bank.runner.run`, which runs a solution with the same tests once for all workers."""
    folder, run = _place(tmp_path_factory), runner.run

    def run_or_recall(notebook, slug, code, place=None):
        if place is not None:
            return run(notebook, slug, code, place)
        tests = [cell for name, cell in iter_test_cells(notebook) if name.slug == slug]
        about = ["trial", tests, slug, code]
        return runner.Trial(*_recalled(folder, about, lambda: run(notebook, slug, code)))

    return run_or_recall


def deep_once(tmp_path_factory):
    """Return `bank.runner.deep`, which looks at a solution once for all workers."""
    folder, deep = _place(tmp_path_factory), runner.deep

    def deep_or_recall(record, code):
        about = ["deep", record.slug, record.functions, code]
        return Finding(*_recalled(folder, about, lambda: deep(record, code)))

    return deep_or_recall


def _recalled(folder, about, make):
    """Return the fields of what `make` makes, unless a worker made it already."""
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    path = folder / f"made-{key}.json"
    if not path.is_file():
        write_atomically(path, json.dumps(astuple(make())).encode())
    return json.loads(path.read_text(encoding="utf-8"))


def lives(process):
    """Tell whether a process runs: it may end, and be collected, while one looks."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
