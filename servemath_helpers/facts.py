"""Shapes of published models and data of accelerators, with what follows from them.

The values stand in ``data/models.json`` and ``data/hardware.json``, each with its unit, its
convention and its source; they are read when first asked for. You can also describe a
`Model` or an `Accelerator` of your own.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, NoReturn

from servemath_helpers import memory, quantisation, roofline
from servemath_helpers._validate import finite_positive, whole
from servemath_helpers.quantities import GB, MIB, Exact, exact, exact_at_least, gb_to_bytes

__all__ = [
    "Accelerator",
    "Attention",
    "Model",
    "accelerators",
    "get_accelerator",
    "get_model",
    "hub_model",
    "models",
]

Attention = Literal["MHA", "GQA", "MQA", "MLA"]
#: Words of a name that do not change the shape.
_FORMATS = ("awq", "bf16", "dynamic", "fp4", "fp8", "gptq", "int4", "int8", "mxfp4", "nvfp4")
_TUNINGS = ("base", "block", "chat", "hf", "instruct", "it", "meta", "pertensor", "static")
_VARIANTS = frozenset((*_FORMATS, *_TUNINGS, "thinking"))
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
    linear_layers : int, optional
        Layers with linear attention, which keep a state of fixed size in place of a cache;
        at most `n_layers`, windowed layers not among them.
    linear_state_elems : int, optional
        Elements of the state of one such layer and sequence.
    vocab : int, optional
        Rows of the embedding, 0 if not known. A step reads the head, not the embedding.
    tied_embeddings : bool, optional
        Whether the embedding is the head too.
    n_experts, experts_per_token, moe_layers, expert_ffn : int, optional
        Routed experts of a layer, how many a token visits, layers that have them, and the
        inner width of one; all 0 for a model without. An expert has three matrices.
    weight_format, expert_format : str, optional
        Formats of the linear layers and of the routed experts as published, of
        `quantisation.FORMATS`; None for `expert_format` stands for `weight_format`.
        Embeddings and head count with 16 bits.
    hub_id : str, optional
        Name on the Hugging Face hub.
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
    linear_layers: int = 0
    linear_state_elems: int = 0
    vocab: int = 0
    tied_embeddings: bool = False
    n_experts: int = 0
    experts_per_token: int = 0
    moe_layers: int = 0
    expert_ffn: int = 0
    weight_format: str = "bf16"
    expert_format: str | None = None
    hub_id: str = ""
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
        self._check_experts()
        quantisation.number_format(self.weight_format)
        if self.expert_format is not None:
            quantisation.number_format(self.expert_format)

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
        self._set("linear_layers", whole("linear_layers", self.linear_layers))
        if self.linear_layers >= self.n_layers:
            raise ValueError(
                f"linear_layers must be below n_layers = {self.n_layers}, got {self.linear_layers}"
            )
        if self.sliding_window is None:
            if self.windowed_layers is not None:
                raise ValueError(
                    "sliding_window must be given with windowed_layers = "
                    f"{self.windowed_layers!r}, got None"
                )
            return
        self._set("sliding_window", whole("sliding_window", self.sliding_window, 1))
        if self.windowed_layers is None:
            self._set("windowed_layers", self.cache_layers)
        self._set("windowed_layers", whole("windowed_layers", self.windowed_layers, 1))
        if self.windowed_layers > self.cache_layers:  # type: ignore[operator]
            raise ValueError(
                f"windowed_layers must be at most n_layers = {self.cache_layers}, "
                f"got {self.windowed_layers}"
            )

    def _check_experts(self) -> None:
        fields = ("n_experts", "experts_per_token", "moe_layers", "expert_ffn")
        for field in (*fields, "vocab", "linear_state_elems"):
            self._set(field, whole(field, getattr(self, field)))
        values = [getattr(self, field) for field in fields]
        if any(values) and not all(values):
            raise ValueError(f"{', '.join(fields)} must all be given or none, got {values}")
        for field, most in (("experts_per_token", self.n_experts), ("moe_layers", self.n_layers)):
            if getattr(self, field) > most:
                raise ValueError(f"{field} must be at most {most}, got {getattr(self, field)}")
        if self.n_dense_params <= 0:
            raise ValueError(
                f"n_params must be above the {self.n_expert_params + self.n_embedding_params} of "
                f"routed experts, embedding and head, got {self.n_params}"
            )

    @property
    def cache_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.n_layers - self.linear_layers

    @property
    def n_expert_params(self) -> int:
        """Parameters of all routed experts."""
        return self.moe_layers * self.n_experts * 3 * self.hidden * self.expert_ffn

    @property
    def n_embedding_params(self) -> int:
        """Parameters of embedding and head together; 0 where the vocabulary is not known."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def n_dense_params(self) -> int:
        """Parameters that every token passes in linear layers: no experts, embedding or head."""
        return self.n_params - self.n_expert_params - self.n_embedding_params

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str | None = None) -> Model:
        """Return the model that a `config.json` of the Hugging Face hub describes.

        Parameters
        ----------
        config : dict
            The parsed file, as found: fields may be missing or null, or nested in
            ``text_config``; only the language model counts.
        name : str, optional
            What to call it; by default ``_name_or_path`` or the kind of model.

        Returns
        -------
        Model
            Its shape. Parameters are counted from the shape, without what predicts several
            tokens at once or reads pictures.

        Raises
        ------
        ValueError
            If the family is not one of `configs.FAMILIES`, its quantisation is not known, or
            a field is missing or out of range.

        Examples
        --------
        >>> qwen = Model.from_config({
        ...     "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28,
        ...     "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        ...     "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True,
        ...     "sliding_window": None}, name="Qwen3-0.6B")
        >>> qwen.n_params, qwen.kv_bytes_per_token()
        (596049920, 114688)
        """
        from servemath_helpers.configs import read_config

        fields = read_config(config)
        given = name or config.get("_name_or_path") or config.get("model_type")
        return cls(name=str(given), **fields)

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
                self.cache_layers, self.kv_lora_rank, self.rope_head_dim, bytes_per_elem
            )
        # One key and one value of different width weigh as much as two of the mean width.
        per_elem = exact_at_least(bytes_per_elem, 0, "bytes_per_elem", strict=True)
        return memory.kv_bytes_per_token(
            self.cache_layers, self.n_kv_heads, self.head_dim + self.v_head_dim, per_elem / 2
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
            n_layers=self.cache_layers,
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

    def state_bytes(self, bytes_per_elem: Exact = 2) -> int | float:
        """Bytes that the layers with linear attention keep of one sequence, however long.

        Parameters
        ----------
        bytes_per_elem : int, float, str, Decimal or Fraction, optional
            Bytes of one element of a state, greater than 0.

        Returns
        -------
        int or float
            Bytes; 0 without such layers.

        Raises
        ------
        ValueError
            If `bytes_per_elem` is not positive.
        """
        each = exact_at_least(bytes_per_elem, 0, "bytes_per_elem", strict=True)
        total = self.linear_layers * self.linear_state_elems * each
        return int(total) if total.denominator == 1 else float(total)

    def stored_bytes(self, fmt: str | None = None, expert_format: str | None = None) -> int:
        """Bytes of all weights in the formats of a checkpoint, scales included.

        Parameters
        ----------
        fmt, expert_format : str, optional
            Formats of the linear layers and of the routed experts, of
            `quantisation.FORMATS`; None for those as published (a `fmt` alone counts for
            both).

        Returns
        -------
        int
            Bytes, with embeddings and head in 16 bits.

        Raises
        ------
        ValueError
            If there is no such format.

        Examples
        --------
        gpt-oss-120b keeps its experts in MXFP4 and the rest in bf16, in GiB:

        >>> round(get_model("gpt-oss-120b").stored_bytes() / 2**30, 1)
        60.8
        """
        dense, experts = self.formats(fmt, expert_format)
        return (
            quantisation.stored_bytes(self.n_dense_params, dense)
            + quantisation.stored_bytes(self.n_expert_params, experts)
            + 2 * self.n_embedding_params
        )

    def formats(self, fmt: str | None = None, expert_format: str | None = None) -> tuple[str, str]:
        """Return the formats of linear layers and experts, as asked for or as published."""
        published = self.expert_format or self.weight_format
        return fmt or self.weight_format, expert_format or fmt or published

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
    fp4_dense_flops : float, optional
        Dense peak in fp4 in FLOP/s; None if there is no such unit.
    link_Bps : float, optional
        Bandwidth of its links to the other GPUs of a server, in one direction [B/s]; None if
        not known.
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
    fp4_dense_flops: float | None = None
    link_Bps: float | None = None
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
            "fp4_dense_flops",
            "link_Bps",
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


def _expert_ffn(row: dict[str, Any]) -> int:
    """Return the inner width of an expert: Mixtral's are its feed-forward blocks."""
    values = row["values"]
    if "n_experts" not in values:
        return 0
    width: int = values["moe_ffn" if "moe_ffn" in values else "ffn"]["value"]
    return width


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
    "linear_layers",
    "linear_state_elems",
    "vocab",
    "n_experts",
    "experts_per_token",
    "moe_layers",
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
            tied_embeddings=row["tied_embeddings"],
            expert_ffn=_expert_ffn(row),
            weight_format=row.get("weight_format", "bf16"),
            expert_format=row.get("expert_format"),
            hub_id=row.get("hub_id", ""),
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
            fp4_dense_flops=scaled("fp4_dense_tflops", _TERA),
            link_Bps=scaled("link_gb_s", GB),
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
    ValueError: name must be a known model, got 'DeepSeek'; near names: DeepSeek-V3, DeepSeek-R1
    """
    catalogue = _models()
    if not isinstance(name, str) or name not in catalogue:
        _unknown("model", name, catalogue, "models")
    return catalogue[name]


def _bare(name: str) -> str:
    """Return a model's name without its owner, its tuning, its format and its punctuation."""
    import re

    words = re.split(r"[-_ ]", name.rsplit("/", 1)[-1].lower())
    # Four digits are a date: 0528 or 2507.
    kept = [w for w in words if w not in _VARIANTS and not (len(w) == 4 and w.isdecimal())]
    bare = "".join(kept)
    return re.sub(r"[^a-z0-9]", "", bare)


@cache
def _by_bare_name() -> dict[str, str]:
    names: dict[str, str] = {}
    for row in _read("models.json", "models"):
        for name in (row["name"], row.get("hub_id", ""), *row.get("also", ())):
            if name:
                names.setdefault(_bare(name), row["name"])
    return names


def hub_model(name: str) -> Model:
    """Return the model that a name on the Hugging Face hub, or in a benchmark, stands for.

    Parameters
    ----------
    name : str
        Such as ``"nvidia/Llama-3.1-70B-Instruct-FP8"``; owner, tuning and format are ignored.

    Returns
    -------
    Model
        Its shape as in `get_model`.

    Raises
    ------
    ValueError
        If no known model has such a name.

    Examples
    --------
    >>> hub_model("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8").name
    'Qwen3-235B-A22B'
    """
    known = _by_bare_name()
    found = known.get(_bare(name)) if isinstance(name, str) else None
    if found is None:
        _unknown("model", name, _models(), "models")
    return get_model(found)


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
