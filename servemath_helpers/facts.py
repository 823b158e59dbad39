"""Shapes of published models and data of accelerators, with what follows from them.

The values stand in ``data/models.json`` and ``data/hardware.json``, each with its unit, its
convention and its source; they are read when first asked for. You can also describe a
`Model` or an `Accelerator` of your own.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, NoReturn

from servemath_helpers import memory, roofline
from servemath_helpers._validate import finite_positive, whole
from servemath_helpers.quantities import GB, MIB, Exact, exact, exact_at_least, gb_to_bytes

__all__ = [
    "Accelerator",
    "Attention",
    "Model",
    "accelerators",
    "get_accelerator",
    "get_model",
    "models",
]

Attention = Literal["MHA", "GQA", "MQA", "MLA"]
_ATTENTIONS = ("MHA", "GQA", "MQA", "MLA")
_TERA = 10**12


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} must be text that is not empty, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A Transformer as far as memory and time of serving depend on it.

    Parameters
    ----------
    name : str
        What to call it.
    n_params : int
        All parameters, at least 1.
    n_layers : int
        Layers, at least 1.
    hidden : int
        Width of the residual stream, at least 1.
    n_heads : int
        Query heads of a layer, at least 1.
    n_kv_heads : int
        Key/value heads of a layer: `n_heads` for MHA, a proper divisor of it above 1 for
        GQA, 1 for MQA. Under MLA the cache does not depend on it.
    head_dim : int
        Elements of one query or key head, at least 1.
    attention : {"MHA", "GQA", "MQA", "MLA"}
        Multi-head, grouped-query, multi-query or multi-head latent attention.
    n_active_params : int, optional
        Parameters that one token passes through, 1..`n_params`; 0 stands for all of them
        and is replaced by `n_params`.
    v_head_dim : int, optional
        Elements of one value head; 0 stands for `head_dim` and is replaced by it.
    kv_lora_rank, rope_head_dim : int, optional
        Elements of the cached latent (at least 1) and of the shared rotary key (at least
        0) per layer and token; both are needed for MLA and refused for anything else.
    sliding_window : int, optional
        Tokens to which a windowed layer attends, at least 1; None if there is no window.
    windowed_layers : int, optional
        Layers that use the window, 1..`n_layers`; None stands for all if there is a window.
    sources : tuple of str, optional
        Where the values come from.
    notes : str, optional
        What one should know before using them.

    Raises
    ------
    ValueError
        If a value does not agree with the kind of attention.

    Examples
    --------
    >>> tiny = Model(name="Tiny", n_params=25_000_000, n_layers=6, hidden=512, n_heads=8,
    ...              n_kv_heads=2, head_dim=64, attention="GQA")
    >>> tiny.kv_bytes_per_token()
    3072
    >>> tiny.as_mha().kv_bytes_per_token()
    12288
    """

    name: str
    n_params: int
    n_layers: int
    hidden: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    attention: Attention
    n_active_params: int = 0
    v_head_dim: int = 0
    kv_lora_rank: int | None = None
    rope_head_dim: int | None = None
    sliding_window: int | None = None
    windowed_layers: int | None = None
    sources: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        _text("name", self.name)
        for field in ("n_params", "n_layers", "hidden", "n_heads", "n_kv_heads", "head_dim"):
            self._set(field, whole(field, getattr(self, field), 1))
        self._set("n_active_params", whole("n_active_params", self.n_active_params))
        self._set("n_active_params", self.n_active_params or self.n_params)
        if self.n_active_params > self.n_params:
            raise ValueError(
                f"n_active_params must be at most n_params = {self.n_params}, "
                f"got {self.n_active_params}"
            )
        self._set("v_head_dim", whole("v_head_dim", self.v_head_dim) or self.head_dim)
        if self.n_heads * (self.head_dim + self.v_head_dim) % 2:
            raise ValueError(
                "v_head_dim must make n_heads * (head_dim + v_head_dim) even, "
                f"got {self.v_head_dim} with head_dim = {self.head_dim}"
            )
        self._set("sources", tuple(self.sources))
        self._check_attention()
        self._check_window()

    def _set(self, field: str, value: object) -> None:
        # A frozen dataclass is written once, here, with checked and completed values.
        object.__setattr__(self, field, value)

    def _check_attention(self) -> None:
        if self.attention not in _ATTENTIONS:
            raise ValueError(f"attention must be one of {_ATTENTIONS}, got {self.attention!r}")
        groups, rest = divmod(self.n_heads, self.n_kv_heads)
        if rest:
            raise ValueError(
                f"n_heads must be a multiple of n_kv_heads = {self.n_kv_heads}, got {self.n_heads}"
            )
        fits = {
            "MHA": groups == 1,
            "GQA": groups > 1 and self.n_kv_heads > 1,
            "MQA": self.n_kv_heads == 1,
            "MLA": True,
        }
        if not fits[self.attention]:
            raise ValueError(
                "n_kv_heads must equal n_heads for MHA, be 1 for MQA and lie between for GQA, "
                f"got {self.n_kv_heads} of {self.n_heads} heads for {self.attention}"
            )
        for field, minimum in (("kv_lora_rank", 1), ("rope_head_dim", 0)):
            value = getattr(self, field)
            if self.attention == "MLA":
                self._set(field, whole(field, value, minimum))
            elif value is not None:
                raise ValueError(f"{field} must be None unless attention is MLA, got {value!r}")

    def _check_window(self) -> None:
        if self.sliding_window is None:
            if self.windowed_layers is not None:
                raise ValueError(
                    "sliding_window must be given with windowed_layers = "
                    f"{self.windowed_layers!r}, got None"
                )
            return
        self._set("sliding_window", whole("sliding_window", self.sliding_window, 1))
        if self.windowed_layers is None:
            self._set("windowed_layers", self.n_layers)
        self._set("windowed_layers", whole("windowed_layers", self.windowed_layers, 1))
        if self.windowed_layers > self.n_layers:  # type: ignore[operator]
            raise ValueError(
                f"windowed_layers must be at most n_layers = {self.n_layers}, "
                f"got {self.windowed_layers}"
            )

    @property
    def d_attn(self) -> int:
        """Query heads times head dimension, the width that attention arithmetic sees.

        Where keys and values differ in width it is the mean of the two, because scores
        cost the one and weighted values the other.
        """
        return self.n_heads * (self.head_dim + self.v_head_dim) // 2

    def kv_bytes_per_token(self, bytes_per_elem: Exact = 2) -> int | float:
        """Bytes that one token adds to the cache, over all layers.

        Parameters
        ----------
        bytes_per_elem : int, float, str, Decimal or Fraction, optional
            Bytes of one cached element, greater than 0.

        Returns
        -------
        int or float
            Bytes per token; an int where the number is whole.

        Examples
        --------
        >>> get_model("Llama-3-70B").kv_bytes_per_token()
        327680
        >>> get_model("DeepSeek-V3").kv_bytes_per_token()
        70272
        """
        if self.kv_lora_rank is not None and self.rope_head_dim is not None:
            return memory.mla_kv_bytes_per_token(
                self.n_layers, self.kv_lora_rank, self.rope_head_dim, bytes_per_elem
            )
        # One key and one value of different width weigh as much as two of the mean width.
        per_elem = exact_at_least(bytes_per_elem, 0, "bytes_per_elem", strict=True)
        return memory.kv_bytes_per_token(
            self.n_layers, self.n_kv_heads, self.head_dim + self.v_head_dim, per_elem / 2
        )

    def resident_kv_bytes(self, seq: int, bytes_per_elem: Exact = 2) -> int | float:
        """Bytes that one sequence holds in the cache, its sliding window honoured.

        Parameters
        ----------
        seq : int
            Tokens of the sequence so far, at least 0.
        bytes_per_elem : int, float, str, Decimal or Fraction, optional
            Bytes of one cached element, greater than 0.

        Returns
        -------
        int or float
            Bytes; an int where the number is whole.

        Examples
        --------
        >>> mistral = get_model("Mistral-7B-v0.1")
        >>> mistral.resident_kv_bytes(32_768) == mistral.resident_kv_bytes(4096)
        True
        """
        return memory.resident_kv_bytes(
            seq,
            self.kv_bytes_per_token(bytes_per_elem),
            n_layers=self.n_layers,
            windowed_layers=self.windowed_layers or 0,
            window=self.sliding_window,
        )

    def weight_bytes(self, bits: Exact = 16) -> int:
        """Bytes of all weights.

        Parameters
        ----------
        bits : int, float, str, Decimal or Fraction, optional
            Bits of one parameter, greater than 0.

        Returns
        -------
        int
            Bytes, rounded up.

        Examples
        --------
        >>> get_model("Llama-3-70B").weight_bytes()
        141107412992
        """
        return memory.weight_bytes(self.n_params, bits)

    def as_mha(self) -> Model:
        """Return the same model as if every query head had its own key and value.

        Returns
        -------
        Model
            A model with multi-head attention and the cache that follows; parameters are
            left as they are, although wider key and value projections would add some.

        Examples
        --------
        >>> get_model("Llama-3-70B").as_mha().kv_bytes_per_token()
        2621440
        """
        return replace(
            self,
            name=f"{self.name} as MHA",
            attention="MHA",
            n_kv_heads=self.n_heads,
            kv_lora_rank=None,
            rope_head_dim=None,
            notes="Not a published model: the cache of multi-head attention, weights unchanged.",
        )


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A GPU or TPU as far as memory and time of serving depend on it.

    Parameters
    ----------
    name : str
        What to call it.
    memory_gb : int, float, str, Decimal or Fraction
        Memory as sold, 1 GB = 1e9 bytes, greater than 0 and a whole number of bytes.
    bandwidth_Bps : float
        Peak bandwidth of the device memory in B/s, greater than 0.
    bf16_dense_flops : float
        Dense peak in bf16 in FLOP/s, greater than 0, a multiply-add counted as 2.
    fp8_dense_flops, int8_dense_ops : float, optional
        Dense peaks in fp8 (FLOP/s) and int8 (operations/s); None if there is no such unit.
    bf16_sparse_flops, fp8_sparse_flops : float, optional
        Peaks with 2:4 sparsity, as datasheets print them in large type. No formula of this
        course uses them.
    tdp_w : float, optional
        Thermal design power in W.
    reported_memory_mib : int, optional
        Total memory in MiB that the driver's tool prints.
    usable_memory_gib : float, optional
        Total capacity in GiB that a program sees.
    convention : str, optional
        How the peaks are counted.
    sources : tuple of str, optional
        Where the values come from.
    notes : str, optional
        What one should know before using them.

    Examples
    --------
    >>> card = Accelerator(name="Card", memory_gb=24, bandwidth_Bps=1e12,
    ...                    bf16_dense_flops=100e12)
    >>> card.memory_bytes, card.ridge_flop_per_byte
    (24000000000, 100.0)
    """

    name: str
    memory_gb: Exact
    bandwidth_Bps: float
    bf16_dense_flops: float
    fp8_dense_flops: float | None = None
    int8_dense_ops: float | None = None
    bf16_sparse_flops: float | None = None
    fp8_sparse_flops: float | None = None
    tdp_w: float | None = None
    reported_memory_mib: int | None = None
    usable_memory_gib: float | None = None
    convention: str = "dense, no sparsity, a multiply-add is 2 FLOP"
    sources: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        _text("name", self.name)
        if gb_to_bytes(self.memory_gb) <= 0:
            raise ValueError(f"memory_gb must be a number greater than 0, got {self.memory_gb!r}")
        for field in ("bandwidth_Bps", "bf16_dense_flops"):
            object.__setattr__(self, field, finite_positive(field, getattr(self, field)))
        for field in (
            "fp8_dense_flops",
            "int8_dense_ops",
            "bf16_sparse_flops",
            "fp8_sparse_flops",
            "tdp_w",
            "usable_memory_gib",
        ):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, finite_positive(field, value))
        if self.reported_memory_mib is not None:
            mib = whole("reported_memory_mib", self.reported_memory_mib, 1)
            object.__setattr__(self, "reported_memory_mib", mib)
        object.__setattr__(self, "sources", tuple(self.sources))

    @property
    def memory_bytes(self) -> int:
        """Memory as sold, in bytes."""
        return gb_to_bytes(self.memory_gb)

    @property
    def reported_memory_bytes(self) -> int | None:
        """Total memory that the driver's tool prints, in bytes; None if not known."""
        return None if self.reported_memory_mib is None else self.reported_memory_mib * MIB

    @property
    def ridge_flop_per_byte(self) -> float:
        """Arithmetic intensity in bf16 at which the chip turns compute-bound."""
        return roofline.ridge_flop_per_byte(self.bf16_dense_flops, self.bandwidth_Bps)


def _read(file_name: str, key: str) -> list[dict[str, Any]]:
    """Return the rows of a packaged data file."""
    import json
    from importlib.resources import files

    text = files("servemath_helpers").joinpath("data", file_name).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)[key]
    return rows


def _sources(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the distinct sources of a row's values in order of first use."""
    return tuple(
        dict.fromkeys(source for entry in row["values"].values() for source in entry["source"])
    )


_MODEL_FIELDS = (
    "n_params",
    "n_active_params",
    "n_layers",
    "hidden",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "v_head_dim",
    "kv_lora_rank",
    "rope_head_dim",
    "sliding_window",
    "windowed_layers",
)


@cache
def _models() -> dict[str, Model]:
    catalogue = {}
    for row in _read("models.json", "models"):
        values = {
            name: row["values"][name]["value"] for name in _MODEL_FIELDS if name in row["values"]
        }
        catalogue[row["name"]] = Model(
            name=row["name"],
            attention=row["attention"],
            sources=_sources(row),
            notes=row["notes"],
            **values,
        )
    return catalogue


@cache
def _accelerators() -> dict[str, Accelerator]:
    catalogue = {}
    for row in _read("hardware.json", "accelerators"):
        stored = {name: entry["value"] for name, entry in row["values"].items()}

        def scaled(name: str, unit: int, stored: dict[str, Any] = stored) -> float | None:
            # 989.4 tera is 989_400_000_000_000 exactly; multiplying doubles may miss it.
            return float(exact(stored[name]) * unit) if name in stored else None

        catalogue[row["name"]] = Accelerator(
            name=row["name"],
            memory_gb=stored["memory_gb"],
            bandwidth_Bps=float(exact(stored["bandwidth_gb_s"]) * GB),
            bf16_dense_flops=float(exact(stored["bf16_dense_tflops"]) * _TERA),
            fp8_dense_flops=scaled("fp8_dense_tflops", _TERA),
            int8_dense_ops=scaled("int8_dense_tops", _TERA),
            bf16_sparse_flops=scaled("bf16_sparse_tflops", _TERA),
            fp8_sparse_flops=scaled("fp8_sparse_tflops", _TERA),
            tdp_w=stored.get("tdp_w"),
            reported_memory_mib=stored.get("reported_memory_mib"),
            usable_memory_gib=stored.get("usable_memory_gib"),
            convention=row["values"]["bf16_dense_tflops"]["convention"],
            sources=_sources(row),
            notes=row["notes"],
        )
    return catalogue


def models() -> tuple[str, ...]:
    """Names of the models whose shapes come with the package.

    Returns
    -------
    tuple of str
        Names that `get_model` knows.

    Examples
    --------
    >>> "Llama-3-70B" in models()
    True
    """
    return tuple(_models())


def accelerators() -> tuple[str, ...]:
    """Names of the accelerators whose data come with the package.

    Returns
    -------
    tuple of str
        Names that `get_accelerator` knows.

    Examples
    --------
    >>> accelerators()[:2]
    ('A100-80GB-SXM', 'H100-SXM')
    """
    return tuple(_accelerators())


def _unknown(kind: str, name: object, known: Iterable[str], listing: str) -> NoReturn:
    """Raise the error for a name that is not there, with the names nearest to it."""
    from difflib import get_close_matches

    by_lower = {entry.lower(): entry for entry in known}
    text = str(name).lower()
    near = [entry for lower, entry in by_lower.items() if text and (text in lower or lower in text)]
    near += [by_lower[lower] for lower in get_close_matches(text, by_lower, n=3, cutoff=0.5)]
    hint = ", ".join(dict.fromkeys(near)) or f"none; see {listing}()"
    raise ValueError(f"name must be a known {kind}, got {name!r}; near names: {hint}")


def get_model(name: str) -> Model:
    """Return a model by name.

    Parameters
    ----------
    name : str
        One of `models`.

    Returns
    -------
    Model
        Its shape.

    Raises
    ------
    ValueError
        If there is no such model; the message lists near names.

    Examples
    --------
    >>> llama = get_model("Llama-3-70B")
    >>> llama.n_params, llama.n_layers, llama.n_kv_heads
    (70553706496, 80, 8)
    >>> get_model("DeepSeek")
    Traceback (most recent call last):
        ...
    ValueError: name must be a known model, got 'DeepSeek'; near names: DeepSeek-V3
    """
    catalogue = _models()
    if not isinstance(name, str) or name not in catalogue:
        _unknown("model", name, catalogue, "models")
    return catalogue[name]


def get_accelerator(name: str) -> Accelerator:
    """Return an accelerator by name.

    Parameters
    ----------
    name : str
        One of `accelerators`.

    Returns
    -------
    Accelerator
        Its memory, bandwidth and peaks.

    Raises
    ------
    ValueError
        If there is no such accelerator; the message lists near names.

    Examples
    --------
    >>> h100 = get_accelerator("H100-SXM")
    >>> h100.memory_bytes, h100.bandwidth_Bps, h100.bf16_dense_flops
    (80000000000, 3350000000000.0, 989400000000000.0)
    >>> get_accelerator("TPU v5e")
    Traceback (most recent call last):
        ...
    ValueError: name must be a known accelerator, got 'TPU v5e'; near names: TPU-v5e
    """
    catalogue = _accelerators()
    if not isinstance(name, str) or name not in catalogue:
        _unknown("accelerator", name, catalogue, "accelerators")
    return catalogue[name]
