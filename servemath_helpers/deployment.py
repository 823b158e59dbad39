"""A model on accelerators: what each GPU holds, reads and computes, in which formats.

`Deployment` turns shapes and data sheets into bytes and FLOP; with the `achieved.Coefficients`
of an engine they become the time of an iteration (`sim.AchievedStep.on`).

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from servemath_helpers import achieved, quantisation
from servemath_helpers._validate import whole
from servemath_helpers.experts import all_to_all_bytes
from servemath_helpers.facts import Accelerator, Model

__all__ = ["Deployment"]

_ACTIVATION_BYTES = 2


def _peak(accelerator: Accelerator, fmt: str) -> tuple[float, str]:
    """Return the dense peak that products with weights of a format reach, and its kind."""
    bf16, fp8, fp4 = (
        accelerator.bf16_dense_flops,
        accelerator.fp8_dense_flops,
        accelerator.fp4_dense_flops,
    )
    if fmt == "nvfp4" and fp4 is not None:
        return fp4, "fp4"
    # Activations stay at 8 bits beside MXFP4, which needs units for both.
    if fp8 is not None and (fmt in ("fp8", "fp8_block", "mxfp8") or (fmt == "mxfp4" and fp4)):
        return fp8, "fp8"
    return bf16, "bf16"  # weights of fewer bits are unpacked first


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A model on equal GPUs of one server.

    Parameters
    ----------
    model : facts.Model
        What is served.
    accelerator : facts.Accelerator
        One GPU.
    tensor_parallel : int, optional
        GPUs over which each layer is cut, at least 1.
    attention_dp : int, optional
        Copies of the attention, each on `tensor_parallel` GPUs with requests of its own; the
        experts are spread over all GPUs. At least 1.
    weight_format, expert_format : str, optional
        Formats of linear layers and of routed experts, of `quantisation.FORMATS`; None for
        those as published (a `weight_format` alone counts for both).
    cache_format : str, optional
        Format of the cache, of `quantisation.FORMATS`.

    Examples
    --------
    >>> from servemath_helpers import facts
    >>> node = Deployment(model=facts.get_model("Llama-3.1-70B"), weight_format="fp8",
    ...                   accelerator=facts.get_accelerator("H200-SXM"), tensor_parallel=2)
    >>> node.n_gpus, round(node.weight_bytes / 1e9, 1), round(node.cache_tokens("vllm"), -3)
    (2, 72.7, 553000.0)
    """

    model: Model
    accelerator: Accelerator
    tensor_parallel: int = 1
    attention_dp: int = 1
    weight_format: str | None = None
    expert_format: str | None = None
    cache_format: str = "bf16"

    def __post_init__(self) -> None:
        if not isinstance(self.model, Model):
            raise ValueError(f"model must be a facts.Model, got {self.model!r}")
        if not isinstance(self.accelerator, Accelerator):
            raise ValueError(f"accelerator must be a facts.Accelerator, got {self.accelerator!r}")
        for name in ("tensor_parallel", "attention_dp"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 1))
        quantisation.number_format(self.cache_format)
        self.__dict__.update(self._derive())

    def _derive(self) -> dict[str, float | str]:
        """Return bytes and FLOP that do not depend on an engine."""
        model, tp = self.model, self.tensor_parallel
        dense, experts = model.formats(self.weight_format, self.expert_format)
        dense_peak, dense_kind = _peak(self.accelerator, dense)
        expert_peak, _ = _peak(self.accelerator, experts)
        head = 2 * model.vocab * model.hidden
        routed = quantisation.stored_bytes(model.n_expert_params, experts)
        linear = quantisation.stored_bytes(model.n_dense_params, dense)
        elem = quantisation.number_format(self.cache_format).bits_per_weight / 8
        # A latent, or a head that there are more GPUs than, is on every GPU whole.
        pieces = 1 if model.attention == "MLA" else min(tp, model.n_kv_heads)
        k = float(model.kv_bytes_per_token(elem)) * tp / pieces
        windowed = (model.windowed_layers or 0) / model.cache_layers
        return {
            "_head_bytes": head,
            "_dense_bytes": (linear + head) * self.attention_dp,
            "_routed_bytes": routed,
            "_expert_bytes": routed / max(1, model.moe_layers * model.n_experts),
            "_stored": (linear + 2 * model.n_embedding_params) * self.attention_dp + routed,
            "_linear_params": model.n_dense_params + model.vocab * model.hidden,
            "_dense_peak": dense_peak,
            "_dense_kind": dense_kind,
            "_expert_peak": expert_peak,
            "_memory": float(self.accelerator.memory_bytes),
            "_k": k * (1 - windowed),
            "_window_k": k * windowed,
            "_state_bytes": float(model.state_bytes()) * tp / min(tp, model.n_heads),
        }

    @property
    def n_gpus(self) -> int:
        """GPUs of the server."""
        return self.tensor_parallel * self.attention_dp

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights on all GPUs, copies of the attention included."""
        stored: float = self.__dict__["_stored"]
        return stored

    def held_bytes(self, tokens: float) -> float:
        """Return the bytes of cache and state that a sequence holds on all its GPUs.

        Parameters
        ----------
        tokens : float
            Tokens of the sequence, at least 0.

        Returns
        -------
        float
            Bytes; layers with a window hold no more than it.
        """
        own = self.__dict__
        window = self.model.sliding_window or 0
        held: float = own["_k"] * tokens + own["_window_k"] * min(tokens, window)
        return held + float(own["_state_bytes"])

    def _room(self, engine: str | None) -> float:
        """Return the bytes of cache of one copy of the attention."""
        memory = float(self.__dict__["_memory"]) * self.tensor_parallel
        weights = self.weight_bytes / self.attention_dp
        # TensorRT-LLM takes nine tenths of what the weights leave, the others leave one
        # tenth of the memory.
        return 0.9 * memory - (0.9 * weights if engine == "trtllm" else weights)

    def cache_tokens(self, engine: str | None = None) -> float:
        """Return the tokens that the cache holds with the default settings of an engine.

        Parameters
        ----------
        engine : str, optional
            ``"trtllm"``, or any other.

        Returns
        -------
        float
            Tokens of one copy of the attention if all layers keep them; 0.0 where the weights
            leave no room.
        """
        own = self.__dict__
        per_token: float = own["_k"] + own["_window_k"]
        return max(0.0, self._room(engine) / per_token)

    def slots(self, prompt: float, output: float, engine: str | None = None) -> float:
        """Return how many sequences of a length one copy of the attention holds.

        Parameters
        ----------
        prompt, output : float
            Tokens of a request.
        engine : str, optional
            TensorRT-LLM (``"trtllm"``) sets aside prompt and answer when it lets a request
            in; the others hand out blocks as it grows, half of the answer on average.

        Returns
        -------
        float
            Sequences, at least 1.
        """
        held = self.held_bytes(prompt + output * (1 if engine == "trtllm" else 0.5))
        return max(1.0, self._room(engine) / held)

    def step_parameters(self, reached: achieved.Coefficients) -> dict[str, Any]:
        """Return the parameters of `sim.AchievedStep`, all but the band.

        Parameters
        ----------
        reached : achieved.Coefficients
            What the engine reaches.

        Returns
        -------
        dict
            By name.
        """
        own, model, gpus, tp = self.__dict__, self.model, self.n_gpus, self.tensor_parallel
        chip = self.accelerator
        bandwidth = gpus * chip.bandwidth_Bps
        mfu = {"bf16": reached.mfu_bf16, "fp8": reached.mfu_fp8, "fp4": reached.mfu_fp4}
        overhead = reached.step_s + model.n_layers * reached.layer_s
        overhead += model.moe_layers * reached.expert_layer_s
        per_token = 0.0
        link = (chip.link_Bps or chip.bandwidth_Bps) * reached.link_bandwidth
        token_bytes = model.hidden * _ACTIVATION_BYTES
        if tp > 1:  # two all-reduces a layer, of the tokens of one copy
            overhead += 2 * model.n_layers * reached.all_reduce_s
            ring = 2 * (tp - 1) / tp * token_bytes / link
            per_token += 2 * model.n_layers * ring / self.attention_dp
        if self.attention_dp > 1 and model.moe_layers:  # to the experts and back
            overhead += 2 * model.moe_layers * reached.all_to_all_s
            travels = all_to_all_bytes(model.hidden, model.n_experts, model.experts_per_token, gpus)
            per_token += model.moe_layers * travels / (gpus * link)
        return {
            "n_params": model.n_active_params,
            "weight_bytes": self.weight_bytes,
            "k": own["_k"],
            "layers": model.n_layers,
            "d_attn": model.d_attn,
            "n_gpus": gpus,
            "bw_Bps": chip.bandwidth_Bps,
            "peak_flops": own["_dense_peak"],
            "mfu": min(1.0, mfu[own["_dense_kind"]]),
            "overhead_s": overhead,
            "linear_params": own["_linear_params"],
            "dense_bytes": own["_dense_bytes"],
            "weight_Bps": bandwidth * reached.weight_bandwidth,
            "cache_Bps": bandwidth * reached.cache_bandwidth,
            "attention_flops": gpus * chip.bf16_dense_flops * reached.mfu_attention,
            "attention_layers": model.cache_layers - (model.windowed_layers or 0),
            "per_sequence_s": reached.sequence_s,
            "per_token_s": per_token,
            "window": model.sliding_window or 0,
            "window_k": own["_window_k"],
            "state_bytes": own["_state_bytes"],
            "host_s": model.n_layers * reached.host_layer_s,
            "n_experts": model.n_experts,
            "experts_per_token": model.experts_per_token,
            "expert_layers": model.moe_layers,
            "expert_params": 3 * model.hidden * model.expert_ffn,
            "expert_bytes": own["_expert_bytes"],
            "expert_Bps": bandwidth * reached.weight_bandwidth * reached.expert_bandwidth,
            "expert_flops": gpus * own["_expert_peak"] * reached.mfu_experts,
        }
