"""What lab 5 asks: every option is the result of a named mistake, one is the model's.

An option within five per cent of another would test nothing, and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from servemath_helpers.labs.accelerator.model import (
    BATCHES,
    CONTEXT,
    LOAD,
    MAX_BATCH,
    MOST_REPLICAS,
    SHARES,
    Record,
    alone_s,
    fluid_wait_s,
    least_replicas,
    played,
    promises,
)
from servemath_helpers.labs.accelerator.story import PARTS, WORDS, controls
from servemath_helpers.labs.frame.lock import Question
from servemath_helpers.labs.frame.numbers import number_text
from servemath_helpers.labs.frame.session import Part
from servemath_helpers.tinyllm.transformer import SMALL

__all__ = ["APART", "apart", "parts_of"]

#: Options are further apart than this.
APART: Final = 0.05
#: Users whose throughput an open loop is to have too.
_USERS: Final = 4
_TEST_S: Final = 60.0


def apart(claims: Mapping[str, float], right: str) -> dict[str, float]:
    """Return the right claim, and of the others those that are far enough from each other.

    >>> apart({"a": 1.0, "b": 1.04, "c": 2.0}, "b")
    {'b': 1.04, 'c': 2.0}
    """
    kept = {right: claims[right]}
    for name, value in claims.items():
        if all(abs(value - other) > APART * max(value, other) for other in kept.values()):
            kept[name] = value
    return {name: claims[name] for name in claims if name in kept}


def _ask(path: str, claims: Mapping[str, float], right: str, **values: Any) -> Question:
    kept = apart(claims, right)
    return WORDS.ask(
        path,
        claims[right],
        kept,
        lambda claim: {f"claim_{unit}": claim for unit in ("s", "times")},
        **values,
    )


# --- part 1 -----------------------------------------------------------------------------------


def _machine(record: Record) -> dict[str, Any]:
    return {
        "bw_gbs": record.machine.bw_Bps / 1e9,
        "gflops": record.machine.flops / 1e9,
        "context": CONTEXT,
        "weight_bytes": SMALL.weight_bytes,
        "token_bytes": SMALL.kv_bytes_per_token,
        "batch": MAX_BATCH,
        "one": 1,
    }


def _step_question(record: Record) -> Question:
    right = record.decode_s(1)
    flops = 2 * SMALL.n_weights
    claims = {
        "right": right,
        "compute": flops / record.machine.flops,
        "half": right / 2,
        "twice": 2 * right,
    }
    return _ask("questions.step", claims, "right", flops=flops / 1e6, **_machine(record))


def _gain_question(record: Record) -> Question:
    claims = {
        "right": record.batch_gain,
        "linear": float(MAX_BATCH),
        "flat": 1.0,
        "cores": float(record.cores),
    }
    cache_s = record.decode_s(MAX_BATCH) - record.decode_s(MAX_BATCH, 0)
    more = {"cores": record.cores, "cache_s": cache_s, "step_s": record.decode_s(MAX_BATCH)}
    return _ask("questions.gain", claims, "right", **more, **_machine(record))


def _critical_question(record: Record) -> Question:
    ratio = record.machine.flops / record.machine.bw_Bps
    claims = {
        "right": record.critical_batch,
        "bytes": ratio,
        "single": 4 * ratio,
        "cache": SMALL.weight_bytes / (CONTEXT * SMALL.kv_bytes_per_token),
    }
    return _ask("questions.critical", claims, "right", ratio=ratio, **_machine(record))


def _grows_question(record: Record) -> Question:
    bytes_of = {
        "cache": [b * CONTEXT * SMALL.kv_bytes_per_token for b in (1, MAX_BATCH)],
        "weights": [SMALL.weight_bytes] * 2,
        "code": [0] * 2,
    }
    (grows,) = [name for name, (one, many) in bytes_of.items() if many > one]
    cache_bytes = bytes_of["cache"][1]
    return WORDS.ask("questions.grows", grows, cache_bytes=cache_bytes, **_machine(record))


# --- part 2 -----------------------------------------------------------------------------------


def _double_question(record: Record) -> Question:
    rho = SHARES[-1]
    right = fluid_wait_s(rho, 2 * _TEST_S) / fluid_wait_s(rho, _TEST_S)
    claims = {"same": 1.0, "load": rho, "double": right, "square": right**2}
    waits = {f"wait{k}_s": fluid_wait_s(rho, k * _TEST_S) for k in (1, 2)}
    named = {"short_wait_s": waits["wait1_s"], "long_wait_s": waits["wait2_s"]}
    return _ask("questions.double", claims, "double", rho_times=rho, test_s=_TEST_S, **named)


def _loop_question(record: Record) -> Question:
    closed = played(record, loop="closed", users=_USERS)
    same_rate = closed.summary.throughput_rps / record.capacity_rps
    runs = {"closed": closed, "open": played(record, share=same_rate)}
    p99 = {name: run.summary.quantile("e2e", "0.99") or math.nan for name, run in runs.items()}
    near = abs(p99["closed"] - p99["open"]) <= APART * max(p99.values())
    right = "same" if near else min(p99, key=lambda name: p99[name])
    return WORDS.ask(
        "questions.loop",
        right,
        users=_USERS,
        rate=closed.summary.throughput_rps,
        closed_s=p99["closed"],
        open_s=p99["open"],
    )


def _batch_question(record: Record) -> Question:
    """Ask for which batch the machine is furthest from its roofline, by its log."""
    ratios = record.ratios
    worst = max(ratios, key=lambda batch: ratios[batch])
    # One factor for all batches is the idea that it is the same everywhere.
    flat = ratios[worst] < (1 + APART) * min(ratios.values())
    right = "same" if flat else f"b{worst}"
    near = {f"b{batch}": ratio for batch, ratio in ratios.items()}
    kept = ["same", *(near if flat else apart(near, right))]
    told = ", ".join([f"{number_text(ratio)} at B = {batch}" for batch, ratio in ratios.items()])
    batches = dict(zip(("one", "two", "four", "eight"), BATCHES, strict=True))
    return WORDS.ask("questions.batch", right, {name: name for name in kept}, told=told, **batches)


# --- part 3 -----------------------------------------------------------------------------------


def _base_question(record: Record) -> Question:
    base, weights = record.fit["base_s"], record.weights_s
    ratio = base / weights
    right = "equal" if abs(ratio - 1) <= APART else "over" if ratio > 1 else "under"
    return WORDS.ask(
        "questions.base",
        right,
        base_s=base,
        weights_s=weights,
        fit_share=record.fit["held_out_error"],
        roofline_share=record.roofline_error,
    )


def _replicas_question(record: Record) -> Question:
    right = least_replicas(record)
    rate = LOAD * record.capacity_rps
    claims = {
        "replay": float(MOST_REPLICAS + 1 if right is None else right),
        "mean": float(math.ceil(LOAD)),
        "roofline": float(least_replicas(record, fitted=False) or MOST_REPLICAS + 1),
        "alone": float(math.ceil(rate * alone_s(record))),
        "double": float(2 * math.ceil(LOAD)),
    }
    promised = promises(record)
    return _ask(
        "questions.replicas",
        claims,
        "replay",
        load_times=LOAD,
        rate=rate,
        capacity=record.capacity_rps,
        ttft_s=promised["ttft_s"],
        tpot_s=promised["tpot_s"],
        kept_share=float(promised["share"]),
        alone_s=alone_s(record),
    )


# --- parts --------------------------------------------------------------------------------------


@cache
def parts_of(record: Record) -> tuple[Part, ...]:
    """Return the three parts about a record, which is frozen with their questions."""
    asked = {
        "part1": (_step_question, _gain_question, _critical_question),
        "part2": (_double_question, _loop_question, _batch_question),
        "part3": (_base_question, _replicas_question),
    }
    reflected = {
        "part1": (_grows_question(record),),
        "part2": (WORDS.ask("questions.why_batch", None),),
        "part3": (WORDS.ask("questions.next", None),),
    }
    frozen = {
        "record": record,
        "bw_Bps": record.machine.bw_Bps,
        "flops": record.machine.flops,
        "seed": record.seed,
    }
    return tuple(
        Part(
            part,
            WORDS.say(f"parts.{part}"),
            questions=tuple(make(record) for make in asked[part]),
            scenario=frozen,
            controls=controls(record, part),
            reflections=reflected[part],
        )
        for part in PARTS
    )
