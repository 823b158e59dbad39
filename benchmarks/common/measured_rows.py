"""Measured rows as predictions need them: the model, the GPUs and the load of each."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from servemath_helpers import facts
from servemath_helpers.deployment import Deployment

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


def layout(row: dict[str, str]) -> tuple[int, int, int]:
    """Return GPUs per copy of the attention, copies, and requests in flight of a row.

    Two things of the source are not as its columns say. Where the attention is copied,
    `concurrency` counts the requests of one copy: rows that appear twice, with other copies,
    keep the product. And where experts are cut and spread over n GPUs, some rows (those that
    say how often the attention is copied) hold n^2 in place of n: they repeat, figure by
    figure, rows with n.
    """
    tp, copies = int(row["tp"]), int(row["attention_dp"] or 1)
    cut, spread = int(row["moe_tp"] or 1), int(row["moe_ep"] or 1)
    in_flight = int(row["concurrency"])
    if row["attention_dp"] and cut == spread > 1 and tp * copies == cut * spread:
        in_flight *= copies
        return (1, cut, in_flight) if copies > 1 else (cut, 1, in_flight)
    if not row["attention_dp"]:  # not given: as many as the experts need GPUs
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


def read_loops(path: Path, left_out: list[str] | None = None) -> Iterator[LoopRow]:
    """Yield the rows of a closed_loop*.csv.

    Where a list is given, rows of a model, accelerator or format that nobody knows are noted
    there instead of ending it all.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            tp, copies, in_flight = layout(row)
            stages = int(row["pp"] or 1)
            try:
                node = _deployment(
                    *(row[name] for name in ("model", "system", "gemm", "moe", "precision")),
                    tp,
                    copies,
                )
            except ValueError as problem:
                if left_out is None:
                    raise
                left_out.append(str(problem))
                continue
            yield LoopRow(
                deployment=node,
                engine=row["engine"] or None,
                release=row["engine_version"],
                prompt=int(row["prompt_tokens"]),
                output=int(row["output_tokens"]),
                # A pipeline of s stages works on s parts of the requests in turn.
                concurrency=math.ceil(in_flight / stages),
                ttft_s=float(row["ttft_ms"]) / 1e3,
                tpot_s=float(row["tpot_ms"]) / 1e3,
            )


def read_batches(path: Path) -> Iterator[BatchRow]:
    """Yield the rows of a splitwise*.csv."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield BatchRow(
                deployment=_deployment(row["model"], row["gpu"], "", "", "", int(row["tp"]), 1),
                prompt=int(row["prompt_tokens"]),
                output=int(row["output_tokens"]),
                batch=int(row["batch"]),
                prefill_s=float(row["prefill_ms"]) / 1e3,
                step_s=float(row["step_ms"]) / 1e3,
            )
