"""Jobs run ahead of the command that needs their results, one after another, in order.

The command asks for one result at a time, and writes the gradebook meanwhile; jobs
handed in early run in the other slots. A result is known by a hash of all it depends on.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import gzip
import hashlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from autograder.files import write_atomically
from autograder.grading.engine import trials
from autograder.grading.engine.fingerprint import fingerprint
from autograder.grading.engine.jail import NO_WALL, JailSpec
from autograder.grading.engine.service import Service


class Pipeline:
    """Runs jobs, some of them ahead.

    Parameters
    ----------
    spec : JailSpec
        Limits of each jail.
    wall : str
        What stands around learner code here, as `jail.probe` answers, or `jail.NO_WALL`; workers
        of a cluster find out for themselves, unless it is that.
    slots : int
        Jobs that run at the same time on this machine; a cluster has its own number.
    scheduler : str
        Address of a Dask scheduler, empty for this machine.
    allow_unsandboxed : bool
        Whether workers of a cluster that cannot make a jail may go without.
    store : Path, optional
        Folder that keeps results; None keeps none.
    """

    def __init__(
        self,
        spec: JailSpec,
        *,
        wall: str,
        slots: int,
        scheduler: str = "",
        allow_unsandboxed: bool = False,
        store: Path | None = None,
    ) -> None:
        self._setting = [wall, dataclasses.asdict(spec)]
        self._store = store
        self._waiting: dict[str, Future[dict[str, Any]]] = {}
        self._runner: Any
        if scheduler:
            from autograder.grading.engine.dask.runner import DaskRunner

            jailed = wall != NO_WALL
            self._runner = DaskRunner(
                scheduler, spec, jailed=jailed, allow_unsandboxed=allow_unsandboxed
            )
        else:
            self._runner = LocalRunner(spec, wall=wall, slots=slots)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what still runs; end all processes."""
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()
        self._runner.close()

    def key(self, job: dict[str, Any]) -> str:
        """Return the hash that a job's result is known by."""
        text = json.dumps([job, self._setting, fingerprint()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def slots(self) -> int:
        """Jobs that run at the same time."""
        slots: int = self._runner.slots
        return slots

    @property
    def ahead(self) -> int:
        """How many jobs were handed in whose results nobody took."""
        return len(self._waiting)

    def hand_in(self, job: dict[str, Any]) -> None:
        """Start a job whose result will be asked for later."""
        key = self.key(job)
        path = self._path(key)
        kept = path is not None and path.is_file()  # read when it is asked for
        if key not in self._waiting and not kept:
            self._waiting[key] = self._runner.submit(job)

    def take(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return a job's result: kept from before, run ahead, or run now."""
        key = self.key(job)
        kept = self._kept(key)
        if kept is not None:
            return kept
        future = self._waiting.pop(key, None) or self._runner.submit(job)
        try:
            result: dict[str, Any] = future.result()
        except concurrent.futures.CancelledError:
            result = self._runner.submit(job).result()
        self._keep(key, result)
        return result

    def _path(self, key: str) -> Path | None:
        return None if self._store is None else self._store / key[:2] / f"{key}.json.gz"

    def _kept(self, key: str) -> dict[str, Any] | None:
        path = self._path(key)
        if path is None:
            return None
        try:
            kept: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError):
            return None  # damaged: run again, and write it anew
        return kept

    def _keep(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result, unless time or luck had a part in it."""
        path = self._path(key)
        if path is not None and not result["incidents"] and not result["own_work"]["unclear"]:
            write_atomically(path, gzip.compress(json.dumps(result).encode(), compresslevel=1))


class LocalRunner:
    """Runs jobs on this machine, several at a time."""

    def __init__(self, spec: JailSpec, *, wall: str, slots: int) -> None:
        self._service = Service(spec, wall=wall)
        self._service.start()
        self.slots = slots
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="servemath-slot")

    def submit(self, job: dict[str, Any]) -> Future[dict[str, Any]]:
        """Run a job when a slot is free."""
        return self._threads.submit(trials.grade, job, self._service.run)

    def close(self) -> None:
        """End all processes; what waits is given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._service.close()
        self._threads.shutdown(wait=True)
