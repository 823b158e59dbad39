"""Read the shape of a model out of its `config.json`, as the Hugging Face hub has it.

A field may be missing (the class's default counts), null (the same), or nested in
`text_config`. How many weights follow is counted here per family; a family that is not
listed is refused, because guessing would give a wrong number without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from servemath_helpers._validate import whole
from servemath_helpers.quantisation import FORMATS
from servemath_helpers.quantities import Exact, exact_at_least

__all__ = [
    "FAMILIES",
    "Family",
    "kv_bytes",
]


@dataclass(frozen=True)
class Family:
    """What the fields of a config do not say about a family of models.

    Attributes
    ----------
    tied : bool
        Whether embeddings are shared with the head unless the config says otherwise.
    qkv_bias, out_bias : bool
        Biases of the projections of attention unless ``attention_bias`` is given.
    qk_norm : {"", "head", "layer"}
        Norms of queries and keys: none, one a head dimension, or over all heads.
    norms : int
        Norms of the width of the model in a layer.
    gated_attention : bool
        Whether the query projection also gives a gate for the output.
    window : {"", "always", "flag", "alternate"}
        Which layers use ``sliding_window`` where the config has no list: none, all, all from
        ``max_window_layers`` on if ``use_sliding_window``, every other beginning with the first.
    router_bias, shared_gate, expert_bias, sinks : bool
        Small parts of mixtures of experts and of attention.
    defaults : mapping
        Values of fields that a config may leave out.
    """

    tied: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: str = ""
    norms: int = 2
    gated_attention: bool = False
    window: str = ""
    router_bias: bool = False
    shared_gate: bool = False
    expert_bias: bool = False
    sinks: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


_DEEPSEEK = Family(router_bias=True, defaults={"n_shared_experts": 0, "first_k_dense_replace": 0})
_QWEN2 = Family(qkv_bias=True, window="flag")
_QWEN3 = Family(out_bias=True, qk_norm="head", window="flag", defaults={"head_dim": 128})
_QWEN3_NEXT = Family(
    qk_norm="head", gated_attention=True, shared_gate=True, defaults={"full_attention_interval": 4}
)
_GEMMA = {"head_dim": 256, "sliding_window": 4096}

#: Families by `model_type`.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama": Family(out_bias=True),
        "llama4_text": Family(
            out_bias=True,
            window="always",
            # The width of an expert, and of the shared one beside it; dense layers are wider.
            defaults={"n_shared_experts": 1, "no_rope_layer_interval": 4, "head_dim": 128},
        ),
        "smollm3": Family(tied=True, out_bias=True),
        "mistral": Family(window="always"),
        "mixtral": Family(window="always"),
        "phi3": Family(window="always"),
        "qwen2": _QWEN2,
        "qwen2_vl": _QWEN2,
        "qwen2_vl_text": _QWEN2,
        "qwen2_5_vl": _QWEN2,
        "qwen2_5_vl_text": _QWEN2,
        "qwen2_moe": Family(qkv_bias=True, window="flag", shared_gate=True),
        "qwen3": _QWEN3,
        "qwen3_moe": _QWEN3,
        "qwen3_vl_text": _QWEN3,
        "qwen3_vl_moe_text": _QWEN3,
        "qwen3_next": _QWEN3_NEXT,
        "qwen3_5_text": _QWEN3_NEXT,
        "qwen3_5_moe_text": _QWEN3_NEXT,
        "gemma": Family(tied=True, defaults={"head_dim": 256}),
        "gemma2": Family(tied=True, norms=4, window="alternate", defaults=_GEMMA),
        "gemma3_text": Family(
            tied=True,
            norms=4,
            qk_norm="head",
            window="always",
            defaults={
                **_GEMMA,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "vocab_size": 262208,
                "sliding_window_pattern": 6,
            },
        ),
        "gpt_oss": Family(
            qkv_bias=True,
            out_bias=True,
            router_bias=True,
            expert_bias=True,
            sinks=True,
            window="alternate",
            defaults={"head_dim": 64},
        ),
        "deepseek_v2": Family(defaults={"first_k_dense_replace": 0}),
        "deepseek_v3": _DEEPSEEK,
        "kimi_k2": _DEEPSEEK,
        "glm4_moe": Family(
            router_bias=True, defaults={"first_k_dense_replace": 1, "n_shared_experts": 1}
        ),
        "minimax_m2": Family(qk_norm="layer", router_bias=True),
    }
)


class _Config:
    """Fields of a config: null is absent, defaults of the family count, errors name the field."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        if not isinstance(config, Mapping):
            raise ValueError(f"config must be a dict as in config.json, got {config!r}")
        nested = config.get("text_config")
        self.outer = config
        self.inner = nested if isinstance(nested, Mapping) else config
        kinds = [c.get("model_type") for c in (self.inner, self.outer)]
        known = [str(kind) for kind in kinds if kind in FAMILIES]
        if not known:
            kind = next((k for k in kinds if k is not None), None)
            raise ValueError(f"model_type must be one of {', '.join(FAMILIES)}; got {kind!r}")
        self.family = FAMILIES[known[0]]

    def get(self, *names: str) -> Any:
        """Return the first of the fields that is there, or None."""
        for source in (self.inner, self.outer, self.family.defaults):
            for name in names:
                if source.get(name) is not None:
                    return source[name]
        return None

    def count(self, *names: str, default: int | None = None, minimum: int = 1) -> int:
        """Return a field that is a whole number."""
        value = self.get(*names)
        if value is None:
            if default is None:
                raise ValueError(f"{names[0]} must be given in config.json, got none")
            return default
        return whole(names[0], value, minimum)

    def flag(self, name: str, default: bool) -> bool:
        """Return a field that is true or false."""
        value = self.get(name)
        return default if value is None else bool(value)


def _layer_kinds(config: _Config, n_layers: int) -> tuple[int, int, int | None]:
    """Return how many layers are linear, how many use a window, and the window."""
    family = config.family
    window = config.get("sliding_window", "attention_chunk_size")
    if window is not None:
        window = whole("sliding_window", window, 1)
    listed = config.get("layer_types")
    if listed is not None:
        if len(listed) != n_layers:
            raise ValueError(
                f"layer_types must have num_hidden_layers = {n_layers} entries, got {len(listed)}"
            )
        kinds = ("full_attention", "sliding_attention", "chunked_attention", "linear_attention")
        counts = dict.fromkeys(kinds, 0)
        for kind in listed:
            if kind not in counts:
                raise ValueError(f"layer_types must be among {', '.join(counts)}; got {kind!r}")
            counts[kind] += 1
        # A chunk holds no more than a window of its size.
        sliding = counts["sliding_attention"] + counts["chunked_attention"]
        linear = counts["linear_attention"]
        if sliding and window is None:
            raise ValueError("sliding_window must be given for sliding_attention layers, got none")
        return linear, sliding, window if sliding else None
    interval = config.get("full_attention_interval")
    if interval is not None:
        return n_layers - n_layers // whole("full_attention_interval", interval, 1), 0, None
    pattern = config.get("sliding_window_pattern", "no_rope_layer_interval")
    sliding = n_layers
    if family.window == "flag":
        first = config.count("max_window_layers", default=0, minimum=0)
        sliding = max(0, n_layers - first) if config.flag("use_sliding_window", False) else 0
    elif family.window == "alternate":
        sliding = (n_layers + 1) // 2
    elif not family.window or not config.flag("use_sliding_window", True):
        sliding = 0
    elif pattern is not None:  # each P-th layer, counted from 1, sees everything
        sliding -= n_layers // whole("sliding_window_pattern", pattern, 1)
    return (0, sliding, window) if sliding and window is not None else (0, 0, None)


def _moe_layers(config: _Config, n_layers: int) -> int:
    """Return how many layers have experts."""
    dense = config.count("first_k_dense_replace", default=0, minimum=0)
    every = config.count(
        "decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step", default=1
    )
    only_dense = config.get("mlp_only_layers") or ()
    return sum(
        index >= dense and (index + 1) % every == 0 and index not in only_dense
        for index in range(n_layers)
    )


def _expert_format(quantisation: Mapping[str, Any]) -> str:
    """Return the format that a block `quantization_config` speaks of."""
    method = str(quantisation.get("quant_method") or quantisation.get("quant_algo") or "").lower()
    algorithm = str(quantisation.get("quant_algo") or method).lower()
    groups = quantisation.get("config_groups")
    if isinstance(groups, Mapping) and groups:
        weights = next(iter(groups.values())).get("weights") or {}
        bits, size = weights.get("num_bits"), weights.get("group_size")
        integer = weights.get("type") == "int"
    else:
        bits = quantisation.get("bits", quantisation.get("w_bit"))
        size = quantisation.get("group_size", quantisation.get("q_group_size"))
        integer = method in ("awq", "gptq")
    found = {"fp8": "fp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "fbgemm_fp8": "fp8"}.get(algorithm)
    if found == "fp8" and quantisation.get("weight_block_size"):
        found = "fp8_block"
    if found is None and integer and bits == 4:
        zero = "_zero" if method == "awq" and quantisation.get("zero_point", True) else ""
        found = f"int4_g{size}{zero}"
    elif found is None and bits == 8:
        found = "int8" if integer else "fp8"
    elif found is None and bits == 4 and groups:
        found = "nvfp4" if size == 16 else "mxfp4" if size == 32 else None
    if found is None or found not in FORMATS or algorithm == "mixed_precision":
        raise ValueError(
            "quantization_config must describe fp8, mxfp4, nvfp4, int8 or int4 in groups of 32 or "
            f"128, got quant_method {quantisation.get('quant_method')!r}, bits {bits!r}, "
            f"group_size {size!r}"
        )
    return found


def _formats(config: _Config) -> tuple[str, str]:
    """Return the formats of the linear layers and of the routed experts."""
    dtype = config.get("torch_dtype", "dtype")
    plain = {"float32": "fp32", "float16": "fp16"}.get(str(dtype).removeprefix("torch."), "bf16")
    quantisation = config.get("quantization_config")
    if not quantisation:
        return plain, plain
    if not isinstance(quantisation, Mapping):
        raise ValueError(f"quantization_config must be a dict, got {quantisation!r}")
    experts = _expert_format(quantisation)
    left = " ".join(
        map(str, quantisation.get("modules_to_not_convert") or quantisation.get("ignore") or ())
    )
    # Where attention stays as it was, what is left to convert is mainly the experts.
    return (plain if "self_attn" in left else experts), experts


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `facts.Model` that a config.json gives.

    Parameters
    ----------
    config : dict
        The parsed file.

    Returns
    -------
    dict
        All arguments but ``name`` and ``sources``.

    Raises
    ------
    ValueError
        If the family is not known, or a field is missing or out of range.
    """
    c = _Config(config)
    family = c.family
    hidden = c.count("hidden_size")
    n_layers = c.count("num_hidden_layers")
    heads = c.count("num_attention_heads")
    kv_heads = c.count("num_key_value_heads", default=heads)
    vocab = c.count("vocab_size")
    tied = c.flag("tie_word_embeddings", family.tied)
    linear, windowed, window = _layer_kinds(c, n_layers)
    shape: dict[str, Any] = {
        "n_layers": n_layers,
        "hidden": hidden,
        "n_heads": heads,
        "n_kv_heads": kv_heads,
        "vocab": vocab,
        "tied_embeddings": tied,
        "linear_layers": linear,
    }
    if windowed:
        shape |= {"sliding_window": window, "windowed_layers": windowed}
    latent = c.get("kv_lora_rank")
    if latent is not None:
        latent = whole("kv_lora_rank", latent, 1)
        rope, plain = c.count("qk_rope_head_dim", minimum=0), c.count("qk_nope_head_dim")
        head, value = plain + rope, c.count("v_head_dim")
        rank = c.count("q_lora_rank", default=0)
        query = hidden * rank + rank + rank * heads * head if rank else hidden * heads * head
        key_value = hidden * (latent + rope) + latent + latent * heads * (plain + value)
        attention = query + key_value + heads * value * hidden
        shape |= {
            "attention": "MLA",
            "head_dim": head,
            "v_head_dim": value,
            "kv_lora_rank": latent,
            "rope_head_dim": rope,
        }
    else:
        head = c.count("head_dim", default=hidden // heads)
        bias = c.flag("attention_bias", family.qkv_bias)
        queries = heads * head * (2 if family.gated_attention else 1)
        attention = hidden * (queries + 2 * kv_heads * head) + heads * head * hidden
        attention += (queries + 2 * kv_heads * head) * bias + hidden * (bias and family.out_bias)
        norm = family.qk_norm or ("head" if c.flag("use_qk_norm", False) else "")
        attention += {"head": 2, "layer": heads + kv_heads}.get(norm, 0) * head
        attention += heads * family.sinks
        kind = "MHA" if kv_heads == heads else "MQA" if kv_heads == 1 else "GQA"
        shape |= {"attention": kind, "head_dim": head}
    recurrent = 0
    if linear:
        key, value = c.count("linear_num_key_heads"), c.count("linear_num_value_heads")
        key_dim, value_dim = c.count("linear_key_head_dim"), c.count("linear_value_head_dim")
        mixed = 2 * key * key_dim + value * value_dim
        recurrent = hidden * (mixed + value * value_dim + 2 * value) + 2 * value + value_dim
        recurrent += mixed * c.count("linear_conv_kernel_dim") + value * value_dim * hidden
        shape["linear_state_elems"] = value * key_dim * value_dim
    experts = c.count("n_routed_experts", "num_local_experts", "num_experts", default=0, minimum=0)
    moe_layers = _moe_layers(c, n_layers) if experts else 0
    routed = chosen = other = 0
    if moe_layers:
        per_token = c.count("num_experts_per_tok", "experts_per_token")
        width = c.count("moe_intermediate_size", "intermediate_size")
        shared = c.count("n_shared_experts", default=0, minimum=0) * width
        shared = c.count("shared_expert_intermediate_size", default=shared, minimum=0)
        expert = 3 * hidden * width
        routed, chosen = moe_layers * experts * expert, moe_layers * per_token * expert
        router = hidden * experts + experts * family.router_bias
        small = (2 * width + hidden) * family.expert_bias
        other = moe_layers * (3 * hidden * shared + router + hidden * family.shared_gate)
        # Biases of the experts, counted with what is not routed: they are 16 bits wide.
        other += moe_layers * experts * small
        chosen -= moe_layers * (experts - per_token) * small
        shape |= {
            "n_experts": experts,
            "experts_per_token": per_token,
            "moe_layers": moe_layers,
            "expert_ffn": width,
        }
    if n_layers > moe_layers:
        dense_width = c.count("intermediate_size_mlp", "intermediate_size")
        other += (n_layers - moe_layers) * 3 * hidden * dense_width
    dense = vocab * hidden * (1 if tied else 2) + hidden + n_layers * family.norms * hidden
    dense += (n_layers - linear) * attention + linear * recurrent + other
    weight_format, expert_format = _formats(c)
    return shape | {
        "n_params": dense + routed,
        "n_active_params": dense + chosen,
        "weight_format": weight_format,
        "expert_format": expert_format if moe_layers else None,
    }


def _needed(config: Mapping[str, Any], name: str, minimum: int = 1) -> int:
    """Return a field that is a whole number, refusing a config without it."""
    if config.get(name) is None:
        raise ValueError(f"{name} must be given in config, got none")
    return whole(name, config[name], minimum)


def _layers_of(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many layers keep all tokens and how many a window, by the fields alone."""
    listed = config.get("layer_types")
    if listed is not None:
        kinds = list(listed)
        full, near = kinds.count("full_attention"), kinds.count("sliding_attention")
        if full + near + kinds.count("linear_attention") < len(kinds):
            raise ValueError(
                "layer_types must be among full_attention, sliding_attention, linear_attention; "
                f"got {kinds!r}"
            )
        return full, near
    layers = _needed(config, "num_hidden_layers")
    if config.get("full_attention_interval") is not None:
        return layers // _needed(config, "full_attention_interval"), 0
    if config.get("sliding_window") is None or config.get("use_sliding_window") is False:
        return layers, 0
    full = 0
    if config.get("sliding_window_pattern") is not None:  # each P-th layer, counted from 1
        full = layers // _needed(config, "sliding_window_pattern")
    return full, layers - full


def kv_bytes(config: Mapping[str, Any], tokens: int, bytes_per_elem: Exact = 2) -> int:
    """Return the KV-cache bytes of a sequence by the fields of a `config.json` alone.

    Parameters
    ----------
    config : dict
        The parsed file; its ``text_config`` counts if it has one. A field that is null is absent.
    tokens : int
        Tokens of the sequence, at least 0.
    bytes_per_elem : int, str, Decimal, Fraction or float, optional
        Bytes of a cached number, above 0.

    Returns
    -------
    int
        Bytes, rounded up. States of linear attention are not counted.

    Raises
    ------
    ValueError
        If a field that is needed is missing or out of range, or a type of layer is not known.

    Notes
    -----
    A layer keeps ``2 H_kv d`` numbers of a token, with latent attention ``kv_lora_rank +
    qk_rope_head_dim``; of all tokens, of those in its window, or (linear attention) of none.
    Which layers do what stands in ``layer_types``; else ``full_attention_interval`` says which
    are not linear; else ``sliding_window`` counts for all layers but each
    ``sliding_window_pattern``-th, unless ``use_sliding_window`` is false. No default of a
    family is filled in here; `facts.Model.from_config` knows them.

    References
    ----------
    Hugging Face transformers, ``configuration_*.py`` of the models.

    Examples
    --------
    gpt-oss-120b at 131 072 tokens, in GiB: every other layer keeps 128 of them.

    >>> config = {"hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8,
    ...           "head_dim": 64, "sliding_window": 128,
    ...           "layer_types": ["sliding_attention", "full_attention"] * 18}
    >>> round(kv_bytes(config, 131_072) / 2**30, 2)
    4.5
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config must be a dict as in config.json, got {config!r}")
    nested = config.get("text_config")
    config = nested if isinstance(nested, Mapping) else config
    tokens = whole("tokens", tokens)
    each = exact_at_least(bytes_per_elem, 0, "bytes_per_elem", strict=True)
    if config.get("kv_lora_rank") is not None:
        numbers = _needed(config, "kv_lora_rank") + _needed(config, "qk_rope_head_dim", 0)
    else:
        has_kv_heads = config.get("num_key_value_heads") is not None
        heads = _needed(config, "num_key_value_heads" if has_kv_heads else "num_attention_heads")
        if config.get("head_dim") is not None:
            head_dim = _needed(config, "head_dim")
        else:
            head_dim = _needed(config, "hidden_size") // _needed(config, "num_attention_heads")
        numbers = 2 * heads * head_dim
    full, near = _layers_of(config)
    kept = full * tokens
    if near:
        kept += near * min(tokens, _needed(config, "sliding_window"))
    return -(-kept * numbers * each // 1)
