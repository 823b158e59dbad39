import contextlib
import multiprocessing
from pathlib import Path

import nbformat
import pytest

from autograder.grading.execute import ExecuteGraded


def code_cell(source, grade_id=None, **nbgrader):
    """Make a code cell; one with a `grade_id` is a test worth a point unless told otherwise."""
    cell = nbformat.v4.new_code_cell(source)
    if grade_id:
        cell.metadata["nbgrader"] = nbformat.from_dict(
            {
                "grade": True,
                "grade_id": grade_id,
                "locked": True,
                "points": 1,
                "schema_version": 3,
                "solution": False,
                "task": False,
                **nbgrader,
            }
        )
    return cell


def notebook_of(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def told_by(function, *given):
    """Return what a function returns in a process of its own, forked from this one."""
    forking = multiprocessing.get_context("fork")
    told, tell = forking.Pipe(duplex=False)
    process = forking.Process(target=lambda: tell.send(function(*given)))
    process.start()
    tell.close()
    with told:
        said = told.recv()
    process.join(20)
    return said


@pytest.fixture(scope="module")
def engine():
    """One engine for all tests of a file: to start one takes longer than most of them."""
    with ExecuteGraded().make_pipeline() as pipeline:
        yield pipeline


@pytest.fixture
def run(tmp_path, engine):
    """Execute a notebook in a folder of its own and return the resources it left."""

    def run(notebook, **limits):
        executor = ExecuteGraded(timeout=limits.pop("timeout", 20))
        executor.make_pipeline = lambda: contextlib.nullcontext(engine)
        for name, value in limits.items():
            setattr(executor, name, value)
        resources = {"metadata": {"path": str(tmp_path)}}
        executor.preprocess(notebook, resources)
        return resources

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path
