"""Measured rows as predictions need them: the model, the GPUs and the load of each."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from servemath_helpers import facts
from servemath_helpers.deployment import Deployment
from servemath_helpers.sim._textfiles import open_text

#: Columns that a file must have; others may be absent.
LOOP_COLUMNS = ("model", "system", "prompt_tokens", "output_tokens", "concurrency")
LOOP_COLUMNS += ("tp", "ttft_ms", "tpot_ms")
BATCH_COLUMNS = ("model", "gpu", "tp", "prompt_tokens", "batch", "output_tokens")
BATCH_COLUMNS += ("prefill_ms", "step_ms")
#: What an engine is called elsewhere.
ENGINES = {"tensorrt-llm": "trtllm", "tensorrt_llm": "trtllm", "trt-llm": "trtllm"}

Read = TypeVar("Read")
#: What kept rows out, and which.
LeftOut = dict[str, list[str]]

#: What the sources call accelerators; other names are looked up as they stand.
SYSTEMS = {
    "a100-80gb": "A100-80GB-SXM",
    "a100_pcie": "A100-80GB-PCIe",
    "a100_sxm": "A100-80GB-SXM",
    "b200_sxm": "B200-SXM",
    "b300_sxm": "B300-SXM",
    "gb200": "GB200",
    "gb200_sxm": "GB200",
    "h100-80gb": "H100-SXM",
    "h100_pcie": "H100-PCIe",
    "h100_sxm": "H100-SXM",
    "h200_sxm": "H200-SXM",
    "l4": "L4",
    "l40s": "L40S",
    "rtx_pro_6000_server": "RTX-PRO-6000",
}
FORMATS = {"": None, "fp8": "fp8", "fp8_static": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4"}


@dataclass(frozen=True)
class LoopRow:
    """One measured point of a closed loop."""

    deployment: Deployment
    engine: str | None
    release: str
    prompt: int
    output: int
    concurrency: int
    ttft_s: float
    tpot_s: float

    @property
    def experts(self) -> bool:
        """Whether the model is a mixture of experts."""
        return self.deployment.model.n_experts > 0

    @property
    def measured_as(self) -> tuple[str, str, str | None]:
        """Model, accelerator and engine."""
        return self.deployment.model.name, self.deployment.accelerator.name, self.engine


@dataclass(frozen=True)
class BatchRow:
    """One measured batch that is alone on its GPUs."""

    deployment: Deployment
    prompt: int
    output: int
    batch: int
    prefill_s: float
    step_s: float


def _format(name: str) -> str | None:
    """Return the format of weights that a column names, None where it names none."""
    if name.startswith(("bf", "float16", "fp16")):
        return "bf16"
    if "mxfp4" in name:
        return "mxfp4"
    if name not in FORMATS:
        raise ValueError(f"gemm and moe must be among {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def _whole(row: dict[str, str], name: str, default: int | None = None) -> int:
    """Return a count of at least 1, also as a spreadsheet writes it (8.0)."""
    cell = row.get(name, "")
    if not cell and default is not None:
        return default
    value = _positive(row, name)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number of at least 1, got {cell!r}")
    return int(value)


def _positive(row: dict[str, str], name: str) -> float:
    """Return a finite number above 0."""
    cell = row.get(name, "")
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, got {cell!r}")
    return value


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with its number; a table may be gzipped, and its columns in any order."""
    with open_text(path) as lines:
        header = next(lines, "")
        delimiter = max(",;\t", key=header.count)
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        missing = [name for name in needed if name not in names]
        if missing:
            raise ValueError(f"it must have the columns {', '.join(missing)}")
        reader = csv.reader(lines, delimiter=delimiter)
        for cells in reader:
            if any(cells):
                stripped = [cell.strip() for cell in cells]
                # Cells that a short row lacks are empty.
                row = dict.fromkeys(names, "") | dict(zip(names, stripped, strict=False))
                yield reader.line_num + 1, row


def _each(
    path: Path,
    needed: tuple[str, ...],
    read: Callable[[dict[str, str]], Read],
    left_out: LeftOut | None,
) -> Iterator[Read]:
    for number, row in _rows(path, needed):
        try:
            yield read(row)
        except ValueError as problem:
            if left_out is None:
                raise ValueError(f"{path.name}, row {number}: {problem}") from None
            left_out.setdefault(str(problem), []).append(f"{path.name} row {number}")


def layout(row: dict[str, str]) -> tuple[int, int, int]:
    """Return GPUs per copy of the attention, copies, and requests in flight of a row.

    Two things of the source are not as its columns say. Where the attention is copied,
    `concurrency` counts the requests of one copy: rows that appear twice, with other copies,
    keep the product. And where experts are cut and spread over n GPUs, some rows (those that
    say how often the attention is copied) hold n^2 in place of n: they repeat, figure by
    figure, rows with n.
    """
    tp, copies = _whole(row, "tp"), _whole(row, "attention_dp", 1)
    cut, spread = _whole(row, "moe_tp", 1), _whole(row, "moe_ep", 1)
    in_flight = _whole(row, "concurrency")
    if row.get("attention_dp") and cut == spread > 1 and tp * copies == cut * spread:
        in_flight *= copies
        return (1, cut, in_flight) if copies > 1 else (cut, 1, in_flight)
    if not row.get("attention_dp"):  # not given: as many as the experts need GPUs
        copies = max(1, cut * spread // tp)
    return tp, copies, in_flight * copies


@cache
def _deployment(
    model: str, system: str, gemm: str, moe: str, precision: str, tp: int, copies: int
) -> Deployment:
    shape = facts.hub_model(model)
    dense, experts = _format(gemm), _format(moe)
    if shape.expert_format not in (None, shape.weight_format):
        dense, experts = None, None  # published with experts of few bits: those are what runs
    return Deployment(
        model=shape,
        accelerator=facts.get_accelerator(SYSTEMS.get(system, system)),
        tensor_parallel=tp,
        attention_dp=copies,
        weight_format=dense,
        expert_format=experts,
        # Engines that were given weights of 8 bits or less ran with a cache of 8.
        cache_format="fp8" if precision.startswith(("fp8", "fp4")) else "bf16",
    )


def _loop(row: dict[str, str]) -> LoopRow:
    tp, copies, in_flight = layout(row)
    kind = [row.get(name, "") for name in ("model", "system", "gemm", "moe", "precision")]
    engine = row.get("engine", "").casefold()
    return LoopRow(
        deployment=_deployment(*kind, tp, copies),
        engine=ENGINES.get(engine, engine) or None,
        release=row.get("engine_version", ""),
        prompt=_whole(row, "prompt_tokens"),
        output=_whole(row, "output_tokens"),
        # A pipeline of s stages works on s parts of the requests in turn.
        concurrency=math.ceil(in_flight / _whole(row, "pp", 1)),
        ttft_s=_positive(row, "ttft_ms") / 1e3,
        tpot_s=_positive(row, "tpot_ms") / 1e3,
    )


def read_loops(path: Path, left_out: LeftOut | None = None) -> Iterator[LoopRow]:
    """Yield the rows of a closed_loop*.csv.

    Where a table is given, rows of a model, accelerator or format that nobody knows, and those
    that are broken, are noted there instead of ending it all.
    """
    return _each(path, LOOP_COLUMNS, _loop, left_out)


def _batch(row: dict[str, str]) -> BatchRow:
    return BatchRow(
        deployment=_deployment(row["model"], row["gpu"], "", "", "", _whole(row, "tp"), 1),
        prompt=_whole(row, "prompt_tokens"),
        output=_whole(row, "output_tokens"),
        batch=_whole(row, "batch"),
        prefill_s=_positive(row, "prefill_ms") / 1e3,
        step_s=_positive(row, "step_ms") / 1e3,
    )


def read_batches(path: Path, left_out: LeftOut | None = None) -> Iterator[BatchRow]:
    """Yield the rows of a splitwise*.csv, as `read_loops` does."""
    return _each(path, BATCH_COLUMNS, _batch, left_out)
