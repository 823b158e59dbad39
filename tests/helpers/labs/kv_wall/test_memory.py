"""The memory of lab 3: plans, states, pages."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import facts
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall.memory import MemorySetup, plan

setups = st.builds(
    MemorySetup,
    model=st.sampled_from([name for _, name in room.MODELS]),
    n_gpus=st.sampled_from([1, 2, 4, 8]),
    seq_tokens=st.integers(1, 64).map(lambda i: 512 * i),
    bits=st.sampled_from([16, 8, 4]),
    kv_bits=st.sampled_from([16, 8]),
    reserve=st.sampled_from(["0", "0.05", "0.1"]),
    units=st.sampled_from(["GB", "GiB"]),
    page_tokens=st.sampled_from(room.PAGES),
)


@given(setups)
def test_the_users_are_what_the_pool_holds_and_not_one_more(setup):
    found = plan(setup)
    each = found.k * setup.seq_tokens
    free = setup.n_gpus * setup.gpu_bytes * (1 - Fraction(setup.reserve)) - found.weight_bytes
    assert found.fits == (free >= 0)
    if found.fits:
        assert found.users * each <= free < (found.users + 1) * each
    else:
        assert found.users == 0 and found.pool_bytes == 0


@given(setups)
def test_the_pieces_of_a_card_add_up_to_the_card(setup):
    found = plan(setup)
    pieces = (
        found.gpu_weights_bytes
        + found.gpu_kv_bytes
        + found.gpu_free_bytes
        + found.gpu_reserve_bytes
    )
    assert found.gpu_kv_bytes * setup.n_gpus == pytest.approx(found.users * found.user_bytes)
    if found.fits:
        assert pieces == pytest.approx(setup.gpu_bytes, rel=1e-12)
        assert 0 <= found.gpu_free_bytes * setup.n_gpus < found.user_bytes * (1 + 1e-9)
    else:
        assert pieces > setup.gpu_bytes * (1 - 1e-12)


@given(setups)
def test_a_longer_context_never_makes_room_for_more(setup):
    longer = replace(setup, seq_tokens=setup.seq_tokens + 512)
    assert plan(longer).users <= plan(setup).users


@pytest.mark.parametrize(
    ("change", "users"),
    [
        ({}, 371),
        ({"seq_tokens": 8192}, 185),
        ({"model": "Llama-3-70B as MHA"}, 46),
        ({"kv_bits": 8}, 743),
        ({"reserve": "0.1"}, 324),
        ({"units": "GiB"}, 406),
        ({"n_gpus": 4}, 133),
        ({"n_gpus": 2}, 14),
        ({"n_gpus": 1}, 0),
        ({"n_gpus": 1, "bits": 8}, 7),
    ],
)
def test_the_numbers_of_the_chapter_come_out(change, users):
    assert plan(MemorySetup(**change)).users == users


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "viable"),
        ({"n_gpus": 1}, "oom"),
        ({"model": "Llama-3.1-405B"}, "oom"),
        ({"model": "Llama-3.1-405B", "bits": 8}, "viable"),
        ({"n_gpus": 2, "seq_tokens": 32_768}, "few"),
        ({"n_gpus": 2, "seq_tokens": 6144}, "few"),  # nine
        ({"n_gpus": 2, "seq_tokens": 5632}, "viable"),  # ten
        ({"n_gpus": 2, "seq_tokens": 32_768, "model": "Llama-3-70B as MHA"}, "none"),
    ],
)
def test_every_state_of_the_wall_can_be_reached(change, state):
    assert plan(MemorySetup(**change)).state == state


def test_the_least_number_of_cards_is_named():
    assert plan(MemorySetup(model="Llama-3.1-405B")).min_gpus == 11


def test_amounts_are_shown_in_the_unit_that_was_chosen():
    assert plan(MemorySetup()).in_units(10**9) == 1
    assert plan(MemorySetup(units="GiB")).in_units(2**30) == 1


def test_every_model_to_choose_from_is_known():
    for _, name in room.MODELS:
        assert room.model_of(name).name == name
    assert room.gpu_of() == facts.get_accelerator(room.GPU)


def test_users_against_context_fall_with_slope_minus_one():
    tokens, users = room.users_by_context(MemorySetup())
    assert tokens[0] == 512 and tokens[-1] == 131_072
    products = [t * u for t, u in zip(tokens, users, strict=True)]
    assert max(products) == pytest.approx(min(products), rel=1e-12)


def test_users_against_context_are_zero_where_the_weights_do_not_fit():
    assert set(room.users_by_context(MemorySetup(n_gpus=1))[1]) == {0.0}


def test_larger_pages_waste_more_and_the_whole_context_most():
    rows = room.page_waste(MemorySetup())
    wastes = [row.waste for row in rows]
    assert wastes == sorted(wastes) and wastes[0] == 0
    assert [row.page_tokens for row in rows] == [1, 16, 64, 256, 4096]
    # A quarter of the context is used on average, a little less because of the cap.
    assert 0.75 < wastes[-1] < 0.77
    users = [row.users for row in rows]
    assert users == sorted(users, reverse=True) and users[-1] == plan(MemorySetup()).users


def test_pages_of_a_pool_without_room_hold_nobody():
    assert {row.users for row in room.page_waste(MemorySetup(n_gpus=1))} == {0}


def test_a_setup_is_read_from_a_mapping_that_holds_more():
    settings = {**{f: getattr(MemorySetup(), f) for f in MemorySetup.__dataclass_fields__}, "x": 1}
    assert MemorySetup.of(settings) == MemorySetup()
