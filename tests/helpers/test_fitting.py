"""The fit of a step time against every subset of columns, and against rows that it made."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

from servemath_helpers import fitting

TRUTH = (8e-3, 1e-4, 4e-5, 2e-8)


def log(n, truth=TRUTH, noise=0.0, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        decode, prefill = int(rng.integers(0, 64)), int(rng.integers(0, 4) * 256)
        context = int(decode * rng.integers(100, 3000))
        step = np.dot(truth, (1, decode, prefill, context)) * np.exp(noise * rng.normal())
        rows.append(
            {"decode": decode, "prefill": prefill, "context": context, "step_s": float(step)}
        )
    return rows


def table(rows):
    columns = np.array([[1.0, row["decode"], row["prefill"], row["context"]] for row in rows])
    return columns, np.array([row["step_s"] for row in rows])


def coefficients(fit):
    return [fit[f"{name}_s"] for name in ("base", "per_decode", "per_prefill", "per_context")]


def test_exact_rows_give_back_what_made_them():
    fit = fitting.fit_step(log(40))
    assert coefficients(fit) == pytest.approx(TRUTH, rel=1e-6)
    assert fit["train_error"] == pytest.approx(0, abs=1e-9)
    assert fit["held_out_error"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_noisy_rows_give_what_another_solver_finds(seed):
    rows = log(60, noise=0.2, seed=seed)
    columns, seconds = table(rows)
    scaled = columns / seconds[:, None]
    norm = np.linalg.norm(scaled[::2], axis=0)
    wanted = nnls(scaled[::2] / norm, np.ones(30))[0] / norm
    fit = fitting.fit_step(rows)
    assert coefficients(fit) == pytest.approx(wanted.tolist(), rel=1e-6, abs=1e-14)
    off = np.abs(scaled @ wanted - 1)
    assert fit["train_error"] == pytest.approx(np.median(off[::2]))
    assert fit["held_out_error"] == pytest.approx(np.median(off[1::2]))


def test_a_coefficient_that_would_be_negative_is_left_out_and_the_rest_fitted_again():
    rows = log(20, truth=(0.02, -1e-4, 4e-5, 1e-7))
    columns, seconds = table(rows)
    scaled = (columns / seconds[:, None])[::2]
    free = np.linalg.lstsq(scaled, np.ones(10), rcond=None)[0]
    assert free.min() < 0
    fit = fitting.fit_step(rows)
    found = np.array(coefficients(fit))
    assert found[1] == 0.0
    loss = ((scaled @ found - 1) ** 2).sum()
    clipped = ((scaled @ np.maximum(free, 0) - 1) ** 2).sum()
    assert loss < clipped
    for count, one in itertools.product((0.99, 1.01), (0, 2, 3)):
        near = found * np.where(np.arange(4) == one, count, 1.0)
        assert ((scaled @ near - 1) ** 2).sum() >= loss


def test_a_column_of_zeros_costs_nothing():
    rows = [{**row, "prefill": 0} for row in log(12, truth=(8e-3, 1e-4, 0, 2e-8))]
    assert fitting.fit_step(rows)["per_prefill_s"] == 0.0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (log(7), "rows must be at least 8, got 7"),
        ([*log(8), {"decode": 1}], r"rows\[8\] must have the fields"),
        ([*log(8), 3], r"rows\[8\] must have the fields"),
        ([*log(8), {**log(1)[0], "step_s": 0}], r"rows\[8\] step_s must be"),
        ([*log(8), {**log(1)[0], "context": -1}], r"rows\[8\] context must be"),
    ],
)
def test_logs_that_cannot_be_fitted(rows, words):
    with pytest.raises(ValueError, match=words):
        fitting.fit_step(rows)
