"""What several files of tests begin with, made once for all workers of a run."""

import fcntl
import os
import shutil

from autograder.authoring.release import release, scratch_course
from autograder.course import Course


def made_once(tmp_path_factory, name, make):
    """Return a folder that `make` filled: by whichever worker came first; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own in the run's
    folder = base / "shared" / name
    folder.parent.mkdir(exist_ok=True)
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
