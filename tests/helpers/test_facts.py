"""Packaged facts: totals recomputed from shapes, provenance, and descriptions of one's own."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import pytest

from servemath_helpers import facts

# Totals as published; GPT-3's is that of its shapes (published as 175.0B).
N_PARAMS = {
    "Llama-2-7B": 6_738_415_616,
    "Llama-2-13B": 13_015_864_320,
    "Llama-2-70B": 68_976_648_192,
    "Llama-3-8B": 8_030_261_248,
    "Llama-3-70B": 70_553_706_496,
    "Llama-3.1-405B": 405_853_388_800,
    "Mistral-7B-v0.1": 7_241_732_096,
    "Mixtral-8x7B": 46_702_792_704,
    "Qwen2.5-7B": 7_615_616_512,
    "Gemma-2-2B": 2_614_341_888,
    "GPT-3-175B": 174_604_259_328,
    "DeepSeek-V3": 671_026_419_200,
}
N_ACTIVE = {"Mixtral-8x7B": 12_879_925_248, "DeepSeek-V3": 37_552_297_472}
# Totals as the hub shows them for the language model alone, and per token where fewer: the
# counting of configs is tested on these.
LATER = {
    "Llama-3.1-8B": (8_030_261_248, None),
    "Llama-3.1-70B": (70_553_706_496, None),
    "Mixtral-8x22B": (140_620_634_112, 39_152_031_744),
    "Gemma-3-4B": (3_880_263_168, None),
    "Qwen3-0.6B": (596_049_920, None),
    "Qwen3-1.7B": (1_720_574_976, None),
    "Qwen3-8B": (8_190_735_360, None),
    "Qwen3-32B": (32_762_123_264, None),
    "Qwen3-30B-A3B": (30_532_122_624, 3_353_032_704),
    "Qwen3-235B-A22B": (235_093_634_560, 22_190_763_520),
    "Qwen3-Coder-480B-A35B": (480_154_875_392, 35_474_765_312),
    "Qwen3-Next-80B-A3B": (79_674_391_296, 3_874_929_408),
    "Qwen3.5-397B-A17B": (396_346_350_336, 17_349_040_896),
    "gpt-oss-20b": (20_914_757_184, 4_187_440_704),
    "gpt-oss-120b": (116_829_156_672, 5_711_982_912),
    "DeepSeek-R1": (671_026_419_200, 37_552_297_472),
    "Kimi-K2": (1_026_408_232_448, 32_861_500_928),
    "Kimi-K2.5": (1_026_408_232_448, 32_861_500_928),
    "GLM-4.5": (352_797_829_024, 33_632_266_144),
    "GLM-4.5-Air": (106_852_251_264, 13_424_129_664),
    "MiniMax-M2.5": (228_689_764_864, 11_030_553_088),
    "BLOOM-176B": (176_247_271_424, None),
    "Qwen2.5-14B": (14_770_033_664, None),
    "Qwen2.5-32B": (32_763_876_352, None),
    "Qwen2.5-72B": (72_706_203_648, None),
    "Qwen3-4B": (4_022_468_096, None),
    "Qwen3-14B": (14_768_307_200, None),
    "Llama-3.2-1B": (1_235_814_400, None),
    "Llama-3.2-3B": (3_212_749_824, None),
    "Gemma-3-27B": (27_009_002_240, None),
}
KV_BYTES = {
    "Llama-2-7B": 524_288,
    "Llama-2-13B": 819_200,
    "Llama-2-70B": 327_680,
    "Llama-3-8B": 131_072,
    "Llama-3-70B": 327_680,
    "Llama-3.1-405B": 516_096,
    "Mistral-7B-v0.1": 131_072,
    "Mixtral-8x7B": 131_072,
    "Qwen2.5-7B": 57_344,
    "Gemma-2-2B": 106_496,
    "GPT-3-175B": 4_718_592,
    "DeepSeek-V3": 70_272,
}
RIDGE = {
    "A100-80GB-SXM": 153.02,
    "H100-SXM": 295.34,
    "H100-PCIe": 378.25,
    "H200-SXM": 206.12,
    "L4": 403.33,
    "L40S": 419.04,
    "A10G": 116.67,
    "MI300X": 246.68,
    "TPU-v5e": 240.54,
    "B200-SXM": 281.25,
    "GB200": 312.5,
    "B300-SXM": 290.32,
    "MI355X": 315.0,
    "MI350X": 298.75,
    "A100-40GB-SXM": 200.64,
    "A100-80GB-PCIe": 161.24,
    "A100-40GB-PCIe": 200.64,
    "RTX-4090": 163.84,
    "RTX-PRO-6000": 261.05,
}


def stored(file_name, key):
    text = files("servemath_helpers").joinpath("data", file_name).read_text(encoding="utf-8")
    return {row["name"]: row for row in json.loads(text)[key]}


MODEL_ROWS = stored("models.json", "models")
ACCELERATOR_ROWS = stored("hardware.json", "accelerators")


def count_gated(row, v, n_experts):
    """Count a decoder with gated feed-forward blocks and RMS norms (Llama and its kin)."""
    h, heads, kv_heads, d = v["hidden"], v["n_heads"], v["n_kv_heads"], v["head_dim"]
    attention = h * d * (2 * heads + 2 * kv_heads)
    bias = d * (heads + 2 * kv_heads) if row["qkv_bias"] else 0
    router = h * v["n_experts"] if "n_experts" in v else 0
    # Gemma-2 has a norm before and after each block.
    norms = h * (4 if row["name"] == "Gemma-2-2B" else 2)
    layer = attention + bias + norms + router + n_experts * 3 * h * v["ffn"]
    embeddings = v["vocab"] * h * (1 if row["tied_embeddings"] else 2)
    return embeddings + v["n_layers"] * layer + h


def count_gpt3(v):
    """Count a GPT-2-like decoder: biases, layer norms with offsets, 2048 learned positions."""
    h, ffn = v["hidden"], v["ffn"]
    attention, feed_forward, norms = 4 * h * h + 4 * h, 2 * h * ffn + ffn + h, 4 * h
    layers = v["n_layers"] * (attention + feed_forward + norms)
    return (v["vocab"] + 2048) * h + layers + 2 * h


def count_deepseek(v, n_experts):
    """Count latent attention, three dense layers, then experts with one shared."""
    h, heads, q_rank, kv_rank = v["hidden"], v["n_heads"], v["q_lora_rank"], v["kv_lora_rank"]
    rope, value = v["rope_head_dim"], v["v_head_dim"]
    plain = v["head_dim"] - rope
    query = h * q_rank + q_rank + q_rank * heads * (plain + rope)
    key_value = h * (kv_rank + rope) + kv_rank + kv_rank * heads * (plain + value)
    attention = query + key_value + heads * value * h
    router = h * v["n_experts"] + v["n_experts"]  # with its balancing bias
    experts = (n_experts + v["n_shared_experts"]) * 3 * h * v["moe_ffn"] + router
    dense = v["n_dense_layers"]
    blocks = dense * 3 * h * v["ffn"] + (v["n_layers"] - dense) * experts
    return 2 * v["vocab"] * h + h + v["n_layers"] * (attention + 2 * h) + blocks


def count(name, active):
    row = MODEL_ROWS[name]
    v = {field: entry["value"] for field, entry in row["values"].items()}
    n_experts = v["experts_per_token" if active else "n_experts"] if "n_experts" in v else 1
    if name == "GPT-3-175B":
        return count_gpt3(v)
    if row["attention"] == "MLA":
        return count_deepseek(v, n_experts)
    return count_gated(row, v, n_experts)


def test_the_expected_models_are_there():
    assert facts.models() == (*N_PARAMS, *LATER)


@pytest.mark.parametrize("name", LATER)
def test_later_models_have_their_totals_and_their_parts_add_up(name):
    model = facts.get_model(name)
    total, active = LATER[name]
    assert (model.n_params, model.n_active_params) == (total, active or total)
    parts = (model.n_dense_params, model.n_expert_params, model.n_embedding_params)
    assert sum(parts) == total
    assert model.hub_id


@pytest.mark.parametrize("row", MODEL_ROWS.values(), ids=lambda row: row["name"])
def test_layers_with_experts_and_windows_are_stored_where_there_are_any(row):
    model = facts.get_model(row["name"])
    assert (model.n_experts > 0) == (model.moe_layers > 0) == (model.expert_ffn > 0)
    assert model.moe_layers <= model.n_layers
    assert model.cache_layers + model.linear_layers == model.n_layers


@pytest.mark.parametrize(
    ("hub", "name"),
    [
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "Llama-3.1-70B"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("deepseek-ai/DeepSeek-R1-0528", "DeepSeek-R1"),
        ("Qwen/Qwen3-32B-FP8-Static-PerTensor", "Qwen3-32B"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("llama2-70b", "Llama-2-70B"),
        ("bloom-176b", "BLOOM-176B"),
        ("QWEN3_32B", "Qwen3-32B"),
    ],
)
def test_names_of_the_hub_and_of_benchmarks_are_understood(hub, name):
    assert facts.hub_model(hub) is facts.get_model(name)


@pytest.mark.parametrize("name", ["Qwen/Qwen3-33B", "", None, 7])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=r"^name must be a known model"):
        facts.hub_model(name)


@pytest.mark.parametrize(
    ("name", "tokens", "expected"),
    [
        # Half of 36 layers keep 128 tokens; one of six of 34, all; one of four has a cache.
        ("gpt-oss-120b", 4096, 155_713_536),
        ("Gemma-3-4B", 4096, 205_520_896),
        ("Qwen3-Next-80B-A3B", 4096, 100_663_296),
        ("DeepSeek-R1", 131_072, 9_210_691_584),
    ],
)
def test_hybrid_and_windowed_caches_are_exact(name, tokens, expected):
    assert facts.get_model(name).resident_kv_bytes(tokens) == expected


def test_linear_layers_keep_a_state_of_fixed_size():
    model = facts.get_model("Qwen3-Next-80B-A3B")
    assert model.state_bytes() == 36 * 2**20
    assert model.state_bytes("0.0001") == pytest.approx(36 * 524_288 / 1e4)
    assert facts.get_model("Llama-3-8B").state_bytes() == 0
    with pytest.raises(ValueError, match=r"^bytes_per_elem must"):
        model.state_bytes(0)


@pytest.mark.parametrize(
    ("name", "formats", "gigabytes"),
    [
        ("Llama-3.1-70B", ("fp8",), 72.7),
        ("Llama-3.1-70B", ("nvfp4",), 42.7),
        ("Llama-3.1-70B", ("mxfp4",), 40.6),
        ("Llama-3.1-70B", ("int4_g128",), 39.5),
        ("gpt-oss-120b", (), 65.2),
        ("gpt-oss-120b", ("bf16",), 233.7),
        ("gpt-oss-120b", ("bf16", "fp8"), 119.0),
        ("Kimi-K2.5", (), 594.2),
    ],
)
def test_stored_bytes_of_checkpoints(name, formats, gigabytes):
    assert facts.get_model(name).stored_bytes(*formats) / 1e9 == pytest.approx(gigabytes, abs=0.06)


@pytest.mark.parametrize("name", N_PARAMS)
def test_parameters_follow_from_the_shapes(name):
    assert count(name, active=False) == N_PARAMS[name]
    assert facts.get_model(name).n_params == N_PARAMS[name]


@pytest.mark.parametrize("name", N_PARAMS)
def test_active_parameters_follow_from_the_shapes(name):
    expected = N_ACTIVE.get(name, N_PARAMS[name])
    assert count(name, active=True) == expected
    assert facts.get_model(name).n_active_params == expected


@pytest.mark.parametrize("name", N_PARAMS)
def test_kv_and_weight_bytes_are_derived(name):
    model = facts.get_model(name)
    assert model.kv_bytes_per_token() == KV_BYTES[name]
    assert model.kv_bytes_per_token(1) == KV_BYTES[name] // 2
    assert type(model.kv_bytes_per_token()) is int
    assert model.weight_bytes() == 2 * N_PARAMS[name]
    assert model.weight_bytes(8) == N_PARAMS[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Llama-3-70B", 2_621_440), ("DeepSeek-V3", 4_997_120), ("Llama-2-7B", 524_288)],
)
def test_a_model_as_if_it_had_multi_head_attention(name, expected):
    model = facts.get_model(name)
    mha = model.as_mha()
    assert mha.kv_bytes_per_token() == expected
    assert mha.attention == "MHA"
    assert mha.n_params == model.n_params
    assert mha.name == f"{name} as MHA"


@pytest.mark.parametrize(
    ("name", "d_attn"),
    [("Llama-3-70B", 8192), ("Gemma-2-2B", 2048), ("DeepSeek-V3", 128 * (192 + 128) // 2)],
)
def test_attention_width_is_heads_times_the_mean_head(name, d_attn):
    assert facts.get_model(name).d_attn == d_attn


def test_a_window_caps_the_resident_cache():
    mistral, gemma = facts.get_model("Mistral-7B-v0.1"), facts.get_model("Gemma-2-2B")
    assert mistral.resident_kv_bytes(32_768) == 4096 * 131_072
    assert gemma.resident_kv_bytes(8192) == (8192 + 4096) * 106_496 // 2
    assert gemma.resident_kv_bytes(8192, 1) == (8192 + 4096) * 106_496 // 4
    assert facts.get_model("Llama-3-70B").resident_kv_bytes(4096) == 1_342_177_280


@pytest.mark.parametrize("name", RIDGE)
def test_ridges_are_derived_from_peak_and_bandwidth(name):
    assert round(facts.get_accelerator(name).ridge_flop_per_byte, 2) == RIDGE[name]


def test_the_expected_accelerators_are_there():
    assert facts.accelerators() == tuple(RIDGE)


def test_the_h100_is_dense_with_its_sparse_peaks_apart():
    chip = facts.get_accelerator("H100-SXM")
    assert chip.memory_bytes == 80_000_000_000
    assert chip.bandwidth_Bps == 3.35e12
    assert chip.bf16_dense_flops == 989.4e12
    assert chip.fp8_dense_flops == chip.int8_dense_ops == 1978.9e12
    assert (chip.bf16_sparse_flops, chip.fp8_sparse_flops) == (1979e12, 3958e12)
    assert chip.tdp_w == 700
    assert chip.reported_memory_bytes == 81_559 * 2**20
    assert round(chip.reported_memory_bytes / 2**30, 2) == 79.65
    assert round(chip.memory_bytes / 2**30, 1) == 74.5
    assert chip.convention.startswith("dense, no sparsity")


def test_units_that_a_chip_lacks_are_none():
    assert facts.get_accelerator("A100-80GB-SXM").fp8_dense_flops is None
    tpu = facts.get_accelerator("TPU-v5e")
    assert (tpu.fp8_dense_flops, tpu.tdp_w, tpu.reported_memory_bytes) == (None, None, None)


@pytest.mark.parametrize("name", RIDGE)
def test_sparse_peaks_are_about_twice_the_dense_ones(name):
    chip = facts.get_accelerator(name)
    for sparse, dense in (
        (chip.bf16_sparse_flops, chip.bf16_dense_flops),
        (chip.fp8_sparse_flops, chip.fp8_dense_flops),
    ):
        if sparse is not None:
            assert sparse / dense == pytest.approx(2, rel=0.015)


ROWS = [*MODEL_ROWS.values(), *ACCELERATOR_ROWS.values()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_every_value_has_its_unit_convention_and_source_beside_it(row):
    for field, entry in row["values"].items():
        assert set(entry) == {"value", "unit", "convention", "source"}, field
        assert entry["value"] > 0
        assert entry["unit"].strip()
        assert entry["convention"].strip()
        assert entry["source"]
        assert all(source.strip() for source in entry["source"])


@pytest.mark.parametrize("name", ["Llama-3-70B", "DeepSeek-V3"])
def test_a_model_carries_its_sources_once_each(name):
    sources = facts.get_model(name).sources
    assert sources
    assert len(set(sources)) == len(sources)
    assert facts.get_accelerator("H100-SXM").sources


def test_facts_are_read_once():
    assert facts.get_model("Llama-3-8B") is facts.get_model("Llama-3-8B")
    assert facts.get_accelerator("L4") is facts.get_accelerator("L4")


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("llama-3-70b", "Llama-3-70B"),
        ("Llama3-8B", "Llama-3-8B"),
        ("Mixtral", "Mixtral-8x7B"),
        ("Llama-3-7B", "Llama-3-70B"),
    ],
)
def test_an_unknown_model_names_its_neighbours(asked, near):
    with pytest.raises(ValueError, match=f"known model, got '{asked}'; near names: .*{near}"):
        facts.get_model(asked)


def test_an_unknown_accelerator_names_its_neighbours():
    with pytest.raises(ValueError, match="near names: H100-SXM, H100-PCIe"):
        facts.get_accelerator("H100")


@pytest.mark.parametrize("asked", ["", "quantum", None, ["quantum"]])
def test_a_name_without_neighbours_points_to_the_list(asked):
    with pytest.raises(ValueError, match=r"near names: none; see models\(\)"):
        facts.get_model(asked)
    with pytest.raises(ValueError, match=r"near names: none; see accelerators\(\)"):
        facts.get_accelerator(asked)


def make(**changes):
    shape = {
        "name": "Tiny",
        "n_params": 1000,
        "n_layers": 4,
        "hidden": 16,
        "n_heads": 8,
        "n_kv_heads": 2,
        "head_dim": 2,
        "attention": "GQA",
    }
    return facts.Model(**(shape | changes))


EXPERTS = {"n_experts": 2, "experts_per_token": 1, "moe_layers": 2, "expert_ffn": 1}
LATENT = {"attention": "MLA", "n_kv_heads": 8, "kv_lora_rank": 6, "rope_head_dim": 2}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2 * 4 * 2 * 2 * 2),
        ({"attention": "MQA", "n_kv_heads": 1}, 2 * 4 * 1 * 2 * 2),
        ({"attention": "MHA", "n_kv_heads": 8}, 2 * 4 * 8 * 2 * 2),
        (LATENT, 4 * (6 + 2) * 2),
        ({**LATENT, "rope_head_dim": 0}, 4 * 6 * 2),
        ({"v_head_dim": 4}, 4 * 2 * (2 + 4) * 2),
    ],
)
def test_a_model_of_ones_own(changes, expected):
    assert make(**changes).kv_bytes_per_token() == expected


def test_a_model_completes_what_is_left_out():
    model = make(sources=["a paper"], sliding_window=5.0)
    assert model.n_active_params == 1000
    assert model.v_head_dim == 2
    assert model.sources == ("a paper",)
    assert (model.sliding_window, model.windowed_layers) == (5, 4)
    assert model.resident_kv_bytes(100) == model.resident_kv_bytes(5)


def test_a_single_head_is_multi_head_and_multi_query_at_once():
    for attention in ("MHA", "MQA"):
        assert make(n_heads=1, n_kv_heads=1, attention=attention).kv_bytes_per_token() == 32


def test_descriptions_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().n_params = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts.get_accelerator("L4").memory_gb = 25


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("name", {"name": " "}),
        ("name", {"name": 7}),
        ("n_params", {"n_params": 0}),
        ("n_layers", {"n_layers": 0.5}),
        ("hidden", {"hidden": -1}),
        ("n_heads", {"n_heads": 0}),
        ("n_heads", {"n_kv_heads": 3}),
        ("n_kv_heads", {"n_kv_heads": 8}),
        ("n_kv_heads", {"n_kv_heads": 1}),
        ("n_kv_heads", {"attention": "MHA"}),
        ("n_kv_heads", {"attention": "MQA"}),
        ("head_dim", {"head_dim": 0}),
        ("v_head_dim", {"v_head_dim": -1}),
        ("v_head_dim", {"n_heads": 3, "n_kv_heads": 3, "attention": "MHA", "v_head_dim": 3}),
        ("n_active_params", {"n_active_params": 1001}),
        ("n_active_params", {"n_active_params": -1}),
        ("attention", {"attention": "linear"}),
        ("kv_lora_rank", {**LATENT, "kv_lora_rank": None}),
        ("kv_lora_rank", {**LATENT, "kv_lora_rank": 0}),
        ("rope_head_dim", {**LATENT, "rope_head_dim": None}),
        ("kv_lora_rank", {"kv_lora_rank": 6}),
        ("rope_head_dim", {"rope_head_dim": 6}),
        ("sliding_window", {"windowed_layers": 2}),
        ("sliding_window", {"sliding_window": 0}),
        ("windowed_layers", {"sliding_window": 8, "windowed_layers": 0}),
        ("windowed_layers", {"sliding_window": 8, "windowed_layers": 5}),
        ("windowed_layers", {"sliding_window": 8, "windowed_layers": 3, "linear_layers": 2}),
        ("linear_layers", {"linear_layers": 4}),
        ("linear_state_elems", {"linear_state_elems": -1}),
        ("n_experts, experts_per_token, moe_layers, expert_ffn", {"n_experts": 2}),
        ("experts_per_token", {**EXPERTS, "experts_per_token": 3}),
        ("moe_layers", {**EXPERTS, "moe_layers": 5}),
        ("n_params", {**EXPERTS, "expert_ffn": 6}),
        ("n_params", {"vocab": 32}),
        ("vocab", {"vocab": -1}),
        ("format", {"weight_format": "fp5"}),
        ("format", {"expert_format": "fp5"}),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_name(named, changes):
    with pytest.raises(ValueError, match=f"^{named} must "):
        make(**changes)


def test_the_element_size_is_checked_for_every_kind_of_attention():
    for model in (make(), make(**LATENT)):
        with pytest.raises(ValueError, match=r"^bytes_per_elem must "):
            model.kv_bytes_per_token(0)


@pytest.mark.parametrize(
    ("named", "changes"),
    [
        ("name", {"name": ""}),
        ("memory_gb", {"memory_gb": 0}),
        ("bandwidth_Bps", {"bandwidth_Bps": 0}),
        ("bf16_dense_flops", {"bf16_dense_flops": float("inf")}),
        ("fp8_dense_flops", {"fp8_dense_flops": -1}),
        ("tdp_w", {"tdp_w": "hot"}),
        ("usable_memory_gib", {"usable_memory_gib": 0}),
        ("reported_memory_mib", {"reported_memory_mib": 0.5}),
    ],
)
def test_an_accelerator_that_cannot_be_is_refused_by_name(named, changes):
    card = {"name": "Card", "memory_gb": 24, "bandwidth_Bps": 1e12, "bf16_dense_flops": 1e14}
    assert facts.Accelerator(**card).ridge_flop_per_byte == 100.0
    with pytest.raises(ValueError, match=f"^{named} must "):
        facts.Accelerator(**(card | changes))


def test_a_card_may_hold_a_decimal_number_of_gigabytes():
    card = facts.Accelerator(
        name="Card", memory_gb="1.1", bandwidth_Bps=1, bf16_dense_flops=1, reported_memory_mib=1000
    )
    assert card.memory_bytes == 1_100_000_000
    assert card.reported_memory_bytes == 1_048_576_000
