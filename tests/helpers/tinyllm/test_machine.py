from itertools import chain, count, repeat

import pytest

from servemath_helpers.tinyllm.machine import Machine, last_cache_bytes, measure_machine


def test_the_best_of_five_counts_and_the_spread_is_told():
    # A start and an end each: five copies, one of which takes twice as long, five products.
    ticks = chain.from_iterable(zip(repeat(0.0), [1, 2, 1, 1, 1, 4, 4, 4, 4, 4], strict=False))
    found = measure_machine(lambda: next(ticks), copy_bytes=100, n=4)
    assert found.bw_runs == (200, 100, 200, 200, 200) and found.bw_Bps == 200
    assert found.flops == 2 * 4**3 / 4
    assert found.spread == 0.5
    assert "NumPy" in found.name


def test_the_copy_is_four_times_the_last_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("servemath_helpers.tinyllm.machine.last_cache_bytes", lambda: 2**24)
    found = measure_machine(count().__next__, n=2)
    assert found.bw_Bps == 2 * 4 * 2**24


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"index0": "32K", "index3": "32768K"}, 2**25),
        ({"index0": "48K", "index2": "2M"}, 2**21),
        ({"index0": "what?"}, 2**25),
        ({}, 2**25),
    ],
)
def test_the_last_cache_is_that_of_the_highest_number(tmp_path, sizes, expected):
    for index, size in sizes.items():
        (tmp_path / index).mkdir()
        (tmp_path / index / "size").write_text(f"{size}\n")
    assert last_cache_bytes(tmp_path) == expected


@pytest.mark.parametrize("runs", [(), (0,), (1, -1), "fast"])
def test_a_machine_has_speeds(runs):
    with pytest.raises(ValueError, match="bw_runs"):
        Machine(name="m", bw_runs=runs, flops_runs=(1,))
