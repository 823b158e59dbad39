"""Fit what engines reach of a data sheet to the measured figures, and store it.

Reads the figures beside this file (``measured_data``), fits the coefficients of
`servemath_helpers.achieved` to all of them at once, and writes ``data/achieved.json``:

    python benchmarks/fit_roofline.py [--write]

Without ``--write`` it fits once and says how near it comes; holding out takes twenty fits more.

A coefficient is a pooled value times factors for the accelerator, its architecture, the engine
and its release as far as they matter for it. Closed loops are fitted all at once; the single
batches, of one accelerator with an engine of 2023, then say what is theirs. Factors are held
near 1 unless the measurements insist (ridge on their logarithms), so that what was not
measured falls back to the pooled value. Times count by the logarithm of predicted over
measured; residuals of times to first token, which depend on settings that nobody wrote down,
saturate.

What is stored beside each coefficient is its range when every model on every accelerator and
engine is left out in turn. The bands come from the rows so left out ("not fitted"), and from
rows left out by settings ("fitted"): neither was seen by the fit that predicts it. How far
rows so left out are off, and how many fall into the wider band, is stored too ("left_out").
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy.optimize import least_squares

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common.measured_rows import BatchRow, LoopRow, read_batches, read_loops
from servemath_helpers.achieved import Coefficients
from servemath_helpers.closedloop import loop_times
from servemath_helpers.sim import AchievedStep

DATA = Path(__file__).parent / "measured_data"
STORED = Path(__file__).parents[1] / "servemath_helpers" / "data" / "achieved.json"
SOURCES = [
    "ai-dynamo/aiconfigurator, silicon_sample.csv (mode agg), Apache-2.0",
    "Mutinifni/splitwise-sim, data/perf_model.csv, MIT",
]
ARCHITECTURES = {
    "A100-80GB-SXM": "Ampere",
    "A100-80GB-PCIe": "Ampere",
    "A100-40GB-SXM": "Ampere",
    "A100-40GB-PCIe": "Ampere",
    "H100-SXM": "Hopper",
    "H100-PCIe": "Hopper",
    "H200-SXM": "Hopper",
    "B200-SXM": "Blackwell",
    "B300-SXM": "Blackwell",
    "GB200": "Blackwell",
}
#: The engine of the single batches, of 2023: its host launches every kernel anew.
OLD_ENGINE = "splitwise-2023"
ENGINES = ("vllm", "trtllm", "sglang", OLD_ENGINE)

SHARE, SECONDS, FACTOR = "share", "s", "factor"


@dataclass(frozen=True)
class Prior:
    """Where a coefficient is sought: value, spread of its logarithm, spreads of its factors."""

    value: float
    spread: float
    unit: str
    meaning: str
    by: tuple[tuple[str, float], ...] = ()


PRIORS = {
    "weight_bandwidth": Prior(
        0.8, 0.3, SHARE, "of the memory bandwidth, reading weights", (("accelerator", 0.05),)
    ),
    "cache_bandwidth": Prior(
        0.7, 0.3, SHARE, "of the memory bandwidth, reading the cache", (("engine", 0.2),)
    ),
    "expert_bandwidth": Prior(
        0.7,
        0.3,
        SHARE,
        "of the bandwidth for weights, reading routed experts",
        (("engine", 0.2), ("release", 0.3)),
    ),
    **{
        f"mfu_{fmt}": Prior(
            value,
            0.3,
            SHARE,
            f"of the dense {fmt} peak, linear layers",
            (("engine", 0.15), ("architecture", 0.15)) if fmt == "bf16" else (),
        )
        for fmt, value in (("bf16", 0.6), ("fp8", 0.6), ("fp4", 0.5))
    },
    "mfu_attention": Prior(0.4, 0.5, SHARE, "of the dense bf16 peak, attention of prompts"),
    "mfu_experts": Prior(0.4, 0.5, SHARE, "of the dense peak, routed experts", (("engine", 0.3),)),
    "link_bandwidth": Prior(0.6, 0.3, SHARE, "of the links' bandwidth in one direction"),
    "all_reduce_s": Prior(3e-6, 0.5, SECONDS, "an all-reduce besides its bytes"),
    "all_to_all_s": Prior(1e-5, 1.0, SECONDS, "an all-to-all besides its bytes"),
    "step_s": Prior(1e-3, 1.0, SECONDS, "an iteration, whatever it does", (("engine", 0.7),)),
    "layer_s": Prior(
        4e-5,
        1.0,
        SECONDS,
        "a layer, whatever it does",
        (("engine", 0.3), ("architecture", 0.2)),
    ),
    "expert_layer_s": Prior(
        4e-5,
        1.0,
        SECONDS,
        "a layer with experts, on top",
        (("engine", 0.3), ("release", 1.0)),
    ),
    "sequence_s": Prior(2e-5, 1.0, SECONDS, "a decoding sequence", (("engine", 0.3),)),
    "host_layer_s": Prior(
        1e-6, 1e-3, SECONDS, "launching a layer: no iteration is shorter", (("engine", 5.0),)
    ),
    "first_s": Prior(2e-2, 1.0, SECONDS, "a first token besides its prompt", (("engine", 0.5),)),
    "request_s": Prior(5e-4, 1.0, SECONDS, "each other request in the loop", (("engine", 0.3),)),
    "late_steps": Prior(
        1.0, 0.5, FACTOR, "decode steps that a first token waits besides", (("engine", 0.5),)
    ),
    "burst": Prior(0.05, 0.2, SHARE, "of the others' prompts that a prompt waits for"),
    "late_slot": Prior(
        0.02,
        1.0,
        SHARE,
        "of a stay, divided by the requests in flight, waited for a slot",
        (("release", 2.0),),
    ),
}

#: An engine that reaches more of one peak reaches more of the others: factors are the same.
SHARING = ("mfu_fp8", "mfu_fp4")

Row = LoopRow | BatchRow
TPOT_SCALE, TTFT_SCALE = 0.08, 0.15


def keys_of(row: Row) -> dict[str, str]:
    """Return the keys of the factors that count for a row."""
    chip = row.deployment.accelerator.name
    engine = OLD_ENGINE if isinstance(row, BatchRow) else str(row.engine)
    release = "" if isinstance(row, BatchRow) else row.release
    return {
        "accelerator": chip,
        "architecture": ARCHITECTURES.get(chip, chip),
        "engine": engine,
        "release": f"{engine} {release}",
    }


def times(row: Row, step: AchievedStep, reached: Coefficients) -> tuple[float, float]:
    """Return predicted over measured: a token's time, and that of the first token or prompt."""
    if isinstance(row, LoopRow):
        first, token, _ = loop_times(
            row.deployment, step, reached, row.prompt, row.output, row.concurrency, row.engine
        )
        return token / row.tpot_s, first / row.ttft_s
    context = row.batch * (row.prompt + row.output / 2)
    token = step.iteration_s(row.batch, context, 0, 0)  # type: ignore[arg-type]
    first = step.iteration_s(0, 0, row.batch * row.prompt, row.batch * row.prompt**2 / 2)
    return token / row.step_s, first / row.prefill_s


def saturating(residual: np.ndarray, rho: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return residuals whose squares are rho of the squares."""
    return np.sign(residual) * np.sqrt(rho(residual**2))


def _soft(square: np.ndarray) -> np.ndarray:
    return 2 * (np.sqrt(1 + square) - 1)


Name = tuple[str, str, str]  # coefficient, kind of key, key; the latter empty for the pooled value

#: What single batches are fitted with: their accelerator, and their engine of 2023.
OF_BATCHES: tuple[Name, ...] = (
    ("weight_bandwidth", "accelerator", "A100-80GB-SXM"),
    ("mfu_bf16", "architecture", "Ampere"),
    ("cache_bandwidth", "engine", OLD_ENGINE),
    ("host_layer_s", "engine", OLD_ENGINE),
)


class Fit:
    """The coefficients that predict some rows best, the others of a fit held as they are."""

    def __init__(
        self, rows: Sequence[Row], names: Sequence[Name] | None = None, base: Fit | None = None
    ) -> None:
        self.rows = rows
        self.keys = [keys_of(row) for row in rows]
        # Rows of one deployment and one set of keys share a step.
        self.kinds = [tuple(keys.values()) for keys in self.keys]
        self.steps = [
            (id(row.deployment), kind) for row, kind in zip(rows, self.kinds, strict=True)
        ]
        self.base = base
        self.names = list(names or self._all_names())
        spreads = {(n, k): s for n, prior in PRIORS.items() for k, s in prior.by}
        self.centre = np.array(
            [np.log(PRIORS[name].value) if not kind else 0.0 for name, kind, _ in self.names]
        )
        self.spread = np.array(
            [spreads.get((name, kind), PRIORS[name].spread) for name, kind, _ in self.names]
        )
        begin = self.centre.copy()
        for index, (name, _, _) in enumerate(self.names):
            if name == "host_layer_s" and base is not None:
                # A floor that nothing touches has no slope: begin where it is felt.
                begin[index] = np.log(500)
        self.touched = {
            (kind, key): np.array([keys[kind] == key for keys in self.keys])
            for _, kind, key in self.names
            if kind
        }
        self.x = self._solve(begin)

    def _all_names(self) -> list[Name]:
        """Return a parameter for each pooled value, and for each factor that a row asks for."""
        names: list[Name] = [(name, "", "") for name in PRIORS]
        for name, prior in PRIORS.items():
            for kind, _ in prior.by:
                names += [(name, kind, key) for key in sorted({k[kind] for k in self.keys})]
        return names

    def table(self, x: np.ndarray | None = None) -> dict[str, Any]:
        """Return the coefficients as they are stored."""
        base = {} if self.base is None else self.base.table()
        found: dict[str, Any] = {
            name: {**entry, "by": {kind: dict(keys) for kind, keys in entry["by"].items()}}
            for name, entry in base.items()
        }
        for (name, kind, key), value in zip(self.names, self.x if x is None else x, strict=True):
            if not kind:
                found[name] = {"value": float(np.exp(value)), "by": {}}
            else:
                found[name]["by"].setdefault(kind, {})[key] = float(np.exp(value))
        for name in SHARING:
            found[name]["by"] = found["mfu_bf16"]["by"]
        return found

    def _times(self, x: np.ndarray) -> np.ndarray:
        table = self.table(x)
        reached: dict[tuple[str, ...], Coefficients] = {}
        made: dict[object, AchievedStep] = {}
        ratios = []
        for row, keys, kind, name in zip(self.rows, self.keys, self.kinds, self.steps, strict=True):
            if kind not in reached:
                reached[kind] = Coefficients.resolve(table, keys)
            if name not in made:
                made[name] = AchievedStep.on(row.deployment, reached[kind])
            ratios.append(times(row, made[name], reached[kind]))
        return np.log(np.array(ratios))

    def _residuals(self, x: np.ndarray) -> np.ndarray:
        logs = self._times(x)
        return np.concatenate(
            (
                saturating(logs[:, 0] / TPOT_SCALE, _soft),
                saturating(logs[:, 1] / TTFT_SCALE, np.log1p),
                (x - self.centre) / self.spread,
            )
        )

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        """Return differences; factors with different keys touch different rows, so move at once."""
        base = self._residuals(x)
        jacobian = np.zeros((base.size, x.size))
        step = 1e-4
        together: dict[tuple[str, str], list[int]] = {}
        for index, (name, kind, _) in enumerate(self.names):
            together.setdefault((name, kind), []).append(index)
        n = len(self.rows)
        for (_, kind), columns in together.items():
            moved = x.copy()
            moved[columns] += step
            slope = (self._residuals(moved) - base) / step
            for column in columns:
                key = self.names[column][2]
                mine = self.touched[kind, key] if kind else np.ones(n, dtype=bool)
                jacobian[: 2 * n, column] = np.where(np.tile(mine, 2), slope[: 2 * n], 0.0)
                jacobian[2 * n + column, column] = 1 / self.spread[column]
        return jacobian

    def _solve(self, begin: np.ndarray) -> np.ndarray:
        return least_squares(
            self._residuals,
            begin,
            jac=self._jacobian,
            x_scale=np.clip(self.spread, 0.05, 0.5),
            ftol=1e-3,
            xtol=1e-3,
            max_nfev=40,
        ).x

    def errors(self, rows: Iterable[Row]) -> np.ndarray:
        """Return the logarithms of predicted over measured of other rows."""
        table = self.table()
        ratios = []
        for row in rows:
            reached = Coefficients.resolve(table, keys_of(row))
            ratios.append(times(row, AchievedStep.on(row.deployment, reached), reached))
        return np.log(np.array(ratios))


def folds(rows: Sequence[Row], key: Callable[[Row], object]) -> list[list[int]]:
    """Return the indices of rows with each key."""
    groups: dict[object, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(key(row), []).append(index)
    return list(groups.values())


def held_out(
    rows: Sequence[Row], groups: list[list[int]]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the errors of each group under a fit to all others, and the tables of those fits."""
    errors = np.zeros((len(rows), 2))
    fits = []
    with ProcessPoolExecutor(2) as pool:
        for group, (fit, found) in zip(
            groups, pool.map(_without, [rows] * len(groups), groups), strict=True
        ):
            errors[group] = found
            fits.append(fit)
            print(".", end="", file=sys.stderr, flush=True)
    return errors, fits


def _without(rows: Sequence[Row], group: list[int]) -> tuple[dict[str, Any], np.ndarray]:
    """Return the table of a fit without a group, and the errors of the group under it."""
    left = set(group)
    fit = Fit([row for index, row in enumerate(rows) if index not in left])
    return fit.table(), fit.errors([rows[index] for index in group])


def combination(row: Row) -> object:
    """Return model, accelerator and engine of a row."""
    if isinstance(row, LoopRow):
        return row.measured_as
    return row.deployment.model.name, row.deployment.accelerator.name, OLD_ENGINE


def settings(row: Row) -> object:
    """Return one of five folds, the same for a setting at all concurrencies."""
    tp, copies = row.deployment.tensor_parallel, row.deployment.attention_dp
    return (hash((row.prompt, row.output)) + 7 * tp + 3 * copies) % 5


def band(errors: np.ndarray, weights: np.ndarray) -> list[float]:
    """Return the factors between which 80 % of measured over predicted lie."""
    order = np.argsort(-errors)  # measured over predicted is exp(-error), ascending
    share = np.cumsum(weights[order]) / weights.sum()
    return [float(np.exp(-np.interp(q, share, errors[order]))) for q in (0.1, 0.9)]


def usable(row: Row) -> bool:
    """Whether a row is one of a steady loop.

    Nine rows with 512 requests in flight report the token times of a batch of four to eight
    while their first tokens take minutes: something else held the requests back.
    """
    return not isinstance(row, LoopRow) or row.concurrency < 512


def load() -> tuple[list[Row], list[Row]]:
    """Return the loops and the single batches to fit, each once."""
    loops = dict.fromkeys(row for row in read_loops(DATA / "closed_loop.csv") if usable(row))
    batches: dict[tuple[object, ...], list[BatchRow]] = {}
    for row in read_batches(DATA / "splitwise_a100.csv"):
        batches.setdefault((row.deployment, row.prompt, row.output, row.batch), []).append(row)
    # Repetitions count once, by the run in the middle.
    middle = [sorted(runs, key=lambda r: r.step_s)[len(runs) // 2] for runs in batches.values()]
    return list(loops), list(middle)


def report(title: str, rows: Sequence[Row], errors: np.ndarray) -> None:
    """Print the median errors of each combination."""
    print(f"\n{title}: median absolute error of token and first-token times, rows")
    apart = np.abs(np.expm1(errors))
    for group in folds(rows, combination):
        tpot, ttft = np.median(apart[group], axis=0)
        print(f"  {combination(rows[group[0]])!s:60} {tpot:6.1%} {ttft:6.1%} {len(group):5d}")
    experts = np.array([row.deployment.model.n_experts > 0 for row in rows])
    for name, chosen in (("dense", ~experts), ("experts", experts)):
        if chosen.any():
            tpot, ttft = np.median(apart[chosen], axis=0)
            print(f"  {name:60} {tpot:6.1%} {ttft:6.1%} {chosen.sum():5d}")


def main() -> None:
    """Fit, report, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"hold out, and write {STORED.name}")
    arguments = parser.parse_args()
    start = perf_counter()
    rows, batches = load()
    loops = Fit(rows)
    report("Fitted", rows, loops.errors(rows))
    fit = Fit(batches, OF_BATCHES, loops)
    report("Fitted, single batches", batches, fit.errors(batches))
    if not arguments.write:
        return
    apart, others = held_out(rows, folds(rows, combination))
    report("Model, accelerator and engine left out", rows, apart)
    within, _ = held_out(rows, folds(rows, settings))
    report("Settings left out", rows, within)

    table = fit.table()
    for name, entry in table.items():
        prior = PRIORS[name]
        values = [entry["value"], *(other[name]["value"] for other in others)]
        entry |= {"spread": [min(values), max(values)]}
        entry |= {"unit": prior.unit, "meaning": prior.meaning}
    groups = {index: len(group) for group in folds(rows, combination) for index in group}
    weights = np.array([groups[index] ** -0.5 for index in range(len(rows))])
    experts = np.array([row.deployment.model.n_experts > 0 for row in rows])
    bands: dict[str, Any] = {}
    left_out: dict[str, Any] = {}
    for column, quantity in enumerate(("tpot", "ttft")):
        for kind, chosen in (("dense", ~experts), ("experts", experts)):
            near, far = (errors[chosen, column] for errors in (within, apart))
            narrow, wide = (band(errors, weights[chosen]) for errors in (near, far))
            bands.setdefault(quantity, {})[kind] = {"fitted": narrow, "not fitted": wide}
            left_out.setdefault(quantity, {})[kind] = {
                "median_abs_err": float(np.median(np.abs(np.expm1(far)))),
                "inside": float(np.mean((wide[0] <= np.exp(-far)) & (np.exp(-far) <= wide[1]))),
            }
    stored = {
        "about": "What engines reach of a data sheet, fitted by benchmarks/fit_roofline.py.",
        "sources": SOURCES,
        "fitted_on": date.today().isoformat(),
        "rows": len(rows) + len(batches),
        "engines": list(ENGINES),
        "architectures": ARCHITECTURES,
        "fitted": sorted({row.measured_as for row in rows if isinstance(row, LoopRow)}),
        "bands": bands,
        "left_out": left_out,
        "coefficients": table,
    }
    print(json.dumps(bands, indent=1))
    print(json.dumps(left_out, indent=1))
    print(f"{stored['rows']} rows, {perf_counter() - start:.0f} s")
    STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
