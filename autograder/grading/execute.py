"""Run a submission's cells, with limits that one submission cannot push the class over.

Beyond nbgrader's `Execute`:

- a notebook without graded cells is not run at all;
- a cell that loops without end is stopped; if it will not stop, or kills the
  kernel, it alone is lost: a fresh kernel runs the others again and goes on;
- output beyond a limit is cut, a flood of it is stopped at its source;
- the kernel cannot hold the grader's output open, and no process outlives the run.
"""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.util import ensure_async
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute
from traitlets import Float, Integer

from autograder.cells import grade_id_of, is_test_cell
from autograder.grading.exporter import remarks_of
from autograder.grading.processes import MARK, end_marked, new_mark

#: The least time given to a cell once the notebook's own limit is near.
LEAST_CELL_S = 1.0

#: How long a cell whose output went over the limit may take to end by itself.
FLOOD_GRACE_S = 0.5

#: What a message costs besides its text, so that many empty ones count too.
MESSAGE_BYTES = 64


def error_output(name: str, message: str) -> NotebookNode:
    """Return an error output that nbgrader scores 0 and shows in the feedback."""
    return nbformat.v4.new_output(
        "error", ename=name, evalue=message, traceback=[f"{name}: {message}"]
    )


def output_size(message: dict[str, Any]) -> int:
    """Return roughly how many bytes an output message adds to the notebook."""
    content = message["content"]
    if message["msg_type"] == "stream":
        return MESSAGE_BYTES + len(content["text"])
    data = content.get("data")
    parts = data.values() if isinstance(data, dict) else content.get("traceback") or ()
    return MESSAGE_BYTES + sum(len(str(part)) for part in parts)


def describe_cells(nb: NotebookNode, indices: list[int]) -> str:
    """Name cells as a person would: their numbers, and the exercises they belong to.

    >>> test = nbformat.v4.new_code_cell(metadata={"nbgrader": {"grade_id": "mm1__hidden__x"}})
    >>> describe_cells(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(), test]), [0, 1])
    'cells 1, 2 (mm1)'
    """
    numbers = ", ".join(str(index + 1) for index in indices)
    names = (grade_id_of(nb.cells[index]) for index in indices)
    exercises = dict.fromkeys(name.partition("__")[0] for name in names if name)
    described = f"cell{'s' if len(indices) > 1 else ''} {numbers}"
    return described + (f" ({', '.join(exercises)})" if exercises else "")


class KernelLost(Exception):
    """The kernel died, or had to be killed, while a cell ran."""

    def __init__(self, index: int, ename: str, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.ename = ename


class ExecuteGraded(Execute):
    """Run the notebooks that carry points, and lose no more than the cell at fault."""

    notebook_timeout_s = Float(
        120, help="Seconds for all cells of a notebook together; those left are not run."
    ).tag(config=True)
    shutdown_kernel = "immediate"

    max_restarts = Integer(
        6, help="How often a lost kernel is replaced before the other cells are given up."
    ).tag(config=True)
    keep_output_bytes = Integer(
        100_000, help="Output of a cell beyond this many bytes is cut."
    ).tag(config=True)
    flood_output_bytes = Integer(
        5_000_000, help="A cell that puts out more than this many bytes is stopped."
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any], km: Any = None
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Run the notebook in place; list the executed cells' ids in `resources`."""
        executed: set[str] = resources.setdefault("servemath", {}).setdefault("executed", set())
        if not any(is_test_cell(cell) for cell in nb.cells):
            return nb, resources
        self._deadline = time.monotonic() + self.notebook_timeout_s
        self.timeout_func = self._seconds_for
        self._incidents: dict[str, list[int]] = {}
        lost: set[int] = set()
        resume_at = 0
        for _ in range(1 + self.max_restarts):
            try:
                self._run(nb, resources, resume_at, lost, executed)
                break
            except KernelLost as loss:
                cell = nb.cells[loss.index]
                cell.outputs = [*cell.outputs, error_output(loss.ename, str(loss))]
                executed.add(cell.id)
                self._note(str(loss), loss.index)
                lost.add(loss.index)
                resume_at = max(resume_at, loss.index + 1)
        stopped = {nb.cells[index].id for found in self._incidents.values() for index in found}
        resources["servemath"]["stopped"] = stopped
        for what, indices in self._incidents.items():
            remarks_of(resources).append(f"{what}: {describe_cells(nb, indices)}")
        return nb, resources

    def _note(self, what: str, index: int) -> None:
        self._incidents.setdefault(what, []).append(index)

    def _seconds_for(self, _cell: NotebookNode) -> float:
        left = self._deadline - time.monotonic()
        self._allowed_s = max(LEAST_CELL_S, min(self.timeout or left, left))
        message = self._timeout_message()
        self.error_on_timeout = {
            "ename": "CellTimeoutError",
            "evalue": message,
            "traceback": [f"CellTimeoutError: {message}; look for a loop that never ends"],
        }
        return self._allowed_s

    def _run(
        self,
        nb: NotebookNode,
        resources: dict[str, Any],
        resume_at: int,
        lost: set[int],
        executed: set[str],
    ) -> None:
        """Run the cells from `resume_at` on, after replaying what they may build on."""
        # nbconvert's preprocessor is its own client, initialised anew for each kernel.
        NotebookClient.__init__(self, nb, None)
        self._check_assign_resources(resources)
        scratch = tempfile.TemporaryDirectory(prefix="servemath-run-", ignore_cleanup_errors=True)
        folder = Path(scratch.name, "work")
        # Each kernel starts from what was handed in, and harms only its own copy.
        shutil.copytree(resources["metadata"]["path"], folder)
        self.resources = {**resources, "metadata": {**resources["metadata"], "path": str(folder)}}
        mark = new_mark()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, **self.kernel_environment(), MARK: mark}
        try:
            with self.setup_kernel(env=environment, **quiet):
                for index, cell in enumerate(nb.cells):
                    if index in lost or cell.cell_type != "code":
                        continue
                    if time.monotonic() > self._deadline:
                        if index >= resume_at:
                            self._note(f"not run, {self.notebook_timeout_s:g} s were over", index)
                        continue
                    if index >= resume_at:
                        self._run_cell(cell, index)
                        executed.add(cell.id)
                        for limit in self._limits_hit(cell):
                            self._note(limit, index)
                    elif not is_test_cell(cell):
                        self._run_cell(copy.deepcopy(cell), index)
                        nb.cells[index] = cell  # the first run's outputs stand
        finally:
            end_marked(mark)
            scratch.cleanup()

    def kernel_environment(self) -> dict[str, str]:
        """Return environment variables for the kernel beside the grader's own."""
        return {}

    def _run_cell(self, cell: NotebookNode, index: int) -> None:
        self._output_bytes = 0
        self._flood_stopped = self._interrupted = False
        self._asked_to_exit = False
        try:
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            message = "killed the kernel"
            raise KernelLost(index, "DeadKernelError", message) from None
        except CellTimeoutError:
            message = f"would not stop after {self._allowed_s:.0f} s and was killed"
            raise KernelLost(index, "CellTimeoutError", message) from None
        if self._asked_to_exit:
            raise KernelLost(index, "DeadKernelError", "ended the kernel with quit() or exit()")
        if self._flood_stopped and self._interrupted:
            cell.outputs.append(error_output("OutputFlood", self._flood_message()))

    def on_cell_executed(self, **kwargs: Any) -> None:
        """Note a cell that asked its kernel to end: it dies later, during an innocent cell."""
        super().on_cell_executed(**kwargs)
        payload = kwargs["execute_reply"]["content"].get("payload") or []
        self._asked_to_exit = any(part.get("source") == "ask_exit" for part in payload)

    def _limits_hit(self, cell: NotebookNode) -> list[str]:
        """Return what our own error outputs in the cell say; a learner's error says nothing."""
        ours = {
            ("CellTimeoutError", self._timeout_message()),
            ("OutputFlood", self._flood_message()),
        }
        hit = [
            output.evalue
            for output in cell.outputs
            if (output.get("ename"), output.get("evalue")) in ours
        ]
        return hit[-1:]  # a flood that also ran out of time is a flood

    def _timeout_message(self) -> str:
        return f"stopped after {self._allowed_s:.0f} s"

    def _flood_message(self) -> str:
        return f"stopped after {self.flood_output_bytes:,} bytes of output"

    async def _interrupt_if_running(self) -> None:
        """Stop a flooding cell, unless the flood was its last act.

        An interrupt that comes after the cell ended would cost its reply.
        """
        cell = self.task_poll_for_reply
        await asyncio.sleep(FLOOD_GRACE_S)
        if cell is not None and not cell.done():
            self._interrupted = True
            await ensure_async(self.km.interrupt_kernel())

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Keep an output message while the cell is within its limits."""
        if msg["msg_type"] not in {"stream", "display_data", "execute_result", "error"}:
            return super().process_message(msg, cell, cell_index)
        before = self._output_bytes
        self._output_bytes += output_size(msg)
        if self._output_bytes > self.flood_output_bytes and not self._flood_stopped:
            self._flood_stopped = True
            self._interrupt = asyncio.ensure_future(self._interrupt_if_running())
        if self._output_bytes <= self.keep_output_bytes or msg["msg_type"] == "error":
            return super().process_message(msg, cell, cell_index)
        if before <= self.keep_output_bytes:
            cell.outputs.append(
                nbformat.v4.new_output("stream", name="stdout", text="... output cut ...\n")
            )
        return None
