"""KV bytes, users and pages against counting by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import memory

GB = 10**9
PARAMS_70B = 70_553_706_496
WEIGHTS_70B = 141_107_412_992
KV_70B = 327_680
KV_70B_AS_MHA = 2_621_440


def users_70b(n_gpus=8, seq=4096, k=KV_70B, gpu_bytes=80 * GB, reserve="0", weights=WEIGHTS_70B):
    return memory.max_users(n_gpus, gpu_bytes, weights, k, seq, reserve)


@pytest.mark.parametrize(
    ("n_params", "bits", "expected"),
    [
        (PARAMS_70B, 16, WEIGHTS_70B),
        (PARAMS_70B, 8, PARAMS_70B),
        (3, 4, 2),  # 12 bits need two bytes
        (1, 1, 1),
        (1000, "4.5", 563),  # 562.5 rounded up
        (10, 0.8, 1),  # eight bits exactly, although the double 0.8 is a little more
    ],
)
def test_weights_are_rounded_up_to_whole_bytes(n_params, bits, expected):
    assert memory.weight_bytes(n_params, bits) == expected


@pytest.mark.parametrize(
    ("layers", "kv_heads", "head_dim", "expected"),
    [
        (80, 8, 128, 327_680),
        (32, 8, 128, 131_072),
        (126, 8, 128, 516_096),
        (96, 96, 128, 4_718_592),
        (80, 64, 128, KV_70B_AS_MHA),
    ],
)
def test_kv_bytes_of_published_shapes(layers, kv_heads, head_dim, expected):
    assert memory.kv_bytes_per_token(layers, kv_heads, head_dim) == expected


@pytest.mark.parametrize(
    ("bytes_per_elem", "expected"),
    [(1, 163_840), (0.5, 81_920), ("0.5", 81_920), (Fraction(1, 2), 81_920), (4, 655_360)],
)
def test_kv_bytes_follow_the_element_size(bytes_per_elem, expected):
    result = memory.kv_bytes_per_token(80, 8, 128, bytes_per_elem)
    assert result == expected
    assert type(result) is int


def test_kv_bytes_that_are_not_whole_are_a_float():
    result = memory.kv_bytes_per_token(1, 1, 1, "0.3")
    assert type(result) is float
    assert result == 0.6


@given(
    layers=st.integers(1, 200),
    heads=st.integers(1, 128),
    dim=st.integers(1, 256),
    factor=st.integers(1, 9),
)
def test_kv_bytes_are_linear_in_each_factor(layers, heads, dim, factor):
    base = memory.kv_bytes_per_token(layers, heads, dim)
    assert base == sum(2 * 2 * heads * dim for _ in range(layers))
    assert memory.kv_bytes_per_token(layers * factor, heads, dim) == base * factor
    assert memory.kv_bytes_per_token(layers, heads * factor, dim) == base * factor
    assert memory.kv_bytes_per_token(layers, heads, dim * factor) == base * factor
    assert memory.kv_bytes_per_token(layers, heads, dim, 2 * factor) == base * factor


def test_latent_attention_caches_one_latent_and_one_rotary_key_a_layer():
    assert memory.mla_kv_bytes_per_token(61, 512, 64) == 70_272
    assert memory.mla_kv_bytes_per_token(61, 512, 64, 1) == 35_136
    assert memory.mla_kv_bytes_per_token(61, 512, 0) == 62_464


def test_resident_bytes_without_windows_are_the_whole_sequence():
    assert memory.resident_kv_bytes(8192, 106_496) == 8192 * 106_496


def test_resident_bytes_of_alternating_layers_stop_growing_in_the_windowed_half():
    per_layer = 4096  # 106_496 bytes over 26 layers
    assert (
        memory.resident_kv_bytes(8192, 106_496, n_layers=26, windowed_layers=13, window=4096)
        == 13 * per_layer * 8192 + 13 * per_layer * 4096
    )


def test_resident_bytes_below_the_window_do_not_notice_it():
    windowed = memory.resident_kv_bytes(100, 64, n_layers=4, windowed_layers=4, window=100)
    assert windowed == 6400
    assert memory.resident_kv_bytes(0, 64, n_layers=4, windowed_layers=4, window=100) == 0


def test_resident_bytes_with_every_layer_windowed_are_constant_beyond_the_window():
    sizes = {
        memory.resident_kv_bytes(seq, 131_072, n_layers=32, windowed_layers=32, window=4096)
        for seq in (4096, 4097, 100_000)
    }
    assert sizes == {4096 * 131_072}


@given(
    seq=st.integers(0, 10_000),
    layers=st.integers(1, 100),
    window=st.integers(1, 5000),
    data=st.data(),
)
def test_resident_bytes_count_layer_by_layer(seq, layers, window, data):
    windowed = data.draw(st.integers(0, layers))
    per_layer = 512
    by_hand = sum(
        per_layer * (min(seq, window) if layer < windowed else seq) for layer in range(layers)
    )
    assert by_hand == memory.resident_kv_bytes(
        seq, per_layer * layers, n_layers=layers, windowed_layers=windowed, window=window
    )


def test_cache_size_tells_gb_from_gib():
    assert memory.kv_cache_size(4096, 1, KV_70B_AS_MHA) == {
        "bytes": 10_737_418_240,
        "gb": 10.73741824,
        "gib": 10.0,
    }
    assert memory.kv_cache_size(4096, 1, KV_70B)["gib"] == 1.25


@pytest.mark.parametrize(("seq", "batch"), [(0, 5), (5, 0), (0, 0)])
def test_an_empty_cache_takes_nothing(seq, batch):
    assert memory.kv_cache_size(seq, batch, KV_70B) == {"bytes": 0, "gb": 0.0, "gib": 0.0}


@given(seq=st.integers(1, 10**6), batch=st.integers(1, 10**4), k=st.integers(1, 10**7))
def test_a_gib_is_seven_percent_more_than_a_gb(seq, batch, k):
    size = memory.kv_cache_size(seq, batch, k)
    assert size["bytes"] == seq * batch * k
    assert math.isclose(size["gb"] / size["gib"], 1.073741824, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("n_params", "bits", "gpu_bytes", "reserve", "expected"),
    [
        (PARAMS_70B, 16, 80 * GB, "0", 2),
        (PARAMS_70B, 8, 80 * GB, "0", 1),
        (PARAMS_70B, 4, 80 * GB, "0", 1),
        (405_853_388_800, 16, 80 * GB, "0", 11),
        (405_853_388_800, 8, 80 * GB, "0", 6),
        (80 * GB, 8, 80 * GB, "0", 1),  # an exact fit fits
        (80 * GB + 1, 8, 80 * GB, "0", 2),
        (72 * GB, 8, 80 * GB, "0.1", 1),
        (72 * GB, 8, 80 * GB, 0.1, 1),
        (72 * GB + 1, 8, 80 * GB, "0.1", 2),
        (1, 1, 1, 0, 1),
    ],
)
def test_least_number_of_gpus(n_params, bits, gpu_bytes, reserve, expected):
    assert memory.min_gpus(n_params, bits, gpu_bytes, reserve) == expected


@given(
    n_params=st.integers(1, 10**12),
    bits=st.sampled_from([4, 8, 16, "4.5", Fraction(33, 8)]),
    gpu_gb=st.integers(1, 200),
    percent=st.integers(0, 99),
)
def test_the_least_number_of_gpus_fits_and_one_fewer_does_not(n_params, bits, gpu_gb, percent):
    n = memory.min_gpus(n_params, bits, gpu_gb * GB, Fraction(percent, 100))
    weights = memory.weight_bytes(n_params, bits)
    assert n * gpu_gb * GB * (100 - percent) >= weights * 100
    assert (n - 1) * gpu_gb * GB * (100 - percent) < weights * 100


@pytest.mark.parametrize(("n_gpus", "expected"), [(1, 0), (2, 14), (4, 133), (8, 371)])
def test_users_at_4096_tokens_by_gpus(n_gpus, expected):
    assert users_70b(n_gpus) == expected


@pytest.mark.parametrize(("seq", "expected"), [(8192, 185), (32_768, 46), (131_072, 11)])
def test_users_on_eight_gpus_by_context(seq, expected):
    assert users_70b(seq=seq) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"reserve": "0.1"}, 324),
        ({"reserve": 0.1}, 324),
        ({"gpu_bytes": 80 * 2**30}, 406),
        ({"gpu_bytes": 80e9}, 371),
        ({"k": KV_70B_AS_MHA}, 46),
        ({"k": KV_70B_AS_MHA, "gpu_bytes": 80 * 2**30}, 50),
        ({"k": KV_70B_AS_MHA, "reserve": "0.1"}, 40),
        ({"k": KV_70B_AS_MHA, "seq": 8192}, 23),
        ({"k": KV_70B // 2}, 743),
        ({"k": KV_70B * 2}, 185),
        ({"k": KV_70B * 2, "seq": 8192}, 92),
        ({"n_gpus": 1, "weights": PARAMS_70B}, 7),
    ],
)
def test_users_under_other_conventions(change, expected):
    assert users_70b(**change) == expected


@given(
    users=st.integers(0, 10_000),
    k=st.integers(1, 10**6),
    seq=st.integers(1, 10**5),
    weights=st.integers(1, 10**12),
)
def test_users_are_exact_where_memory_is_a_whole_number_of_caches(users, k, seq, weights):
    total = weights + users * k * seq
    assert memory.max_users(1, total, weights, k, seq) == users
    assert memory.max_users(1, total * 1000, weights * 1000, k * 1000, seq) == users
    assert memory.max_users(1, total + k * seq - 1, weights, k, seq) == users
    assert memory.max_users(1, total + k * seq, weights, k, seq) == users + 1


def test_one_byte_too_few_is_noticed_where_doubles_no_longer_see_it():
    # The double nearest to 10**18 - 1 is 10**18.
    assert memory.max_users(1, 10**18 - 1, 0, 10**6, 10**3) == 10**9 - 1
    assert memory.max_users(1, 10**18, 0, 10**6, 10**3) == 10**9
    assert memory.min_gpus(10**18 + 1, 8, 10**18) == 2


@given(seq=st.integers(1, 10**5), longer=st.integers(0, 10**5))
def test_users_never_grow_with_context(seq, longer):
    assert users_70b(seq=seq) >= users_70b(seq=seq + longer)


@given(
    n_gpus=st.integers(1, 64),
    gpu_gb=st.integers(1, 200),
    weights=st.integers(0, 10**13),
    percent=st.integers(0, 99),
)
def test_the_pool_is_what_the_weights_leave(n_gpus, gpu_gb, weights, percent):
    pool = memory.kv_pool_bytes(n_gpus, gpu_gb * GB, weights, Fraction(percent, 100))
    assert pool == max(0, n_gpus * gpu_gb * (GB // 100) * (100 - percent) - weights)
    assert memory.max_users(n_gpus, gpu_gb * GB, weights, 1, 1000, Fraction(percent, 100)) == int(
        pool // 1000
    )


def test_the_pool_may_hold_a_fraction_of_a_byte():
    assert memory.kv_pool_bytes(1, 1, 0, "0.5") == 0.5


@pytest.mark.parametrize(
    ("gpu", "weights", "workspace", "kv", "expected"),
    [
        (32, 0, 0, "0.8", 40),
        (32, 0, 0, 0.8, 40),
        (80, 28, 8, "0.55", 80),
        (44, 0, 0, "0.55", 80),
        (33, 0, 0, 0.55, 60),
        (80, 70, 12, 1, 0),
        (80, 70, 10, 1, 0),
        ("0.3", "0.1", "0.1", "0.1", 1),
        (0, 0, 0, 1, 0),
    ],
)
def test_concurrency_from_decimal_gigabytes(gpu, weights, workspace, kv, expected):
    assert memory.max_concurrent(gpu, weights, workspace, kv) == expected


@given(
    requests=st.integers(0, 5000),
    kv_hundredths=st.integers(1, 500),
    weights=st.integers(0, 500),
    workspace=st.integers(0, 50),
)
def test_concurrency_is_exact_on_exact_multiples(requests, kv_hundredths, weights, workspace):
    room_hundredths = requests * kv_hundredths
    gpu = f"{(weights + workspace) * 100 + room_hundredths}e-2"
    kv = kv_hundredths / 100
    assert memory.max_concurrent(gpu, weights, workspace, kv) == requests


@pytest.mark.parametrize(
    ("lengths", "block", "expected"),
    [
        ([35, 18], 16, (5, 80, 0.3375)),
        ([4096], 16, (256, 4096, 0.0)),
        ([], 16, (0, 0, 0.0)),
        ([0, 0], 16, (0, 0, 0.0)),
        ([1], 256, (1, 256, 255 / 256)),
        ([3, 5, 7], 1, (15, 15, 0.0)),
        ((length for length in (16, 17)), 16, (3, 48, 0.3125)),
    ],
)
def test_paging_rounds_every_sequence_up(lengths, block, expected):
    assert memory.paged_blocks(lengths, block) == expected


@given(lengths=st.lists(st.integers(0, 5000), max_size=50), block=st.integers(1, 300))
def test_paging_wastes_less_than_one_block_a_sequence(lengths, block):
    blocks, allocated, waste = memory.paged_blocks(lengths, block)
    empty = allocated - sum(lengths)
    stored = sum(length > 0 for length in lengths)
    assert blocks * block == allocated
    assert 0 <= empty <= stored * (block - 1)
    assert 0 <= waste < 1
    assert math.isclose(waste * allocated, empty, abs_tol=1e-9)


@pytest.mark.parametrize("block", [1, 2, 16, 100])
def test_expected_waste_is_the_mean_over_all_fills_of_the_last_block(block):
    empty = [memory.paged_blocks([length], block)[1] - length for length in range(1, block + 1)]
    assert memory.expected_paging_waste_tokens(block) == sum(empty) / block


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n_params", lambda: memory.weight_bytes(0, 16)),
        ("n_params", lambda: memory.weight_bytes(True, 16)),
        ("bits", lambda: memory.weight_bytes(1, 0)),
        ("bits", lambda: memory.weight_bytes(1, "many")),
        ("n_layers", lambda: memory.kv_bytes_per_token(0, 8, 128)),
        ("n_kv_heads", lambda: memory.kv_bytes_per_token(80, 0, 128)),
        ("head_dim", lambda: memory.kv_bytes_per_token(80, 8, 0)),
        ("head_dim", lambda: memory.kv_bytes_per_token(80, 8, 1.5)),
        ("bytes_per_elem", lambda: memory.kv_bytes_per_token(80, 8, 128, 0)),
        ("bytes_per_elem", lambda: memory.kv_bytes_per_token(80, 8, 128, float("nan"))),
        ("n_layers", lambda: memory.mla_kv_bytes_per_token(0, 512, 64)),
        ("kv_lora_rank", lambda: memory.mla_kv_bytes_per_token(61, 0, 64)),
        ("rope_head_dim", lambda: memory.mla_kv_bytes_per_token(61, 512, -1)),
        ("bytes_per_elem", lambda: memory.mla_kv_bytes_per_token(61, 512, 64, -2)),
        ("seq", lambda: memory.resident_kv_bytes(-1, 10)),
        ("k", lambda: memory.resident_kv_bytes(1, 0)),
        ("n_layers", lambda: memory.resident_kv_bytes(1, 1, n_layers=0)),
        (
            "windowed_layers",
            lambda: memory.resident_kv_bytes(1, 1, n_layers=2, windowed_layers=3, window=1),
        ),
        ("window", lambda: memory.resident_kv_bytes(1, 1, n_layers=2, windowed_layers=1)),
        (
            "window",
            lambda: memory.resident_kv_bytes(1, 1, n_layers=2, windowed_layers=1, window=0),
        ),
        ("seq", lambda: memory.kv_cache_size(-1, 1, 1)),
        ("batch", lambda: memory.kv_cache_size(1, -1, 1)),
        ("k", lambda: memory.kv_cache_size(1, 1, 0)),
        ("n_params", lambda: memory.min_gpus(0, 16, GB)),
        ("bits", lambda: memory.min_gpus(1, -1, GB)),
        ("gpu_bytes", lambda: memory.min_gpus(1, 16, 0)),
        ("reserve", lambda: memory.min_gpus(1, 16, GB, 1)),
        ("reserve", lambda: memory.min_gpus(1, 16, GB, "-0.1")),
        ("n_gpus", lambda: memory.max_users(0, GB, 0, 1, 1)),
        ("gpu_bytes", lambda: memory.max_users(1, 0, 0, 1, 1)),
        ("weight_bytes", lambda: memory.max_users(1, GB, -1, 1, 1)),
        ("k", lambda: memory.max_users(1, GB, 0, 0, 1)),
        ("seq", lambda: memory.max_users(1, GB, 0, 1, 0)),
        ("reserve", lambda: memory.max_users(1, GB, 0, 1, 1, "1")),
        ("n_gpus", lambda: memory.kv_pool_bytes(0, GB, 0)),
        ("gpu_gb", lambda: memory.max_concurrent(-1, 0, 0, 1)),
        ("weights_gb", lambda: memory.max_concurrent(1, -1, 0, 1)),
        ("workspace_gb", lambda: memory.max_concurrent(1, 0, -1, 1)),
        ("kv_gb", lambda: memory.max_concurrent(1, 0, 0, 0)),
        ("kv_gb", lambda: memory.max_concurrent(1, 0, 0, None)),
        ("block", lambda: memory.paged_blocks([1], 0)),
        ("lengths", lambda: memory.paged_blocks(5, 16)),
        ("lengths", lambda: memory.paged_blocks("55", 16)),
        (r"lengths\[1\]", lambda: memory.paged_blocks([1, -1], 16)),
        ("block", lambda: memory.expected_paging_waste_tokens(0)),
    ],
)
def test_bad_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        call()
