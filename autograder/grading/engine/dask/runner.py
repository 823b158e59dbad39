"""Run jobs on the workers of a Dask cluster; see docs/how-to/grade-on-a-cluster.md.

A worker needs this package and no shared files: a job travels as bytes, and so does
its result. Imported only when a scheduler is named.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from distributed import Client, Future

from autograder.grading.engine.dask import worker
from autograder.grading.engine.jail import JailSpec
from autograder.grading.engine.service import EngineError

#: Seconds to wait for the scheduler.
CONNECT_S = 30

#: Seconds to wait for a first worker, and for another when all were lost.
WORKERS_S = 120

#: Seconds between two looks whether there are workers at all.
LOOK_S = 5

#: How often a job at which the engine failed is tried again. Jobs of lost workers are
#: run again by Dask itself, up to `distributed.scheduler.allowed-failures` times.
RETRIES = 2


@contextlib.contextmanager
def _losing() -> Iterator[None]:
    """Say one thing of a lost scheduler, whichever of Dask's many errors comes first."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise EngineError("the connection to the Dask scheduler was lost") from error


class RemoteResult:
    """A result to come; has what `pipeline.Pipeline` needs of a future."""

    def __init__(self, client: Client, future: Future[bytes]) -> None:
        self._client = client
        self._future = future

    def result(self) -> dict[str, Any]:
        """Wait for the result; jobs of lost workers run again elsewhere.

        Raises
        ------
        EngineError
            If the cluster could not run the job, has had no workers for `WORKERS_S`, or is lost.
        """
        with _losing():
            answer: dict[str, Any] = json.loads(self._wait())
        return answer

    def _wait(self) -> bytes:
        alone_s = 0
        while True:
            try:
                return self._future.result(timeout=LOOK_S)
            except EngineError:
                raise
            except Exception as error:
                if self._future.status == "error":
                    raise EngineError(f"the cluster could not run it: {error}") from error
                if not isinstance(error, TimeoutError) or self._future.done():
                    raise
                alone_s = 0 if self._client.nthreads() else alone_s + LOOK_S
            if alone_s >= WORKERS_S:
                raise EngineError(f"the cluster has had no workers for {WORKERS_S} s")

    def cancel(self) -> None:
        """Give the job up: nobody waits for it any more."""
        self._future.release()


class DaskRunner:
    """Sends jobs to a Dask scheduler.

    Parameters
    ----------
    scheduler : str
        Its address, such as ``tcp://10.0.0.5:8786``.
    spec : JailSpec
        Limits of each jail.
    jailed : bool
        Whether learner code runs in a jail.
    allow_unsandboxed : bool
        Whether a worker that cannot make a jail may go without; otherwise it refuses.

    Raises
    ------
    EngineError
        If the scheduler does not answer, has no workers, or has one that is unfit.
    """

    def __init__(
        self, scheduler: str, spec: JailSpec, *, jailed: bool, allow_unsandboxed: bool = False
    ) -> None:
        try:
            self._client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineError(f"no Dask scheduler at {scheduler}: {error}") from error
        self._want = worker.wanted(spec, jailed=jailed, allow_unsandboxed=allow_unsandboxed)
        try:
            with _losing():
                self._check_workers(scheduler)
        except BaseException:
            self.close()
            raise

    def _check_workers(self, scheduler: str) -> None:
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            raise EngineError(
                f"the Dask scheduler at {scheduler} has had no workers for {WORKERS_S} s"
            ) from error
        answers = self._client.run(worker.why_unfit, self._want, on_error="return")
        unfit = {address: reason for address, reason in answers.items() if reason is not None}
        for address, reason in unfit.items():
            raise EngineError(
                f"{len(unfit)} of {len(answers)} Dask workers cannot be used, such as "
                f"{address}: {reason}"
            )

    @property
    def slots(self) -> int:
        """Jobs that run at the same time: the threads of all workers there are now."""
        try:
            return sum(self._client.nthreads().values())
        except Exception:
            return 0  # the connection is lost, as whoever hands in a job is told

    def submit(self, job: dict[str, Any]) -> RemoteResult:
        """Send a job.

        Raises
        ------
        EngineError
            If the connection to the scheduler is lost.
        """
        with _losing():
            future = self._client.submit(
                worker.run_job, json.dumps(job).encode(), self._want, pure=False,
                retries=RETRIES,
            )  # fmt: skip
        return RemoteResult(self._client, future)

    def close(self) -> None:
        """Let go of the cluster; it goes on without this command."""
        self._client.close()
