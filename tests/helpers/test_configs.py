"""Models out of config.json: totals as published, caches, windows, formats, clear refusals."""

from __future__ import annotations

import pytest

from servemath_helpers import configs, facts
from servemath_helpers.configs import FAMILIES

Model = facts.Model


def config(kind, hidden, layers, heads, kv_heads, ffn, vocab, **more):
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        **more,
    }


LLAMA_8B = config("llama", 4096, 32, 32, 8, 14336, 128256, tie_word_embeddings=False)
MISTRAL = config("mistral", 4096, 32, 32, 8, 14336, 32000, sliding_window=4096, head_dim=None)
MIXTRAL = config(
    "mixtral",
    4096,
    32,
    32,
    8,
    14336,
    32000,
    num_local_experts=8,
    num_experts_per_tok=2,
    sliding_window=None,
)
QWEN25 = config(
    "qwen2",
    3584,
    28,
    28,
    4,
    18944,
    152064,
    use_sliding_window=False,
    sliding_window=131072,
    max_window_layers=28,
)
QWEN3_MOE = config(
    "qwen3_moe",
    4096,
    94,
    64,
    4,
    12288,
    151936,
    head_dim=128,
    num_experts=128,
    num_experts_per_tok=8,
    moe_intermediate_size=1536,
    decoder_sparse_step=1,
    mlp_only_layers=[],
    sliding_window=None,
    use_sliding_window=False,
)
# A nested config that says only what differs from the class's defaults.
GEMMA3 = {
    "model_type": "gemma3",
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
}
GEMMA2 = config("gemma2", 2304, 26, 8, 4, 9216, 256000, sliding_window=4096)
GPT_OSS = config(
    "gpt_oss",
    2880,
    36,
    64,
    8,
    2880,
    201088,
    attention_bias=True,
    head_dim=64,
    num_local_experts=128,
    num_experts_per_tok=4,
    sliding_window=128,
    layer_types=["sliding_attention", "full_attention"] * 18,
    quantization_config={
        "quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
    },
)
DEEPSEEK = config(
    "deepseek_v3",
    7168,
    61,
    128,
    128,
    18432,
    129280,
    kv_lora_rank=512,
    q_lora_rank=1536,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    n_routed_experts=256,
    n_shared_experts=1,
    num_experts_per_tok=8,
    moe_intermediate_size=2048,
    first_k_dense_replace=3,
    moe_layer_freq=1,
    quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]},
)
KIMI = {
    "model_type": "kimi_k25",
    "text_config": {
        **DEEPSEEK,
        "model_type": "kimi_k2",
        "num_attention_heads": 64,
        "num_key_value_heads": 64,
        "n_routed_experts": 384,
        "first_k_dense_replace": 1,
        "vocab_size": 163840,
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "ignore": ["lm_head", "re:.*self_attn.*"],
            "config_groups": {
                "group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}
            },
        },
    },
}
QWEN3_NEXT = config(
    "qwen3_next",
    2048,
    48,
    16,
    2,
    5120,
    151936,
    head_dim=256,
    full_attention_interval=4,
    linear_num_value_heads=32,
    linear_num_key_heads=16,
    linear_key_head_dim=128,
    linear_value_head_dim=128,
    linear_conv_kernel_dim=4,
    num_experts=512,
    num_experts_per_tok=10,
    moe_intermediate_size=512,
    shared_expert_intermediate_size=512,
)
GLM = config(
    "glm4_moe",
    5120,
    92,
    96,
    8,
    12288,
    151552,
    head_dim=128,
    attention_bias=True,
    use_qk_norm=True,
    n_routed_experts=160,
    num_experts_per_tok=8,
    n_shared_experts=1,
    moe_intermediate_size=1536,
    first_k_dense_replace=3,
)
MINIMAX = config(
    "minimax_m2",
    3072,
    62,
    48,
    8,
    1536,
    200064,
    head_dim=128,
    num_local_experts=256,
    num_experts_per_tok=8,
    use_qk_norm=True,
)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (LLAMA_8B, "Llama-3-8B"),
        (MISTRAL, "Mistral-7B-v0.1"),
        (MIXTRAL, "Mixtral-8x7B"),
        (QWEN25, "Qwen2.5-7B"),
        (QWEN3_MOE, "Qwen3-235B-A22B"),
        (GEMMA3, "Gemma-3-4B"),
        (GEMMA2, "Gemma-2-2B"),
        (GPT_OSS, "gpt-oss-120b"),
        (DEEPSEEK, "DeepSeek-R1"),
        (DEEPSEEK, "DeepSeek-V3"),
        (KIMI, "Kimi-K2.5"),
        (QWEN3_NEXT, "Qwen3-Next-80B-A3B"),
        (GLM, "GLM-4.5"),
        (MINIMAX, "MiniMax-M2.5"),
    ],
)
def test_a_config_gives_the_model_of_the_facts(found, name):
    model, known = Model.from_config(found), facts.get_model(name)
    for field in (
        "n_params",
        "n_active_params",
        "attention",
        "head_dim",
        "v_head_dim",
        "sliding_window",
        "windowed_layers",
        "linear_layers",
        "linear_state_elems",
        "n_dense_params",
        "n_expert_params",
        "d_attn",
    ):
        assert getattr(model, field) == getattr(known, field), field
    for tokens in (1, 4096, 131_072):
        assert model.resident_kv_bytes(tokens) == known.resident_kv_bytes(tokens)


def llama4(experts, step):
    return {
        "model_type": "llama4",
        "text_config": config(
            "llama4_text",
            5120,
            48,
            40,
            8,
            8192,
            202048,
            intermediate_size_mlp=16384,
            num_local_experts=experts,
            num_experts_per_tok=1,
            interleave_moe_layer_step=step,
            attention_chunk_size=8192,
        ),
    }


@pytest.mark.parametrize(
    ("found", "total", "active"),
    [
        (llama4(16, 1), 107.8e9, 17.2e9),
        (llama4(128, 2), 400.7e9, 17.2e9),
    ],
)
def test_llama_4_has_its_published_size_and_chunks(found, total, active):
    model = Model.from_config(found)
    assert model.n_params == pytest.approx(total, rel=2e-3)
    assert model.n_active_params == pytest.approx(active, rel=2e-2)
    assert (model.windowed_layers, model.sliding_window) == (36, 8192)
    chunked = ["chunked_attention"] * 3 + ["full_attention"]
    found["text_config"]["layer_types"] = chunked * 12
    assert Model.from_config(found).windowed_layers == 36


def test_a_bias_of_attention_counts_the_output_where_there_is_one():
    with_bias = Model.from_config({**LLAMA_8B, "attention_bias": True})
    plain = facts.get_model("Llama-3-8B").n_params
    assert with_bias.n_params - plain == 32 * (4096 + 2 * 1024 + 4096)


def without(found, *names):
    return {name: value for name, value in found.items() if name not in names}


@pytest.mark.parametrize(
    ("found", "changes", "windowed", "window"),
    [
        (MISTRAL, {"sliding_window": None}, None, None),
        (MISTRAL, {"use_sliding_window": False}, None, None),
        (QWEN25, {"use_sliding_window": True, "max_window_layers": 20}, 8, 131072),
        (QWEN25, {"use_sliding_window": True, "max_window_layers": 28}, None, None),
        (GEMMA2, {"sliding_window_pattern": 6}, 13, 4096),
        (without(GPT_OSS, "layer_types"), {}, 18, 128),
        (GPT_OSS, {"layer_types": ["full_attention"] * 36}, None, None),
        (MISTRAL, {"sliding_window_pattern": 4}, 24, 4096),
        (MISTRAL, {"layer_types": ["sliding_attention"] * 2 + ["full_attention"] * 30}, 2, 4096),
    ],
)
def test_which_layers_slide(found, changes, windowed, window):
    model = Model.from_config({**found, **changes})
    assert (model.windowed_layers, model.sliding_window) == (windowed, window)


def test_a_list_of_layers_counts_those_with_linear_attention():
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    found = {**without(QWEN3_NEXT, "full_attention_interval"), "layer_types": kinds * 12}
    assert Model.from_config(found).n_params == Model.from_config(QWEN3_NEXT).n_params
    assert Model.from_config(found).linear_layers == 36


def test_dense_layers_between_layers_with_experts_are_counted():
    every_other = Model.from_config({**QWEN3_MOE, "decoder_sparse_step": 2})
    assert every_other.moe_layers == 47
    some_dense = Model.from_config({**QWEN3_MOE, "mlp_only_layers": [0, 93]})
    assert some_dense.moe_layers == 92
    none = Model.from_config({**QWEN3_MOE, "mlp_only_layers": list(range(94))})
    assert (none.n_experts, none.expert_format) == (0, None)


def test_a_latent_without_query_rank_and_other_details_of_attention():
    plain = Model.from_config({**DEEPSEEK, "model_type": "deepseek_v2", "q_lora_rank": None})
    assert plain.kv_lora_rank == 512
    assert Model.from_config({**LLAMA_8B, "num_key_value_heads": None}).attention == "MHA"
    assert Model.from_config({**LLAMA_8B, "num_key_value_heads": 1}).attention == "MQA"
    tied = Model.from_config({**LLAMA_8B, "tie_word_embeddings": True})
    assert tied.n_params == facts.get_model("Llama-3-8B").n_params - 128256 * 4096


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GROUPS = {"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}}


@pytest.mark.parametrize(
    ("block", "weights", "routed"),
    [
        (None, "bf16", "bf16"),
        ({}, "bf16", "bf16"),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8", "fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8_block", "fp8_block"),
        ({"quant_method": "fbgemm_fp8"}, "fp8", "fp8"),
        (AWQ, "int4_g128_zero", "int4_g128_zero"),
        ({**AWQ, "zero_point": False}, "int4_g128", "int4_g128"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128}, *["int4_g128_zero"] * 2),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4_g128", "int4_g128"),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8", "int8"),
        (
            {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]},
            "nvfp4",
            "nvfp4",
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": GROUPS, "ignore": ["lm_head"]},
            "nvfp4",
            "nvfp4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": GROUPS,
                "ignore": ["*self_attn*"],
            },
            "bf16",
            "nvfp4",
        ),
        ({"config_groups": {"a": {"weights": {"num_bits": 8, "type": "float"}}}}, "fp8", "fp8"),
    ],
)
def test_quantisation_blocks(block, weights, routed):
    model = Model.from_config({**QWEN3_MOE, "quantization_config": block})
    assert (model.weight_format, model.expert_format) == (weights, routed)
    dense = Model.from_config({**LLAMA_8B, "quantization_config": block})
    assert dense.expert_format is None


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", "fp32"), ("torch.float16", "fp16"), ("bfloat16", "bf16"), (None, "bf16")],
)
def test_the_format_of_plain_checkpoints(dtype, expected):
    assert Model.from_config({**LLAMA_8B, "torch_dtype": dtype}).weight_format == expected


def test_a_model_is_named_as_asked_or_by_its_config():
    assert Model.from_config(LLAMA_8B).name == "llama"
    assert Model.from_config({**LLAMA_8B, "_name_or_path": "x/y"}).name == "x/y"
    assert Model.from_config(LLAMA_8B, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([1], "config must be a dict as in config.json"),
        (None, "config must be a dict"),
        ({}, "model_type must be one of llama, .*; got None"),
        ({**LLAMA_8B, "model_type": "mamba"}, "model_type must be one of .*; got 'mamba'"),
        ({"model_type": "x", "text_config": {"model_type": "y"}}, "model_type .*; got 'y'"),
        (without(LLAMA_8B, "hidden_size"), "hidden_size must be given in config.json"),
        ({**LLAMA_8B, "vocab_size": None}, "vocab_size must be given"),
        ({**LLAMA_8B, "num_hidden_layers": 0}, "num_hidden_layers must be a whole number"),
        ({**LLAMA_8B, "num_attention_heads": "32"}, "num_attention_heads must be"),
        (without(DEEPSEEK, "v_head_dim"), "v_head_dim must be given"),
        (without(MIXTRAL, "num_experts_per_tok"), "num_experts_per_tok must be given"),
        ({**MISTRAL, "sliding_window": 0}, "sliding_window must be"),
        ({**GPT_OSS, "sliding_window": None}, "sliding_window must be given for sliding"),
        ({**GPT_OSS, "layer_types": ["full_attention"]}, "layer_types must have .* 36 entries"),
        ({**GPT_OSS, "layer_types": ["dilated"] * 36}, "layer_types must be among .*'dilated'"),
        (without(QWEN3_NEXT, "linear_key_head_dim"), "linear_key_head_dim must be given"),
        ({**LLAMA_8B, "quantization_config": "fp8"}, "quantization_config must be a dict"),
        *(
            ({**LLAMA_8B, "quantization_config": block}, "quantization_config must describe")
            for block in (
                {"quant_method": "bitsandbytes", "load_in_4bit": True},
                {"quant_method": "gptq", "bits": 3, "group_size": 128},
                {"quant_method": "gptq", "bits": 4, "group_size": 64},
                {"quant_algo": "MIXED_PRECISION", "config_groups": GROUPS},
                {"config_groups": {"a": {"weights": {"num_bits": 4, "type": "float"}}}},
                {"bits": 5},
            )
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(found, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Model.from_config(found)


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_reads_a_small_model(kind):
    found = config(kind, 64, 4, 4, 2, 128, 1000, sliding_window=8, head_dim=16)
    found |= {f"linear_num_{part}_heads": 2 for part in ("key", "value")}
    found |= {f"linear_{part}_head_dim": 8 for part in ("key", "value")}
    model = Model.from_config(found | {"linear_conv_kernel_dim": 4})
    assert model.n_params > model.n_embedding_params
    assert model.kv_bytes_per_token() == 2 * model.cache_layers * 2 * 16 * 2


SHAPE = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
}
NUMBERS = 2 * 2 * 8  # of a token and layer


@pytest.mark.parametrize(
    ("change", "tokens", "kept"),
    [
        ({}, 100, 4 * 100),
        ({}, 0, 0),
        ({"sliding_window": 30}, 100, 4 * 30),
        ({"sliding_window": 30}, 10, 4 * 10),
        ({"sliding_window": 30, "use_sliding_window": False}, 100, 4 * 100),
        ({"sliding_window": 30, "sliding_window_pattern": 3}, 100, 100 + 3 * 30),
        ({"sliding_window": None, "sliding_window_pattern": 3}, 100, 4 * 100),
        ({"full_attention_interval": 2, "sliding_window": 30}, 100, 2 * 100),
        (
            {
                "layer_types": ["sliding_attention", "full_attention", "linear_attention"],
                "sliding_window": 30,
                "full_attention_interval": 2,
            },
            100,
            100 + 30,
        ),
    ],
)
def test_tokens_that_layers_keep(change, tokens, kept):
    assert configs.kv_bytes({**SHAPE, **change}, tokens) == 2 * NUMBERS * kept
    nested = {"text_config": {**SHAPE, **change}, "num_hidden_layers": 99}
    assert configs.kv_bytes(nested, tokens, "0.5") == NUMBERS * kept / 2


@pytest.mark.parametrize(
    ("change", "numbers"),
    [
        ({"head_dim": 16}, 2 * 2 * 16),
        ({"num_key_value_heads": None}, 2 * 8 * 8),
        ({"kv_lora_rank": 20, "qk_rope_head_dim": 4}, 24),
    ],
)
def test_numbers_that_a_layer_keeps_of_a_token(change, numbers):
    assert configs.kv_bytes({**SHAPE, **change}, 10, 1) == 4 * 10 * numbers


def test_a_cache_agrees_with_the_model_that_a_config_describes():
    for found in (LLAMA_8B, DEEPSEEK, MIXTRAL):
        model = Model.from_config(found)
        assert configs.kv_bytes(found, 1000) == 1000 * model.kv_bytes_per_token()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": None}, "num_hidden_layers must be given"),
        ({"hidden_size": None}, "hidden_size must be given"),
        ({"kv_lora_rank": 20}, "qk_rope_head_dim must be given"),
        ({"layer_types": ["dilated"]}, "layer_types must be among"),
        ({"layer_types": ["sliding_attention"]}, "sliding_window must be given"),
    ],
)
def test_configs_without_what_a_cache_needs(change, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        configs.kv_bytes({**SHAPE, **change}, 10)


def test_arguments_of_a_cache_that_are_refused():
    for arguments, words in (
        ((3, 10), "config must be a dict"),
        ((SHAPE, -1), "tokens must be"),
        ((SHAPE, 10, 0), "bytes_per_elem must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=f"^{words}"):
            configs.kv_bytes(*arguments)
