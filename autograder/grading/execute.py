"""Run a submission's cells in the engine, with limits that one submission cannot push over.

- a notebook without graded cells is not run at all;
- learner code runs in a jail, test cells outside it (`autograder.grading.engine`);
- a cell that loops without end is stopped; if it will not stop, or ends its process,
  it alone is lost: a fresh process runs the others again and goes on;
- output beyond a limit is cut, a flood of it is stopped at its source;
- no process outlives the run.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import find_all_files
from traitlets import Bool, Float, Integer, Unicode

from autograder import bank
from autograder.cells import grade_id_of, is_test_cell, nbgrader_metadata
from autograder.course import Course
from autograder.grading.engine.jail import (
    LANDLOCK,
    NO_WALL,
    JailSpec,
    JailUnavailable,
    describe,
    probe,
)
from autograder.grading.engine.judge import COURSE, LEARNER, TEST
from autograder.grading.engine.pipeline import Pipeline
from autograder.grading.outcomes import remarks_of
from autograder.grading.run_records import save_run
from autograder.grading.submission import Beside, Inode, Owners, beside

#: Workers of a cluster find out for themselves which wall stands.
ELSEWHERE = "elsewhere"

#: Processor seconds of a jail beyond the notebook's own limit.
MARGIN_S = 60

#: What the second wall keeps less well, in one sentence; the threat model has it row by row.
WEAKER = (
    "from inside one can tell which paths and processes exist and what the machine is called, "
    "not read or change them (docs/background/threat-model.md)"
)


def describe_cells(nb: NotebookNode, ids: list[str]) -> str:
    """Name cells as a person would: their numbers, and the exercises they belong to.

    >>> test = nbformat.v4.new_code_cell(
    ...     id="b", metadata={"nbgrader": {"grade_id": "mm1__hidden__x"}}
    ... )
    >>> nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(id="a"), test])
    >>> describe_cells(nb, ["a", "b"])
    'cells 1, 2 (mm1)'
    """
    found = [(number, cell) for number, cell in enumerate(nb.cells, start=1) if cell.id in ids]
    numbers = ", ".join(str(number) for number, _ in found)
    names = (grade_id_of(cell) for _, cell in found)
    exercises = dict.fromkeys(name.partition("__")[0] for name in names if name)
    described = f"cell{'s' if len(found) > 1 else ''} {numbers}"
    return described + (f" ({', '.join(exercises)})" if exercises else "")


def _modules(folder: Path) -> Iterator[str]:
    """Yield the text of what a notebook may import."""
    for path in folder.rglob("*.py"):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                yield path.read_text("utf-8", "replace")


def _kind(cell: NotebookNode) -> str:
    metadata = nbgrader_metadata(cell)
    if is_test_cell(cell):
        return TEST
    return COURSE if metadata.get("locked") and not metadata.get("solution") else LEARNER


class ExecuteGraded(NbGraderPreprocessor):
    """Run the notebooks that carry points, and lose no more than the cell at fault."""

    timeout = Float(10, help="Seconds that one cell may run.").tag(config=True)
    notebook_timeout_s = Float(
        120, help="Seconds for all cells of a notebook together; those left are not run."
    ).tag(config=True)
    max_restarts = Integer(
        6, help="How often a lost process is replaced before the other cells are given up."
    ).tag(config=True)
    keep_output_bytes = Integer(
        100_000, help="Output of a cell beyond this many bytes is cut."
    ).tag(config=True)
    flood_output_bytes = Integer(
        5_000_000, help="A cell that puts out more than this many bytes is stopped."
    ).tag(config=True)
    memory_bytes = Integer(
        2 * 2**30, help="Memory of a submission's processes and private files together."
    ).tag(config=True)
    processes = Integer(64, help="Processes and threads of a submission at a time.").tag(
        config=True
    )
    file_bytes = Integer(64 * 2**20, help="The largest file a submission may write.").tag(
        config=True
    )
    workers = Integer(
        0, help="Submissions that run at the same time; 0 stands for the number of cores."
    ).tag(config=True)
    jail = Bool(True, help="Run learner code in a jail.").tag(config=True)
    allow_unsandboxed = Bool(
        False,
        help=(
            "Grade without a jail where none can be had (or with jail = False). Learner code can "
            "then read and write what the grader can; tests still run outside its process."
        ),
    ).tag(config=True)
    dask_scheduler = Unicode(
        help=(
            "Address of a Dask scheduler whose workers run the submissions, such as "
            "tcp://10.0.0.5:8786; empty for this machine."
        )
    ).tag(config=True)
    cache = Bool(True, help="Keep results, and run again only what has changed since.").tag(
        config=True
    )

    def _dask_scheduler_default(self) -> str:
        return os.environ.get("SERVEMATH_DASK_SCHEDULER", "")

    @functools.cached_property
    def wall(self) -> str:
        """Return which wall will stand around learner code, `jail.NO_WALL` for none.

        Raises
        ------
        JailUnavailable
            If it cannot be jailed here and nobody allowed to do without.
        """
        if self.jail and self.dask_scheduler:
            return ELSEWHERE
        try:
            if self.jail:
                return probe()
            raise JailUnavailable("ExecuteGraded.jail is False.")
        except JailUnavailable:
            if not self.allow_unsandboxed:
                raise
        return NO_WALL

    def _tell(self, wall: str) -> None:
        """Say in the log what stands around learner code."""
        if wall == NO_WALL:
            self.log.warning(
                "learner code runs WITHOUT a jail: it can read and write what this account can"
            )
        elif wall == LANDLOCK:
            self.log.warning(
                "learner code runs in a jail of %s, as namespaces are refused here; %s",
                describe(wall),
                WEAKER,
            )
        elif wall != ELSEWHERE:
            self.log.info("learner code runs in a jail of %s", describe(wall))

    def make_pipeline(self) -> Pipeline:
        """Return what runs jobs, as configured.

        Raises
        ------
        JailUnavailable
            If learner code cannot be jailed here and nobody allowed to do without.
        EngineError
            If the Dask scheduler does not answer.
        """
        wall = self.wall
        self._tell(wall)
        coursedir = getattr(getattr(self.parent, "parent", None), "coursedir", None)
        root = Path(coursedir.root) if coursedir is not None else None
        secret = [Path.home(), *([root] if root is not None else [])]
        spec = JailSpec(
            readable=(),
            # Not seen anyway, unless they lie within an installation that is.
            hidden=("/usr/src", *(str(path) for path in secret if len(path.parts) > 1)),
            memory_bytes=self.memory_bytes,
            cpu_s=int(self.notebook_timeout_s) + MARGIN_S,
            processes=self.processes,
            file_bytes=self.file_bytes,
        )
        return Pipeline(
            spec,
            wall=wall,
            slots=self.workers or os.cpu_count() or 1,
            scheduler=self.dask_scheduler,
            allow_unsandboxed=self.allow_unsandboxed,
            store=Course(root).state / "results" if self.cache and root is not None else None,
        )

    def job(self, nb: NotebookNode, names: dict[str, str]) -> dict[str, Any]:
        """Return all that running the notebook depends on, as JSON data."""
        exercises = bank.load(names.get("assignment", ""))
        asked = {exercise.slug: list(exercise.withheld) for exercise in exercises}
        seconds = {exercise.slug: exercise.seconds for exercise in exercises if exercise.seconds}
        functions = [name for exercise in exercises for name in exercise.functions]
        cells = [
            {
                "id": cell.id,
                "source": cell.source,
                "kind": _kind(cell),
                "grade_id": grade_id_of(cell) or "",
                "slug": slug,
                **({"seconds": seconds[slug]} if slug in seconds else {}),
            }
            for cell in nb.cells
            if cell.cell_type == "code"
            for slug in [(grade_id_of(cell) or "").partition("__")[0]]
        ]
        files = self._files(names, [cell["source"] for cell in cells])
        limits = {
            "cell_s": self.timeout,
            "notebook_s": self.notebook_timeout_s,
            "max_restarts": self.max_restarts,
            "keep_output_bytes": self.keep_output_bytes,
            "flood_output_bytes": self.flood_output_bytes,
        }
        return {
            "cells": cells,
            "limits": limits,
            "files": files.files,
            "left_out": files.remark,
            "own_work": asked,
            "functions": functions,
            "withheld": [],
        }

    def _files(self, names: dict[str, str], sources: list[str]) -> Beside:
        """Return what lies beside the notebook: as handed in, with the course's files over it."""
        if "folder" in names:
            return beside(Path(names["folder"]), file_bytes=self.file_bytes)
        coursedir, assignment = self.parent.parent.coursedir, names["assignment"]
        folder = Path(
            coursedir.format_path(coursedir.submitted_directory, names["student"], assignment)
        )
        source = Path(coursedir.format_path(coursedir.source_directory, ".", assignment))
        # The notebook itself is what runs. The course's others carry a megabyte of figures:
        # only for code that may read one.
        own = {f"{names['notebook']}.ipynb"}
        if not any("ipynb" in text for text in (*sources, *_modules(folder))):
            own |= {path.name for path in source.glob("*.ipynb")}

        owners = functools.cache(lambda: Owners.of_course(coursedir))

        def is_foreign(_path: Path, inode: Inode) -> bool:
            return owners().of(inode, folder) is not None

        found = beside(
            folder,
            without=own,
            file_bytes=self.file_bytes,
            is_foreign=is_foreign,
        )
        for path in map(Path, find_all_files(str(source), [*coursedir.ignore, "*.ipynb"])):
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            found.files[path.relative_to(source).as_posix()] = data
        return found

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run the notebook in place; list the executed cells' ids in `resources`."""
        kept = resources.setdefault("servemath", {})
        kept.setdefault("executed", set())
        kept.setdefault("stopped", set())
        kept.setdefault("scores", {})
        if not any(is_test_cell(cell) for cell in nb.cells):
            return nb, resources
        names = resources.get("nbgrader") or {"folder": resources["metadata"]["path"]}
        job = self.job(nb, names)
        run = getattr(self.parent, "run", None)
        if run is not None:
            result = run.pipeline.take(job)
        else:
            with self.make_pipeline() as pipeline:
                result = pipeline.take(job)
        self._apply(nb, resources, result)
        if job["left_out"]:
            remarks_of(resources).append(job["left_out"])
        if "student" in names:
            save_run(Path.cwd(), names["assignment"], names["student"], job, result)
        return nb, resources

    @staticmethod
    def _apply(nb: NotebookNode, resources: dict[str, Any], result: dict[str, Any]) -> None:
        kept = resources["servemath"]
        for cell in nb.cells:
            ran = result["cells"].get(cell.id)
            if cell.cell_type != "code" or ran is None:
                continue
            cell.outputs = [nbformat.from_dict(output) for output in ran["outputs"]]
            cell.execution_count = ran["count"]
            kept["executed"].add(cell.id)
            if ran["stopped"]:
                kept["stopped"].add(cell.id)
            if "score" in ran:
                kept["scores"][cell.id] = ran["score"]
        later = {what: result[what] for what in ("replaced", "overwritten")}
        kept["own_work"] = {**result["own_work"], **later}
        kept["wall"] = result["wall"]
        kept["seconds"] = sum(ran["seconds"] for ran in result["cells"].values())
        for what, ids in result["incidents"].items():
            remarks_of(resources).append(f"{what}: {describe_cells(nb, ids)}")
