"""What this computer can do at best: bytes moved and numbers multiplied in a second.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from servemath_helpers._validate import finite_positive, numbers_in

__all__ = ["REFERENCE", "Machine", "last_cache_bytes", "measure_machine"]

_REPEATS = 5
#: What is assumed where a computer does not say.
_CACHE_BYTES = 32 * 2**20
_LEAST_BYTES, _MOST_BYTES = 2**25, 2**29
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "": 1}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A computer as the roofline sees it.

    Parameters
    ----------
    name : str
        What it is, in words.
    bw_runs, flops_runs : tuple of float
        Bytes and floating-point operations a second, measured several times, above 0.

    Examples
    --------
    >>> REFERENCE.bw_Bps, REFERENCE.flops, REFERENCE.spread
    (10000000000.0, 100000000000.0, 0.0)
    """

    name: str
    bw_runs: tuple[float, ...]
    flops_runs: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("bw_runs", "flops_runs"):
            runs = numbers_in(name, getattr(self, name))
            checked = tuple(finite_positive(f"{name}[{i}]", run) for i, run in enumerate(runs))
            object.__setattr__(self, name, checked)

    @property
    def bw_Bps(self) -> float:
        """The best of the runs: others only take away from it [B/s]."""
        return max(self.bw_runs)

    @property
    def flops(self) -> float:
        """The best of the runs [FLOP/s]."""
        return max(self.flops_runs)

    @property
    def spread(self) -> float:
        """How far the slowest run is below the best, as a share, of whichever is worse."""
        return max(1 - min(runs) / max(runs) for runs in (self.bw_runs, self.flops_runs))


#: A computer that nobody has, for exact numbers.
REFERENCE = Machine(name="the reference machine", bw_runs=(10e9,), flops_runs=(100e9,))


def last_cache_bytes(caches: Path = _CACHES) -> int:
    """Return the size of the processor's last cache; 32 MiB where it is not told.

    Parameters
    ----------
    caches : Path, optional
        Where Linux tells it.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> last_cache_bytes(Path("no/such/folder")) == 32 * 2**20
    True
    """
    found = [_CACHE_BYTES]
    for path in sorted(caches.glob("index*/size")):
        said = re.fullmatch(r"(\d+)([KM]?)", path.read_text(encoding="ascii").strip())
        if said:
            found.append(int(said[1]) * _UNITS[said[2]])
    return found[-1] if len(found) > 1 else found[0]


def measure_machine(
    clock: Callable[[], float] = time.perf_counter, *, copy_bytes: int | None = None, n: int = 1024
) -> Machine:
    """Measure this computer: a large copy, and a product of two matrices, five times each.

    Parameters
    ----------
    clock : callable, optional
        Returns seconds.
    copy_bytes : int, optional
        How much is copied; four times the last cache if not given, so that it comes from
        memory.
    n : int, optional
        Rows and columns of the matrices, float32.

    Returns
    -------
    Machine
        A copy counts what is read and what is written; a product of n by n matrices is
        2 n**3 operations.

    Examples
    --------
    On a clock that says that everything takes a second:

    >>> from itertools import count
    >>> measured = measure_machine(count().__next__, copy_bytes=1000, n=10)
    >>> measured.bw_Bps, measured.flops
    (2000.0, 2000.0)
    """
    if copy_bytes is None:
        copy_bytes = min(max(4 * last_cache_bytes(), _LEAST_BYTES), _MOST_BYTES)
    source, target = np.ones(copy_bytes, np.uint8), np.zeros(copy_bytes, np.uint8)
    a = np.random.default_rng(0).standard_normal((n, n), np.float32)
    product = np.empty_like(a)

    def rate(amount: float, work: Callable[[], object]) -> float:
        start = clock()
        work()
        return amount / (clock() - start)

    # The first ones map memory and wake threads.
    np.copyto(target, source)
    np.matmul(a, a, out=product)
    copies = [rate(2 * copy_bytes, lambda: np.copyto(target, source)) for _ in range(_REPEATS)]
    products = [rate(2 * n**3, lambda: np.matmul(a, a, out=product)) for _ in range(_REPEATS)]
    return Machine(
        name=f"{platform.system()} on {platform.machine()}, NumPy {np.__version__}",
        bw_runs=tuple(copies),
        flops_runs=tuple(products),
    )
