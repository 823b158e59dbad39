"""The memory of lab 3: what weights, cache and pages take, and how many users fit.

Everything is exact and follows from the facts; a `MemorySetup` is what the learner sets, a
`MemoryPlan` is what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from servemath_helpers import facts, memory
from servemath_helpers.quantities import GB, GIB, exact

if TYPE_CHECKING:
    from servemath_helpers.facts import Accelerator, Model

__all__ = [
    "FEW_USERS",
    "GPU",
    "MODELS",
    "PAGES",
    "MemoryPlan",
    "MemorySetup",
    "PageWaste",
    "gpu_of",
    "model_of",
    "page_waste",
    "plan",
    "users_by_context",
]

#: The accelerator of the lab's story.
GPU: Final = "H100-SXM"
#: Label and name of the models to choose from; a name with "as MHA" is a thought experiment.
MODELS: Final[tuple[tuple[str, str], ...]] = (
    ("Llama-3 8B", "Llama-3-8B"),
    ("Llama-3 70B", "Llama-3-70B"),
    ("Llama-3.1 405B", "Llama-3.1-405B"),
    ("Llama-2 7B", "Llama-2-7B"),
    ("Llama-2 13B", "Llama-2-13B"),
    ("GPT-3 175B", "GPT-3-175B"),
    ("70B if it were MHA", "Llama-3-70B as MHA"),
)
#: Tokens of a page to choose from.
PAGES: Final = (1, 16, 64, 256)
#: Below so many users a node is hardly worth its power.
FEW_USERS: Final = 10
#: Mean length of a sequence, as a share of the largest context, in the paging picture.
_MEAN_SHARE: Final = Fraction(1, 4)
_SAMPLE: Final = 500
_MHA: Final = " as MHA"


def model_of(name: str) -> Model:
    """Return the model of a name in `MODELS`.

    Parameters
    ----------
    name : str
        Name in the facts, perhaps followed by " as MHA".

    Returns
    -------
    facts.Model
        The published model, or its cache with a key/value head for every query head.

    Examples
    --------
    >>> model_of("Llama-3-70B as MHA").kv_bytes_per_token() / 2**20
    2.5
    """
    if name.endswith(_MHA):
        return facts.get_model(name.removesuffix(_MHA)).as_mha()
    return facts.get_model(name)


def gpu_of() -> Accelerator:
    """Return the accelerator of the story.

    Returns
    -------
    Accelerator
        From the package's facts.

    Examples
    --------
    >>> gpu_of().name
    'H100-SXM'
    """
    return facts.get_accelerator(GPU)


@dataclass(frozen=True, kw_only=True)
class MemorySetup:
    """What the learner sets in the first simulator.

    Attributes
    ----------
    model : str
        A name of `MODELS`.
    n_gpus : int
        GPUs that share weights and cache evenly.
    seq_tokens : int
        Tokens of context of each user.
    bits, kv_bits : int
        Bits of a weight and of a cached number.
    reserve : str
        Share of each GPU kept free, a decimal.
    units : {"GB", "GiB"}
        What the "80" on the card's data sheet counts, and the unit of the cards.
    page_tokens : int
        Tokens of a page of the cache.
    """

    model: str = "Llama-3-70B"
    n_gpus: int = 8
    seq_tokens: int = 4096
    bits: int = 16
    kv_bits: int = 16
    reserve: str = "0"
    units: str = "GB"
    page_tokens: int = 16

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> MemorySetup:
        """Return the setup of a session's settings or of a frozen scenario."""
        return cls(**{name: settings[name] for name in cls.__dataclass_fields__})

    @property
    def unit_bytes(self) -> int:
        """Bytes of one GB or GiB, as chosen."""
        size: int = GIB if self.units == "GiB" else GB
        return size

    @property
    def gpu_bytes(self) -> int:
        """Memory of one card under the chosen convention."""
        return round(float(gpu_of().memory_gb) * self.unit_bytes)

    @property
    def k(self) -> int | float:
        """KV bytes of one token."""
        return model_of(self.model).kv_bytes_per_token(Fraction(self.kv_bits, 8))

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights on all GPUs together."""
        return model_of(self.model).weight_bytes(self.bits)


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What follows from a setup.

    Attributes
    ----------
    setup : MemorySetup
        What was set.
    users : int
        Users of the whole context that fit.
    min_gpus : int
        Least number of cards whose memory holds the weights.
    k, user_bytes, weight_bytes, pool_bytes : float
        Cache of a token and of a user; weights; what is left for the cache. All GPUs.
    gpu_weights_bytes, gpu_kv_bytes, gpu_free_bytes, gpu_reserve_bytes : float
        Where the memory of one GPU goes; they add up to its size where the weights fit.
    page_bytes : float
        Bytes of one page.
    """

    setup: MemorySetup
    users: int
    min_gpus: int
    k: float
    user_bytes: float
    weight_bytes: int
    pool_bytes: float
    gpu_weights_bytes: float
    gpu_kv_bytes: float
    gpu_free_bytes: float
    gpu_reserve_bytes: float
    page_bytes: float

    @property
    def fits(self) -> bool:
        """Whether the weights fit beside the reserve."""
        return self.min_gpus <= self.setup.n_gpus

    @property
    def state(self) -> str:
        """``"oom"``, ``"none"`` (weights fit, no user does), ``"few"`` or ``"viable"``."""
        if not self.fits:
            return "oom"
        if self.users == 0:
            return "none"
        return "few" if self.users < FEW_USERS else "viable"

    def in_units(self, n_bytes: float) -> float:
        """Return bytes in GB or GiB, as the setup says."""
        return n_bytes / self.setup.unit_bytes


def plan(setup: MemorySetup) -> MemoryPlan:
    """Return what a setup leads to.

    Parameters
    ----------
    setup : MemorySetup
        What the learner set.

    Returns
    -------
    MemoryPlan
        Exact counts and bytes.

    Examples
    --------
    >>> plan(MemorySetup()).users
    371
    >>> plan(MemorySetup(n_gpus=1)).state
    'oom'
    """
    k, weights, gpu_bytes = setup.k, setup.weight_bytes, setup.gpu_bytes
    users = memory.max_users(setup.n_gpus, gpu_bytes, weights, k, setup.seq_tokens, setup.reserve)
    pool = memory.kv_pool_bytes(setup.n_gpus, gpu_bytes, weights, setup.reserve)
    user_bytes = k * setup.seq_tokens
    kept = float(gpu_bytes * exact(setup.reserve))
    each_kv = users * user_bytes / setup.n_gpus
    model = model_of(setup.model)
    return MemoryPlan(
        setup=setup,
        users=users,
        min_gpus=memory.min_gpus(model.n_params, setup.bits, gpu_bytes, setup.reserve),
        k=k,
        user_bytes=user_bytes,
        weight_bytes=weights,
        pool_bytes=pool,
        gpu_weights_bytes=weights / setup.n_gpus,
        gpu_kv_bytes=each_kv,
        gpu_free_bytes=pool / setup.n_gpus - each_kv,
        gpu_reserve_bytes=kept,
        page_bytes=k * setup.page_tokens,
    )


def users_by_context(setup: MemorySetup, longest: int = 131_072) -> tuple[list[int], list[float]]:
    """Return how many users fit against the context, as a line of points.

    Parameters
    ----------
    setup : MemorySetup
        Everything but the context.
    longest : int, optional
        Last context, in tokens.

    Returns
    -------
    tokens : list of int
        Contexts, four to an octave, from 512.
    users : list of float
        Users, a fraction where less than one fits, so that the line keeps its slope; 0.0
        where the weights do not fit.

    Examples
    --------
    >>> tokens, users = users_by_context(MemorySetup())
    >>> int(users[tokens.index(4096)])
    371
    """
    steps = int(4 * math.log2(longest / 512))
    tokens = [round(512 * 2 ** (i / 4)) for i in range(steps + 1)]
    pool = memory.kv_pool_bytes(setup.n_gpus, setup.gpu_bytes, setup.weight_bytes, setup.reserve)
    return tokens, [pool / (setup.k * t) for t in tokens]


@dataclass(frozen=True)
class PageWaste:
    """What one way of handing out cache wastes, for sequences of mixed length.

    Attributes
    ----------
    label : str
        Such as "16 tokens".
    page_tokens : int
        Tokens handed out at a time.
    waste : float
        Share of what was handed out that holds no token.
    users : int
        Sequences of this mix that the pool holds.
    """

    label: str
    page_tokens: int
    waste: float
    users: int


@lru_cache(maxsize=64)
def _lengths(seq_tokens: int) -> tuple[int, ...]:
    """Return quantiles of an exponential length, its mean a quarter of the cap."""
    mean = float(_MEAN_SHARE * seq_tokens)
    steps = ((i + 0.5) / _SAMPLE for i in range(_SAMPLE))
    return tuple(min(seq_tokens, math.ceil(-mean * math.log1p(-u))) for u in steps)


@lru_cache(maxsize=1024)
def _waste(seq_tokens: int, block: int) -> tuple[int, float]:
    _, allocated, waste = memory.paged_blocks(_lengths(seq_tokens), block)
    return allocated, waste


def page_waste(setup: MemorySetup) -> tuple[PageWaste, ...]:
    """Return the waste of each page size, and of reserving the whole context.

    Parameters
    ----------
    setup : MemorySetup
        Its context is the largest length; lengths are exponential with a quarter of that
        as their mean, cut off at the context.

    Returns
    -------
    tuple of PageWaste
        One for each of `PAGES`, and last for reserving the largest length for everybody.

    Examples
    --------
    >>> [f"{row.label}: {row.waste:.1%}" for row in page_waste(MemorySetup())][1]
    '16 tokens: 0.7%'
    """
    pool = Fraction(
        memory.kv_pool_bytes(setup.n_gpus, setup.gpu_bytes, setup.weight_bytes, setup.reserve)
    )
    rows: list[PageWaste] = []
    for block in (*PAGES, setup.seq_tokens):
        allocated, waste = _waste(setup.seq_tokens, block)
        each = Fraction(allocated, _SAMPLE) * Fraction(setup.k)
        label = "1 token" if block == 1 else f"{block} tokens"
        if len(rows) == len(PAGES):
            label = "the whole context"
        rows.append(PageWaste(label, block, waste, math.floor(pool / each)))
    return tuple(rows)
