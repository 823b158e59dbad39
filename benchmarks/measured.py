"""How far predictions are from measured engines, file by file.

    python benchmarks/measured.py [--data FOLDER] [--json]

Reads every file of these kinds in the folder (default: the figures kept beside this file,
see their README) and takes the kind from the name:

``closed_loop*.csv``
    closed loops, predicted by `closedloop.closed_loop` with the stored coefficients alone;
``splitwise*.csv``
    single batches, predicted by the iteration time with the coefficients of that engine;
``vllm_*.csv`` with a ``.json`` of the same name
    runs of vLLM, to which the simulator is calibrated, block by block held out.

Nothing is fitted to closed loops or single batches here. Errors are predicted over measured
less 1; medians are of their absolute values. The bands are those that `closed_loop` prints.
With ``--json`` the last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common.measured_rows import BatchRow, LeftOut, LoopRow, read_batches, read_loops
from servemath_helpers import achieved
from servemath_helpers.closedloop import closed_loop
from servemath_helpers.sim import (
    AchievedStep,
    LinearStep,
    LLMServer,
    calibrate,
    load_measurement_csv,
)

DATA = Path(__file__).parent / "measured_data"
OLD_ENGINE = "splitwise-2023"
ENGINES = ("vllm", "trtllm", "sglang")


@dataclass(frozen=True)
class Compared:
    """One row's predictions beside its measurements."""

    group: str
    engine: str | None
    experts: bool
    tpot_s: tuple[float, float]  # measured, predicted
    tpot_error: float
    ttft_error: float
    tpot_inside: bool
    ttft_inside: bool


def compare_loop(row: LoopRow) -> Compared:
    """Predict one point of a closed loop; of an engine that nobody measured, with the mean."""
    loop = closed_loop(
        row.deployment,
        row.prompt,
        row.output,
        row.concurrency,
        engine=row.engine if row.engine in ENGINES else None,
        release=row.release,
    )
    return Compared(
        group=" ".join(map(str, row.measured_as)),
        engine=row.engine,
        experts=row.experts,
        tpot_s=(row.tpot_s, loop.tpot_s),
        tpot_error=loop.tpot_s / row.tpot_s - 1,
        ttft_error=loop.ttft_s / row.ttft_s - 1,
        tpot_inside=loop.tpot_band_s[0] <= row.tpot_s <= loop.tpot_band_s[1],
        ttft_inside=loop.ttft_band_s[0] <= row.ttft_s <= loop.ttft_band_s[1],
    )


def compare_batch(row: BatchRow) -> tuple[str, float, float]:
    """Predict one single batch: what it is, and the errors of a step and of the prompts."""
    chip = row.deployment.accelerator.name
    step = AchievedStep.on(row.deployment, achieved.coefficients(chip, OLD_ENGINE))
    context = round(row.batch * (row.prompt + row.output / 2))
    token_s = step.iteration_s(row.batch, context, 0, 0)
    prompts = row.batch * row.prompt
    first_s = step.iteration_s(0, 0, prompts, prompts * row.prompt / 2)
    what = f"{row.deployment.model.name} {chip} TP {row.deployment.tensor_parallel}"
    return what, token_s / row.step_s - 1, first_s / row.prefill_s - 1


def settings_path(run: Path) -> Path:
    """Return where the settings of a run of vLLM are."""
    return run.with_name(run.name.removesuffix(".gz").removesuffix(".csv") + ".json")


def settings_of(run: Path) -> dict[str, Any]:
    """Return the settings of a run of vLLM."""
    path = settings_path(run)
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as problem:
        raise ValueError(f"{path.name} is not JSON: {problem}") from None
    needed = ("max_num_seqs", "max_num_batched_tokens")
    if not isinstance(settings, dict) or not all(settings.get(name) for name in needed):
        raise ValueError(f"{path.name} must have {' and '.join(needed)}")
    return settings


def vllm_server(settings: dict[str, Any]) -> LLMServer:
    """Return the policies of a run of vLLM; its step time is what calibration finds."""
    anything = LinearStep(base_s=0.01, per_decode_s=0, per_prefill_token_s=0, per_context_token_s=0)
    kv_tokens = settings.get("kv_tokens")
    return LLMServer(
        step_time=anything,
        batching="chunked",
        max_batch=settings["max_num_seqs"],
        max_batched_tokens=settings["max_num_batched_tokens"],
        kv_tokens=kv_tokens,
        kv_policy="paged" if kv_tokens else "reserve",
        block_tokens=settings.get("block_size") or 16,
    )


def vllm_errors(runs: Sequence[Path]) -> dict[str, float | None]:
    """Return the largest held-out errors over runs of vLLM: of mean times, and the P90 of TPOT."""
    largest: dict[str, float | None] = {}
    for run in runs:
        try:
            found = calibrate(load_measurement_csv(run), vllm_server(settings_of(run))).held_out
        except ValueError as problem:
            print(f"skipped {run.name}: {problem}")
            continue
        errors = {"tpot": found.tpot, "e2e": found.e2e, "ttft": found.ttft}
        largest["tpot_p90"] = max(found.tpot.p90, largest.get("tpot_p90") or 0.0)
        for name, error in errors.items():
            largest[name] = max(abs(error.bias), largest.get(name) or 0.0)
        means = ", ".join(f"{name.upper()} {error.bias:+.2%}" for name, error in errors.items())
        print(f"{run.name}: means held out, {means}")
    worst = {f"vllm_{name}_mean_err": largest.get(name) for name in ("tpot", "e2e", "ttft")}
    return worst | {"vllm_tpot_p90_err": largest.get("tpot_p90")}


def absolute_median(errors: Sequence[float]) -> float | None:
    """Return the median of absolute errors, or None of none."""
    return median(map(abs, errors)) if errors else None


def show(value: float | None) -> str:
    """Return a share as text."""
    return "     -" if value is None else f"{value:6.1%}"


def table(rows: Sequence[tuple[str, float, float, str]]) -> Iterator[str]:
    """Yield a line for each group, with its median errors."""
    for group in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == group]
        tokens, firsts = ([row[i] for row in mine] for i in (1, 2))
        inside = sum(row[3] == "in" for row in mine) / len(mine)
        last = show(inside) if mine[0][3] else ""
        yield (
            f"  {group:44} {len(mine):5} {show(absolute_median(tokens))} "
            f"{show(absolute_median(firsts))} {last}"
        )


def draw(rows: Sequence[Compared], path: Path) -> None:
    """Draw predicted against measured TPOT with the bands that are printed for fitted engines."""
    from matplotlib.figure import Figure

    from servemath_helpers.plotting import COLORS

    figure = Figure(figsize=(8, 6), layout="constrained", dpi=110)
    ax = figure.subplots()
    for experts, name, color, marker in (
        (False, "dense", COLORS["primary"], "o"),
        (True, "mixture of experts", COLORS["secondary"], "^"),
    ):
        points = [(1e3 * a, 1e3 * b) for a, b in (r.tpot_s for r in rows if r.experts is experts)]
        if points:
            ax.plot(*zip(*points, strict=True), marker, color=color, alpha=0.5, ms=4, label=name)
    ends = [1e3 * f(value for r in rows for value in r.tpot_s) for f in (min, max)]
    ax.plot(ends, ends, color="black", linewidth=1.2, label="as measured")
    low, high = achieved.bands("tpot", experts=False, fitted=True)
    ax.fill_between(
        ends,
        [end / high for end in ends],
        [end / low for end in ends],
        color=COLORS["primary"],
        alpha=0.15,
        label="80 % band, dense",
    )
    ax.set(xscale="log", yscale="log", xlabel="measured TPOT [ms]", ylabel="predicted TPOT [ms]")
    ax.legend(loc="upper left")
    figure.savefig(path)


def main() -> None:
    """Compare everything in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with measured figures")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--figure", type=Path, help="draw predicted against measured TPOT")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"--data must be a folder, got {arguments.data}")
    start = perf_counter()
    compared: list[Compared] = []
    left_out: LeftOut = {}
    batches: list[tuple[str, float, float]] = []
    files = [path for path in sorted(arguments.data.iterdir()) if path.is_file()]
    read: set[Path] = set()

    def tables(kind: str) -> Iterator[Path]:
        """Yield the tables of a kind, gzipped or not."""
        for path in files:
            if path.name.startswith(kind) and path.name.endswith((".csv", ".csv.gz")):
                read.add(path)
                yield path

    for path in tables("closed_loop"):
        found = []
        try:
            for row in read_loops(path, left_out):
                try:
                    found.append(compare_loop(row))
                except ValueError as problem:  # such as experts that the GPUs cannot share
                    left_out.setdefault(str(problem), []).append(path.name)
        except ValueError as problem:
            print(f"skipped {path.name}: {problem}")
            continue
        print(f"{path.name}: rows, median error of TPOT and of TTFT, TPOT inside the band")
        for line in table(
            [(c.group, c.tpot_error, c.ttft_error, "in" if c.tpot_inside else "out") for c in found]
        ):
            print(line)
        compared += found
    for path in tables("splitwise"):
        pairs = []
        try:
            for batch in read_batches(path, left_out):
                pairs.append(compare_batch(batch))
        except ValueError as problem:
            print(f"skipped {path.name}: {problem}")
            continue
        print(f"{path.name}: rows, median error of a decode step and of the prompts")
        for line in table([(*pair, "") for pair in pairs]):
            print(line)
        batches += pairs
    for problem, where in left_out.items():
        print(f"left out {len(where)} rows ({', '.join(where[:3])}): {problem}")
    unknown = sorted({c.engine for c in compared if c.engine not in (None, *ENGINES)})
    for engine in unknown:
        n = sum(c.engine == engine for c in compared)
        print(f"{n} rows of engine {engine!r}, which nobody measured: the mean of the engines")
    runs = [path for path in tables("vllm_") if settings_path(path).is_file()]
    read = read - {p for p in read if p.name.startswith("vllm_")}
    read |= {*runs, *map(settings_path, runs)}
    for path in files:
        if path not in read and not path.name.startswith(("README", ".")):
            print(f"skipped {path.name}: of none of the kinds, or a run without its settings")
    figures: dict[str, Any] = vllm_errors(runs)
    dense = [row for row in compared if not row.experts]
    experts = [row for row in compared if row.experts]
    n = len(compared)
    figures |= {
        "dense_tpot_median_abs_err": absolute_median([row.tpot_error for row in dense]),
        "moe_tpot_median_abs_err": absolute_median([row.tpot_error for row in experts]),
        "dense_ttft_median_abs_err": absolute_median([row.ttft_error for row in dense]),
        "moe_ttft_median_abs_err": absolute_median([row.ttft_error for row in experts]),
        "band_coverage": sum(row.tpot_inside for row in compared) / n if n else None,
        "ttft_band_coverage": sum(row.ttft_inside for row in compared) / n if n else None,
        "single_step_median_abs_err": absolute_median([pair[1] for pair in batches]),
        "single_prefill_median_abs_err": absolute_median([pair[2] for pair in batches]),
        "rows": n + len(batches),
        "rows_left_out": sum(map(len, left_out.values())),
        "seconds": perf_counter() - start,
    }
    if arguments.figure and compared:
        draw(compared, arguments.figure)
    for name, value in figures.items():
        print(f"{name:30} {'-' if value is None else round(value, 4)}")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
