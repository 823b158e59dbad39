"""Run jobs on the workers of a Dask cluster; see docs/how-to/grade-on-a-cluster.md.

A worker needs this package and no shared files: a job travels as bytes, and so does
its result. Imported only when a scheduler is named.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
from typing import Any

from distributed import Client, Future

from autograder.grading.engine import trials
from autograder.grading.engine.isolate import JailSpec
from autograder.grading.engine.service import EngineError, Service

#: Seconds to wait for the scheduler.
CONNECT_S = 30

#: How often a job that failed for a reason of its own is tried on another worker.
RETRIES = 2

_LOCK = threading.Lock()


@functools.cache
def _service(spec: str, jailed: bool) -> Service:
    told = json.loads(spec)
    return Service(JailSpec(**{**told, "readable": tuple(told["readable"])}), jailed=jailed)


def run_on_worker(job: bytes, spec: str, jailed: bool) -> bytes:
    """Run one job; called on a worker, which keeps its zygote from job to job."""
    with _LOCK:
        service = _service(spec, jailed)
    return json.dumps(trials.grade(json.loads(job), service.run)).encode()


class RemoteResult:
    """A result to come; has what `pipeline.Pipeline` needs of a future."""

    def __init__(self, future: Future[bytes]) -> None:
        self._future = future

    def result(self) -> dict[str, Any]:
        """Wait for the result; jobs of lost workers run again elsewhere."""
        try:
            answer: dict[str, Any] = json.loads(self._future.result())
        except Exception as error:
            raise EngineError(f"the cluster could not run it: {error}") from error
        return answer

    def cancel(self) -> None:
        """Give the job up."""
        self._future.cancel()


class DaskRunner:
    """Sends jobs to a Dask scheduler.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://10.0.0.5:8786``.
    spec : JailSpec
        Limits of each jail.
    jailed : bool
        Whether learner code runs in a jail; a worker that cannot make one refuses.

    Raises
    ------
    EngineError
        If the scheduler does not answer, or has no workers.
    """

    def __init__(self, scheduler: str, spec: JailSpec, *, jailed: bool) -> None:
        try:
            self._client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(
                f"no Dask workers at {scheduler} after {CONNECT_S} s: {error}"
            ) from error
        self.slots = sum(self._client.nthreads().values())
        self._spec = json.dumps(dataclasses.asdict(spec))
        self._jailed = jailed

    def submit(self, job: dict[str, Any]) -> RemoteResult:
        """Send a job."""
        future = self._client.submit(
            run_on_worker,
            json.dumps(job).encode(),
            self._spec,
            self._jailed,
            pure=False,
            retries=RETRIES,
        )
        return RemoteResult(future)

    def close(self) -> None:
        """Let go of the cluster; it goes on without this command."""
        self._client.close()
