"""Chapter 5: every gap, state, block and node looked at by itself, in exact numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from servemath_helpers import fleetplans
from servemath_helpers.deep.engine import Arguments, Deep, Dice, Unasked, close, exercise
from servemath_helpers.deep.exactly import (
    above,
    apart,
    asked,
    even,
    few_bits,
    from_,
    held,
    read,
    two_to_the,
)

__all__: list[str] = []

_NOT_A_COUNT = (0, -1, -24)
_NEGATIVE = (-0.25, -6)
_NOT_ABOVE_0 = (0, *_NEGATIVE)


@exercise("token_times")
def _token_times(deep: Deep) -> None:
    tools = ("vllm", "inference-perf", "mlperf", "guidellm")

    def draw(dice: Dice) -> Arguments:
        due = dice.whole(0, 40) / 8
        instants = sorted(due + dice.whole(0, 30) / 16 for _ in range(dice.whole(1, 6)))
        return {
            "arrival_s": due,
            "token_s": dice.sequence(instants),
            "tool": dice.choice(tools),
        }

    def stopwatch(arrival_s: float, token_s: Any, tool: str) -> Arguments:
        clock = [Fraction(arrival_s), *(Fraction(float(instant)) for instant in token_s)]
        if len(clock) < 2 or clock != sorted(clock) or clock[0] < 0 or tool not in tools:
            raise ValueError("a tool, and tokens in order, none before the request")
        # the first one is the time to the first token
        gaps = [later - earlier for earlier, later in itertools.pairwise(clock)]
        counted = gaps if tool == tools[-1] else gaps[1:]
        if tool == "mlperf" and not counted:
            raise ValueError("there is no gap to take a mean of")
        mean = sum(counted) / Fraction(len(counted)) if counted else None
        return {"ttft": gaps[0], "tpot": mean, "e2e": sum(gaps)}

    deep.agrees(
        draw,
        stopwatch,
        "all times run from the instant at which the request was due",
        parts={
            "ttft": "ttft is from the instant at which the request was due to the first token",
            "tpot": "GuideLLM spreads all the time over all tokens; the others take the mean of "
            "the gaps between tokens, which one token does not have: None, and an error for MLPerf",
            "e2e": "e2e is from the instant at which the request was due to the last token",
        },
        edges=[
            *({"arrival_s": 2, "token_s": [2.5], "tool": tool} for tool in tools),
            {"arrival_s": 2, "token_s": [2, 2], "tool": "vllm"},
            {"arrival_s": 2, "token_s": [4, 3], "tool": "guidellm"},
            {"arrival_s": 2, "token_s": [3, 5, 4, 6], "tool": "vllm"},
            {"arrival_s": 2, "token_s": [1, 3], "tool": "vllm"},
        ],
    )
    deep.refuses(
        {"arrival_s": 4, "token_s": [5, 7, 8], "tool": "inference-perf"},
        {
            "arrival_s": (6, 20),
            "token_s": ([], [7, 5, 8], [3, 7, 8]),
            "tool": ("sglang", "MLPerf", "", None),
        },
        "there is a token, tokens come in order and none before its request; there are four tools",
    )
    deep.refuses(
        {"arrival_s": 0, "token_s": [1], "tool": "vllm"},
        {"arrival_s": _NEGATIVE},
        "no instant is negative",
    )


@exercise("mva")
def _mva(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        demands = [dice.whole(0, 8) / 8 for _ in range(dice.whole(1, 3))]
        demands[dice.randrange(len(demands))] = dice.choice((0.5, 0.3, 1))
        return {
            "N": dice.whole(1, 5),
            "think_s": dice.choice((0, dice.whole(0, 20) / 4, 0.7)),
            "demands": dice.sequence(demands),
        }

    def states(N: int, think_s: float, demands: Any) -> Arguments:
        """Weigh every way in which the users can be spread over thinking and the stations."""
        took = [Fraction(float(demand)) for demand in demands]
        if N < 1 or think_s < 0 or min(took, default=0) < 0 or not any(took):
            raise ValueError("users, something to do for them, and no negative time")
        shares: dict[tuple[int, ...], Fraction] = {}
        for spread in itertools.product(range(N + 1), repeat=len(took)):
            thinking = N - sum(spread)
            if thinking >= 0:
                weight = Fraction(think_s) ** thinking / math.factorial(thinking)
                for number, time in zip(spread, took, strict=True):
                    weight *= time**number
                shares[spread] = weight
        total = sum(shares.values(), start=Fraction(0))
        busiest = took.index(max(took))
        working = sum(weight for spread, weight in shares.items() if spread[busiest]) / total
        rate = working / took[busiest]  # a station that is busy gives one each demand
        queue = [
            sum(spread[place] * weight for spread, weight in shares.items()) / total
            for place in range(len(took))
        ]
        return {"X": rate, "R": sum(queue) / rate, "queue": queue}

    deep.agrees(
        draw,
        states,
        "each of the N users thinks, waits or is served",
        parts={
            "X": "X is the throughput: the N users over the time of a round, thinking and R",
            "R": "R is the time from request to answer, over all stations, without thinking; a "
            "request meets at a station what the N - 1 others leave there",
            "queue": "queue is the mean number at each station, waiting or served",
        },
        edges=[{"N": 4, "think_s": 0, "demands": [0, 0.5]}],
        cases=40,
    )
    deep.refuses(
        {"N": 2, "think_s": 3, "demands": [0.5, 1]},
        {
            "N": (0, -2),
            "think_s": _NEGATIVE,
            "demands": ([], [0], [0, 0, 0], [0.5, -0.125], [-1, 4]),
        },
        "a user, a station with something to do, and no negative time",
    )


@exercise("correct_omission")
def _correct_omission(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        interval = dice.choice(("0.1", "0.25", "0.3", "1", "0.7"))
        times = [
            str(
                Decimal(interval) * dice.choice((dice.whole(0, 7), Decimal(dice.whole(0, 70)) / 10))
            )
            for _ in range(dice.whole(1, 6))
        ]
        call = {
            "latencies": [dice.form(time) for time in times],
            "interval": dice.form(interval),
        }
        if dice.random() < 0.2:
            return call
        return {**call, "q": dice.form(dice.choice(("0.5", "0.75", "0.9", "1", "0.2", "0.01")))}

    def schedule(latencies: Sequence[Any], interval: Any, q: Any = "0.99") -> Arguments:
        measured, every, part = [read(time) for time in latencies], read(interval), read(q)
        if not measured or min(measured) < 0 or every <= 0 or not 0 < part <= 1:
            raise ValueError("times, an interval above 0, and a share in (0, 1]")
        missed = []
        for took in measured:
            due = every  # since this request was sent
            while took - due >= every:
                missed.append(took - due)
                due += every

        def reached(sample: list[Fraction]) -> Fraction:
            """Return the least of them that a share `part` of all do not exceed."""
            return min(
                limit
                for limit in sample
                if sum(time <= limit for time in sample) >= part * len(sample)
            )

        return {
            "n": len(measured) + len(missed),
            "raw": reached(measured),
            "corrected": reached(measured + missed),
        }

    deep.agrees(
        draw,
        schedule,
        "numbers are the decimals that one reads",
        parts={
            "n": "to each time l come l - I, l - 2 I, ... as long as the value is at least I, "
            "exactly: 0.3 is three intervals of 0.1, and adds two",
            "raw": "raw is element number ceil(q n) of the n measured times, sorted, from 1",
            "corrected": "corrected is element number ceil(q n) of measured and added times",
        },
        edges=[
            {"latencies": [0.3], "interval": 0.1, "q": 0.5},
            {"latencies": [0.7, 0.2], "interval": "0.1", "q": 1},
        ],
        cases=90,
    )
    deep.refuses(
        {"latencies": [2, "0.5"], "interval": "0.5", "q": "0.9"},
        {
            "latencies": ([], [2, -1], ["-0.5", 2]),
            "interval": (*_NOT_ABOVE_0, "0", "-0.5"),
            "q": (0, "0", -0.5, "1.001", 90, "-1"),
        },
        "there is a time and none is negative, interval is above 0, q in (0, 1]",
    )


@exercise("experts_read", "moe_step_s")
def _experts_read(deep: Deep) -> None:
    @asked(E=from_(1), k=from_(1), B=from_(0))
    def visited(E: int, k: int, B: int) -> Fraction:
        """Follow how many experts are in use, token by token: how many of its k are new."""
        if k > E or E > 64 or B > 30:
            raise Unasked
        chances = {0: Fraction(1)}
        for _token in range(B):
            grown: dict[int, Fraction] = {}
            for used, chance in chances.items():
                for new in range(max(0, k - used), min(k, E - used) + 1):
                    ways = Fraction(math.comb(E - used, new) * math.comb(used, k - new))
                    part = chance * ways / math.comb(E, k)
                    grown[used + new] = grown.get(used + new, Fraction(0)) + part
            chances = grown
        return sum((used * chance for used, chance in chances.items()), start=Fraction(0))

    def few(dice: Dice) -> Arguments:
        experts = dice.whole(1, 10)
        return {"E": experts, "k": dice.whole(1, experts), "B": dice.whole(0, 7)}

    deep.agrees(
        few,
        visited,
        "each token draws k different experts, whatever the others drew, and an expert that "
        "several draw is read once",
        cases=40,
    )

    def step_of(dice: Dice) -> Arguments:
        experts, tokens = dice.choice((1, 2, 4, 8)), dice.whole(1, 5)
        chosen = dice.choice((experts, dice.whole(1, experts)))
        layers, size, dense = dice.whole(1, 4), dice.choice((0.25, 0.5, 8)), dice.choice((0, 1, 24))
        read_s, active = dense + layers * size * experts, dice.whole(1, 12)
        ratio = dice.choice((2 * active * tokens / read_s if read_s else 1, 1, 4, 16))
        speed = dice.choice((0.5, 2, 64))
        return {
            "B": tokens,
            "E": experts,
            "k": chosen,
            "layers": layers,
            "expert_bytes": size,
            "dense_bytes": dense,
            "active_params": active,
            "kv_bytes": dice.choice((0, 0.5, 30)),
            "n_gpus": dice.choice((1, 2, 4, 3)),
            "bw_Bps": speed,
            "peak_flops": speed * ratio,
        }

    @asked(
        B=from_(1),
        layers=from_(1),
        expert_bytes=above(0),
        dense_bytes=from_(0),
        active_params=from_(1),
        kv_bytes=from_(0),
        n_gpus=from_(1),
        bw_Bps=above(0),
        peak_flops=above(0),
    )
    def step(
        B: int,
        E: int,
        k: int,
        layers: int,
        expert_bytes: float,
        dense_bytes: float,
        active_params: int,
        kv_bytes: float,
        n_gpus: int,
        bw_Bps: float,
        peak_flops: float,
    ) -> Arguments:
        touched = Fraction(dense_bytes)
        for _layer in range(layers):
            touched += visited(E=E, k=k, B=B) * Fraction(expert_bytes)
        flop = sum(active_params + active_params for _token in range(B))
        each = Fraction(1, n_gpus)
        cache, weights = (each * some / Fraction(bw_Bps) for some in (Fraction(kv_bytes), touched))
        arithmetic = each * flop / Fraction(peak_flops)
        exact = k == E and few_bits(expert_bytes, dense_bytes)
        apart(weights, [arithmetic], exact and two_to_the(n_gpus, bw_Bps, peak_flops))
        return {
            "step_s": cache + sorted((weights, arithmetic))[-1],
            "bytes": touched,
            "bound": ("memory", "compute")[arithmetic > weights],
        }

    deep.agrees(
        step_of,
        step,
        "the numbers are those of the statement, by their keys",
        parts={
            "step_s": "a step reads the cache, and besides takes the longer of reading the weights "
            "and multiplying, 2 FLOP for each active parameter and token; GPUs share all of it",
            "bytes": "bytes are the dense ones and those of the experts that are read, in each "
            "layer; the cache is no part of them",
            "bound": '"compute" where multiplying takes longer than reading weights, else "memory"',
        },
        of="moe_step_s",
        cases=90,
    )
    words = "k lies between 1 and E, counts are at least 1, nothing is negative"
    deep.refuses({"E": 6, "k": 2, "B": 3}, {"k": (0, -2, 7, 60), "B": (-1, -3), "E": (1, 0)}, words)
    deep.refuses(
        {
            "B": 3,
            "E": 6,
            "k": 2,
            "layers": 5,
            "expert_bytes": 8,
            "dense_bytes": 4,
            "active_params": 9,
            "kv_bytes": 2,
            "n_gpus": 2,
            "bw_Bps": 16,
            "peak_flops": 32,
        },
        {
            "k": (0, -2, 7),
            **dict.fromkeys(("B", "layers", "active_params", "n_gpus"), _NOT_A_COUNT),
            **dict.fromkeys(("expert_bytes", "dense_bytes", "kv_bytes"), _NEGATIVE),
            "bw_Bps": _NOT_ABOVE_0,
            "peak_flops": _NOT_ABOVE_0,
        },
        words,
        of="moe_step_s",
    )


@exercise("stored_bytes")
def _stored_bytes(deep: Deep) -> None:
    # bits of a weight; weights in a block and bytes of its scale; bytes of the tensor's scale
    table = {
        "fp32": (32, None, 0),
        "bf16": (16, None, 0),
        "fp16": (16, None, 0),
        "fp8": (8, None, 4),
        "int8": (8, None, 4),
        "mxfp8": (8, (32, 1), 0),
        "mxfp4": (4, (32, 1), 0),
        "nvfp4": (4, (16, 1), 4),
        "int4_g128": (4, (128, 2), 0),
    }

    def draw(dice: Dice) -> Arguments:
        blocks = dice.choice((16, 32, 128)) * dice.whole(0, 5)
        huge = dice.randrange(10**16, 10**17) // 128 * 128
        weights = dice.choice((blocks, blocks + 1, dice.whole(0, 400), dice.whole(0, 400), huge))
        return {"n_weights": weights, "fmt": dice.choice(list(table))}

    @asked(n_weights=from_(0))
    def pack(n_weights: int, fmt: str) -> int:
        bits, block, beside = table[fmt]
        places, scales = n_weights, 0
        if block:
            while places % block[0]:  # a block that is not full takes the room of a full one
                places += 1
            scales = places // block[0] * block[1]
        return places * bits // 8 + scales + (beside if n_weights else 0)

    words = (
        "weights fill blocks, the last one with empty places, each block has its scale and some "
        "tensors one more; nothing takes no bytes"
    )
    deep.agrees(draw, pack, words, cases=150)
    deep.agrees(
        lambda dice: {"n_weights": dice.randrange(10**17, 10**18), "fmt": dice.choice(list(table))},
        pack,
        "the number is exact, also where a float no longer counts single bytes",
        cases=20,
        rel_tol=0,
        abs_tol=0,
    )
    deep.refuses(
        {"n_weights": 40, "fmt": "nvfp4"},
        {"n_weights": (-1, -40, 1.5, 40.25), "fmt": ("int3", "MXFP4", "", "fp")},
        "n_weights is whole and not negative, and the formats are those of the table",
    )


@exercise("kv_bytes")
def _kv_bytes(deep: Deep) -> None:
    kinds = ("full_attention", "sliding_attention", "linear_attention")

    def draw(dice: Dice) -> Arguments:
        heads = dice.choice((1, 2, 4, 6))
        config: dict[str, Any] = {
            "num_hidden_layers": dice.whole(1, 9),
            "num_attention_heads": heads,
            "hidden_size": heads * dice.whole(1, 6) + dice.choice((0, 0, heads - 1)),
        }

        def perhaps(chance: float, **fields: Any) -> None:
            for name, value in fields.items():
                if dice.random() < chance:
                    config[name] = value
                elif dice.random() < 0.2:
                    config[name] = None

        perhaps(0.7, num_key_value_heads=dice.whole(1, 4))
        perhaps(0.4, head_dim=dice.whole(1, 9))
        if dice.random() < 0.2:
            config |= {"kv_lora_rank": dice.whole(1, 9), "qk_rope_head_dim": dice.whole(1, 4)}
        perhaps(0.2, layer_types=[dice.choice(kinds) for _ in range(dice.whole(1, 6))])
        perhaps(0.2, full_attention_interval=dice.whole(1, 4))
        perhaps(0.6, sliding_window=dice.whole(1, 30))
        perhaps(0.3, use_sliding_window=dice.choice((True, False)))
        perhaps(0.4, sliding_window_pattern=dice.whole(1, 5))
        perhaps(0.3, vocab_size=dice.whole(1, 999), tie_word_embeddings=True)
        if dice.random() < 0.1:
            config["layer_types"] = ["full_attention", "chunked_attention"]
        if dice.random() < 0.15:  # a field that somebody will need
            config.pop(dice.choice(list(config)))
        if dice.random() < 0.25:
            config = {"text_config": config, "num_hidden_layers": 3, "head_dim": 7}
        else:
            perhaps(0, text_config=0)
        call = {"config": config, "tokens": dice.whole(0, 50)}
        if dice.random() < 0.4:
            return call
        return {
            **call,
            "bytes_per_elem": dice.form(dice.choice(("1", "0.5", "0.1", "0.1", "0.2", "0.7"))),
        }

    def walk(config: Mapping[str, Any], tokens: int, bytes_per_elem: Any = 2) -> int:
        inner = config.get("text_config")
        chosen = inner if isinstance(inner, dict) else config
        there = {name: value for name, value in chosen.items() if value is not None}
        size = read(bytes_per_elem)
        numbers = [value for value in there.values() if type(value) is int]
        if tokens < 0 or size <= 0 or min(numbers, default=1) < 1:
            raise Unasked

        def given(name: str) -> Any:
            if name not in there:
                raise ValueError(f"{name} is needed")
            return there[name]

        def kind_of(layer: int) -> str:
            if "full_attention_interval" in there:
                return kinds[0 if layer % there["full_attention_interval"] == 0 else 2]
            if "sliding_window" in there and there.get("use_sliding_window") is not False:
                # without a pattern no layer is the last of its group
                group = there.get("sliding_window_pattern", layer + 1)
                return kinds[0 if layer % group == 0 else 1]
            return kinds[0]

        if "kv_lora_rank" in there:
            cached = there["kv_lora_rank"] + given("qk_rope_head_dim")
        else:
            heads = there.get("num_key_value_heads") or given("num_attention_heads")
            width = there.get("head_dim") or given("hidden_size") // given("num_attention_heads")
            cached = heads * width + heads * width
        layers = there.get("layer_types")
        if layers is None:
            layers = [kind_of(number + 1) for number in range(given("num_hidden_layers"))]
        remembered = 0
        for kind in layers:
            if kind not in kinds:
                raise ValueError(f"{kind} is none of the three types")
            near = given("sliding_window") if kind == kinds[1] else tokens
            remembered += 0 if kind == kinds[2] else sorted((near, tokens))[0]
        return math.ceil(Fraction(remembered * cached) * size)

    deep.agrees(
        draw,
        walk,
        "the first rule that applies says what each layer remembers, counted from 1: all tokens, "
        "a window of them or nothing; a field that is None is absent, one that is needed must be "
        "there, and a part of a byte takes a whole one",
        edges=[
            {"config": {"layer_types": ["sliding_attention"], "head_dim": 2}, "tokens": 3},
            {
                "config": {
                    "layer_types": ["sliding_attention"],
                    "head_dim": 2,
                    "num_key_value_heads": 3,
                },
                "tokens": 3,
            },
            {"config": {"kv_lora_rank": 3, "num_hidden_layers": 2}, "tokens": 3},
            {
                "config": {
                    "num_hidden_layers": 4,
                    "num_key_value_heads": 3,
                    "head_dim": 2,
                    "sliding_window": 2,
                    "use_sliding_window": False,
                },
                "tokens": 5,
            },
        ],
        cases=250,
    )
    shape = {"num_hidden_layers": 5, "num_key_value_heads": 3, "head_dim": 4}
    deep.refuses(
        {"config": shape, "tokens": 7, "bytes_per_elem": 1},
        {
            "config": (
                {},
                *({k: v for k, v in shape.items() if k != gone} for gone in shape),
                {**shape, "head_dim": None},
                {**shape, "layer_types": ["full_attention", "mamba"]},
                {**shape, "layer_types": ["sliding_attention"]},
            ),
            "tokens": (-1, -7),
            "bytes_per_elem": (*_NOT_ABOVE_0, "0", "-0.5"),
        },
        "fields that are needed are there, layers are of three types, tokens are not negative and "
        "bytes_per_elem is above 0",
    )


@exercise("two_choices_tail", "route")
def _two_choices_tail(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        load = dice.choice((0, 0.5, 0.95, 0.999, round(dice.random(), 3)))
        return {"rho": load, "d": dice.whole(1, 5), "k": dice.whole(0, 6)}

    @asked(rho=from_(0), d=from_(1), k=from_(0))
    def tree(rho: float, d: int, k: int) -> float:
        """Multiply one rho for each request that must have come: d times as many a level below."""
        if rho > 0.9995 or k > 2000:
            raise Unasked
        share, at_this_level = 1.0, 1
        for _level in range(k):
            for _request in range(min(at_this_level, 80_000)):
                share *= rho
                if share < 1e-20:
                    return 0.0
            at_this_level *= d
        return share

    deep.agrees(
        draw,
        tree,
        "the exponent counts a request, the d that were seen at its replica, the d of each of "
        "those and so on, k levels deep; however large it is, the answer is a share",
        edges=[{"rho": 0.8, "d": 9, "k": 500}, {"rho": 0.9, "d": 1, "k": 900}],
    )

    def fleet(dice: Dice) -> Arguments:
        n = dice.choice((1, 2, 4, 4, 3, 5))
        loads = [dice.whole(0, 8) / 2 for _ in range(n)]
        hits = [dice.choice((0, 0, 0.25, 0.5, 1)) for _ in range(n)]
        if dice.random() < 0.4:  # scores that are equal: a mean of 2, and what a load costs
            n = dice.choice((2, 4))
            loads = [2 + dice.choice((-1, 1)) * dice.choice((1, 0)) for _ in range(n // 2)]
            loads += [4 - load for load in loads]
            dice.shuffle(loads)
            hits = [(load - 1) / 4 for load in loads]
            return {"loads": loads, "hits": hits, "weight": 0.5}
        return {
            "loads": dice.sequence(loads),
            "hits": dice.sequence(hits),
            "weight": dice.choice((0, 0.25, 0.5, 1, 0.3)),
        }

    def ranked(loads: Any, hits: Any, weight: float) -> int:
        busy = [Fraction(float(load)) for load in loads]
        cached = [Fraction(float(hit)) for hit in hits]
        if not busy or len(busy) != len(cached) or min(busy) < 0 or weight < 0:
            raise ValueError("each replica has a load and a hit")
        mean = sum(busy) / Fraction(len(busy))
        unit = mean if mean > 1 else Fraction(1)
        scores = [
            hit - Fraction(weight) * (load - mean) / unit
            for load, hit in zip(busy, cached, strict=True)
        ]
        exact = few_bits(weight) and held(mean) and two_to_the(unit)
        for (one, a, b), (other, c, d) in itertools.combinations(
            zip(scores, busy, cached, strict=True), 2
        ):
            if (a, b) != (c, d):
                apart(one, [other], exact)
        # who is beaten by nobody: by score, then by load, then by place
        order = sorted(range(len(busy)), key=lambda place: busy[place])
        return max(order, key=lambda place: scores[place])

    deep.agrees(
        fleet,
        ranked,
        "the largest score counts, with the load set against the mean of all, or against 1; of "
        "equal scores the lower load, then the lower index",
        of="route",
        edges=[
            {"loads": [0, 0], "hits": [0, 0], "weight": 1},
            {"loads": [3, 3, 3], "hits": [1, 1, 1], "weight": 2},
        ],
        cases=120,
    )
    deep.refuses(
        {"rho": 0.4, "d": 3, "k": 2},
        {"rho": (1, 1.0, 1.5, 40, *_NEGATIVE), "d": (0, -3), "k": (-1, -2)},
        "rho is at least 0 and below 1, d at least 1, k not negative",
    )
    deep.refuses(
        {"loads": [5, 2, 3], "hits": [1, 0.5, 0], "weight": 2},
        {
            "loads": ([], [5, 2], [5, 2, 3, 1], [5, -2, 3]),
            "hits": ([], [1, 0.5], [1, 0.5, 0, 0], [1, 1.01, 0], [-0.01, 0.5, 0]),
            "weight": _NEGATIVE,
        },
        "each replica has a load that is not negative and a hit in [0, 1], and so is the weight",
        of="route",
    )
    deep.refuses(
        {"loads": [5], "hits": [0], "weight": 2},
        {"loads": ([5, 6],), "hits": ([0, 1],)},
        "there are as many hits as loads",
        of="route",
    )


@exercise("prefix_hits")
def _prefix_hits(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        names = dice.choice((range(7), "abcdefg"))
        prompts: list[list[Any]] = []
        for _ in range(dice.whole(1, 10)):
            blocks = dice.sample(list(names), dice.whole(0, 5))
            if prompts and dice.random() < 0.6:
                begin = dice.choice(prompts)[: dice.whole(1, 5)]
                blocks = begin + [block for block in blocks if block not in begin]
            prompts.append(blocks)
        return {"requests": prompts, "capacity": dice.whole(0, 8)}

    @asked(capacity=from_(0))
    def distances(requests: Sequence[Sequence[Any]], capacity: int) -> list[int]:
        """Keep no cache: a block is there if fewer than `capacity` others were used since."""
        uses: list[Any] = []
        answers = []
        for prompt in requests:
            if len({*prompt}) != len(prompt):
                raise ValueError("a block stands twice")
            leading = 0
            for block in prompt:
                if block not in uses:
                    break
                since = uses[: uses.index(block)]
                if len({*since}) >= capacity:
                    break
                leading += 1
            answers.append(leading)
            uses = [*prompt, *uses]  # the newest stands first
        return answers

    deep.agrees(
        draw,
        distances,
        "a block stays as long as fewer than capacity other blocks were used after it, within a "
        "prompt the first one last; only blocks up to the first that is not there count",
        edges=[{"requests": [], "capacity": 0}, {"requests": [[3], [3]], "capacity": 0}],
        cases=150,
    )
    deep.refuses(
        {"requests": [[4, 5], [6]], "capacity": 2},
        {"requests": ([[4, 4]], [[5], [6, 7, 6]]), "capacity": (-1, -2)},
        "capacity is not negative, and no block stands twice in a prompt",
    )


@exercise("pd_split")
def _pd_split(deep: Deep) -> None:
    def promises(dice: Dice, P: float, base: float, each: float) -> dict[str, Any]:
        """Return bounds, some of which are met exactly: at loads of 1/2 and 3/4, by 1 to 4."""
        n_out, moved = dice.choice((1, 2, 3, 5, 9)), dice.choice((0, 0, 0.5, 1))
        delay = moved / max(1, n_out - 1)
        call = {
            "n_out": n_out,
            "ttft_s": P * dice.choice((1, 1.5, 2.5, 0.5, 4)),
            "tpot_s": dice.choice((base + each * dice.choice((1, 2, 4, 9)), base / 2, 4)) + delay,
        }
        if moved or dice.random() < 0.3:
            call["transfer_s"] = moved
        if dice.random() < 0.4:
            call["b_max"] = dice.choice((1, 2, 4))
        return call

    def ties(dice: Dice) -> Arguments:
        P = dice.choice((0, 0.125, 0.25, 0.5, 0.5))
        base, each = dice.choice((0, 0.25, 0.5, 1)), dice.choice((0, 0.0625, 0.25, 0.5))
        return {
            "lam": dice.choice((0, 0.5, 1, 2, 3, 8)),
            "prefill_s": P,
            "base_s": base,
            "per_seq_s": each,
            **promises(dice, P, base, each),
        }

    def draw(dice: Dice) -> Arguments:
        P, base = dice.uniform(0.01, 0.4), dice.uniform(0.001, 0.02)
        each, gaps = dice.uniform(1e-5, 5e-4), dice.whole(1, 200)
        moved = dice.choice((0, 0.03))
        return {
            "lam": dice.whole(1, 25),
            "prefill_s": P,
            "n_out": gaps + 1,
            "base_s": base,
            "per_seq_s": each,
            "ttft_s": P * dice.choice((1.01, 1.3, 2, 3)),
            "tpot_s": (base + each + moved / gaps) * dice.choice((1.03, 1.5, 2)),
            "transfer_s": moved,
        }

    @asked(
        **dict.fromkeys(
            (
                "lam",
                "prefill_s",
                "base_s",
                "per_seq_s",
                "ttft_s",
                "tpot_s",
                "transfer_s",
            ),
            from_(0),
        ),
        n_out=from_(1),
        b_max=from_(1),
    )
    def grow(
        lam: float,
        prefill_s: float,
        n_out: int,
        base_s: float,
        per_seq_s: float,
        ttft_s: float,
        tpot_s: float,
        transfer_s: float = 0.0,
        b_max: int = 256,
    ) -> Arguments | None:
        short = few_bits(lam, prefill_s, base_s, per_seq_s, ttft_s, tpot_s, transfer_s)
        rate, P, base, each = map(Fraction, (lam, prefill_s, base_s, per_seq_s))

        def within(value: Fraction, bound: float, *others: Fraction) -> bool:
            apart(value, [Fraction(bound)], short and held(value, *others))
            return not value > bound

        def first(node: int) -> Fraction | None:
            busy = rate * P / node
            if within(Fraction(1), float(busy), busy):
                return None
            # what is left of the prompt in progress is half of one, on average
            return P + even(lambda wait: busy * (wait + P / 2) - wait)

        def batch(node: int) -> Fraction | None:
            tokens = rate * (n_out - 1) / node
            if within(Fraction(1), float(tokens * each), tokens, tokens * each):
                return None
            return even(lambda many: tokens * (base + each * many) - many)

        if prefill_s > ttft_s or (prefill_s >= ttft_s and rate * P):
            return None

        def prompt_in_time(node: int) -> bool:
            found = first(node)
            return found is not None and within(found, ttft_s, rate * P / node)

        prefill = next(filter(prompt_in_time, itertools.count(1)))
        ttft = first(prefill)
        if n_out == 1:
            return {"prefill": prefill, "decode": 0, "ttft": ttft, "tpot": None, "batch": 0}
        delay = Fraction(transfer_s) / (n_out - 1)
        if not within(base + each + delay, tpot_s, delay):
            return None

        def step_of(many: Fraction) -> Fraction:
            return base + each * max(many, Fraction(1)) + delay

        def tokens_in_time(node: int) -> bool:
            many = batch(node)
            return (
                many is not None
                and within(many, b_max)
                and within(step_of(many), tpot_s, many, delay)
            )

        decode = next(filter(tokens_in_time, itertools.count(1)))
        many = batch(decode) or Fraction(0)
        return {
            "prefill": prefill,
            "decode": decode,
            "ttft": ttft,
            "tpot": step_of(many),
            "batch": many,
        }

    words = "None where more nodes never help, else the least that keep both bounds"
    parts = {
        "prefill": "the least prefill nodes with a load below 1 whose TTFT, prefill and the wait "
        "of M/D/1, is within its bound, exactly met included",
        "decode": "the least decode nodes with x beta below 1, no more than b_max sequences each, "
        "and TPOT within its bound, exactly met included; none for answers of one token",
        "ttft": "ttft is the prefill and the wait of M/D/1 with these nodes",
        "tpot": "tpot is a step of at least one sequence, and the transfer spread over the gaps; "
        "None for answers of one token",
        "batch": "batch is the sequences that a decode node holds to write what is asked of it",
    }
    deep.agrees(
        ties,
        grow,
        words,
        parts=parts,
        edges=[
            {
                "lam": 2,
                "prefill_s": 0.25,
                "n_out": 1,
                "base_s": 0,
                "per_seq_s": 0,
                "ttft_s": 0.25,
                "tpot_s": 0,
            }
        ],
        cases=250,
    )
    deep.agrees(draw, grow, words, parts=parts, cases=30)
    times = ("prefill_s", "base_s", "per_seq_s", "ttft_s", "tpot_s", "transfer_s")
    good = {**dict.fromkeys(times, 0.5), "lam": 1, "n_out": 9, "tpot_s": 4, "b_max": 8}
    bad = dict.fromkeys(("lam", *times), _NEGATIVE)
    for ttft_s in (3, 0.25):
        deep.refuses(
            {**good, "ttft_s": ttft_s},
            {**bad, "n_out": _NOT_A_COUNT, "b_max": _NOT_A_COUNT},
            "n_out and b_max are at least 1 and nothing is negative, also where no fleet helps",
        )


_FIELDS = ("decode", "prefill", "context")
_FITTED = ("base_s", "per_decode_s", "per_prefill_s", "per_context_s")


def _log(dice: Dice, truth: Sequence[float], noise: float) -> list[dict[str, Any]]:
    """Return steps that a server with these four coefficients may have logged."""
    rows = []
    for _ in range(dice.whole(8, 15)):
        decode, chunks = dice.whole(1, 60), dice.choice((0, 1, 2, 5))
        row = {"decode": decode, "prefill": 128 * chunks, "context": decode * dice.whole(20, 900)}
        takes = truth[0] + sum(c * row[name] for c, name in zip(truth[1:], _FIELDS, strict=True))
        rows.append({**row, "step_s": takes * dice.uniform(1 - noise, 1 + noise)})
    return rows


@exercise("fit_step")
def _fit_step(deep: Deep) -> None:
    truths = (
        (8e-3, 1e-4, 4e-5, 2e-7),
        (0.03, -2e-4, 4e-5, 1e-7),
        (-4e-4, 1e-3, 4e-5, 1e-7),
        (5e-3, 3e-4, 0.0, 0.0),
    )

    def noisy(dice: Dice) -> Arguments:
        return {"rows": _log(dice, dice.choice(truths), dice.choice((0.1, 0.3)))}

    def usable(rows: list[dict[str, Any]]) -> tuple[Any, Any]:
        """Return each row's counts over its time, and what fits have to be told apart by."""
        if len(rows) < 8 or any(row["step_s"] <= 0 or min(row.values()) < 0 for row in rows):
            raise Unasked
        parts = np.array([[1, *(row[name] for name in _FIELDS)] for row in rows], dtype=float)
        parts /= np.array([[row["step_s"]] for row in rows])
        size = np.sqrt((parts[::2] ** 2).mean(axis=0))
        used = parts[::2, size > 0] / size[size > 0]
        if np.linalg.cond(used) > 1e4:
            raise Unasked
        return parts, size

    def best(fit: Any, rows: list[dict[str, Any]]) -> str | bool:
        """Move each coefficient to where the sum is least, the others as they are."""
        parts, size = usable(rows)
        found = fit(rows)
        given = np.array([float(found[name]) for name in _FITTED])
        off = parts[::2] @ given - 1
        for place in range(4):
            own = parts[::2, place]
            slope = (off @ own) / (own @ own or 1.0)
            moved = max(0.0, given[place] - slope)
            if given[place] < 0 or (size[place] == 0 and given[place] != 0):
                return (
                    "no coefficient is below 0, and that of a field that is 0 in rows 0, 2, 4, ... "
                    f"is 0; {_FITTED[place]} is {given[place]:.3g}"
                )
            if abs(moved - given[place]) * size[place] > 1e-6:
                return (
                    "over rows 0, 2, 4, ... the sum of squared relative errors is the least; it is "
                    f"less with {_FITTED[place]} = {moved:.3g} instead of {given[place]:.3g}"
                )
        return sorted(found) == sorted((*_FITTED, "train_error", "held_out_error"))

    deep.holds(
        noisy,
        best,
        "over rows 0, 2, 4, ... no coefficient, moved up or down but not below 0, makes the sum "
        "of squared relative errors less; a field that is 0 in all of these rows gets 0",
        cases=30,
    )

    def unused(dice: Dice) -> Arguments:
        rows = _log(dice, truths[0], 0.2)
        for row in rows:
            row["prefill"] = 0
        return {"rows": rows}

    deep.holds(
        unused, best, "the coefficient of a field that is 0 in all fitted rows is 0", cases=8
    )

    def errors(fit: Any, rows: list[dict[str, Any]]) -> str | bool:
        usable(rows)
        found = fit(rows)
        shares = []
        for row in rows:
            model = found[_FITTED[0]]
            for coefficient, name in zip(_FITTED[1:], _FIELDS, strict=True):
                model += found[coefficient] * row[name]
            shares.append(abs(model - row["step_s"]) / row["step_s"])
        for name, own in (("train_error", shares[::2]), ("held_out_error", shares[1::2])):
            own.sort()
            middle_two = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
            if abs(found[name] - middle_two) > 1e-6 * middle_two + 1e-9:
                return (
                    f"{name} is the median of |fit / time - 1| over its rows, {middle_two:.4g} "
                    f"here, not {found[name]:.4g}: rows 0, 2, 4, ... for train, "
                    "1, 3, 5, ... for held out"
                )
        return True

    deep.holds(
        noisy,
        errors,
        "each error is the median of how far its rows are from what the fit says, as a share of "
        "the measured time: one over the fitted rows, one over the others",
        cases=30,
    )
    deep.holds(
        lambda dice: {"rows": _log(dice, truths[0], 0)},
        lambda fit, rows: (
            usable(rows) and close([fit(rows)[name] for name in _FITTED], truths[0], 1e-6)
        ),
        "steps that a model made, without noise, give its four coefficients again",
        cases=5,
    )
    rows: list[dict[str, Any]] = [
        {"decode": n, "prefill": 64 * (n % 2), "context": 90 * n * n, "step_s": 0.004 + n / 999}
        for n in range(2, 11)
    ]
    changes: list[dict[str, Any]] = [
        {"step_s": 0},
        {"step_s": -0.004},
        *({name: -2} for name in _FIELDS),
    ]
    deep.refuses(
        {"rows": rows},
        {
            "rows": (
                [],
                rows[:7],
                *(
                    [*rows[:place], rows[place] | c, *rows[place + 1 :]]
                    for place in (4, 5)
                    for c in changes
                ),
            )
        },
        "there are eight rows, each took time, and nothing is counted below 0",
    )


@exercise("plan_fleet")
def _plan_fleet(deep: Deep) -> None:
    mouse = (3, 2430, 0.012, 2e-4, 2e-4, 1e-6)

    def draw(dice: Dice) -> Arguments:
        clock, beat = 0.0, dice.choice((0, 2, 3, 4))
        trace: list[dict[str, Any]] = []
        for _ in range(dice.whole(6, 14)):
            clock += dice.choice((0, 0.05, 0.3))
            long = len(trace) % beat == 0 if beat else dice.random() < 0.3
            trace.append(
                {
                    "arrival_s": clock,
                    "prompt": dice.choice((40, 200)) * (12 if long else 1),
                    "output": dice.choice((1, 2, 15, 60)),
                }
            )
        options = fleetplans.offers(
            ("mouse", "0.70", dice.whole(2, 6), *mouse),
            ("horse", dice.choice(("0.80", "1.40", "1.90")), 2, 8, 9000, 0.01, 1e-4, 5e-5, 2e-7),
        )
        slo = {
            "ttft_s": dice.choice((0.03, 0.1, 0.25, 0.6)),
            "tpot_s": dice.choice((0.0125, 0.016, 0.03, 0.1)),
            "share": dice.choice(("0.5", "0.75", "0.9", "1")),
        }
        return {"trace": trace, "options": options[: dice.choice((1, 2, 2))], "slo": slo}

    def cheapest(scenario: Arguments) -> Fraction | None:
        """Return the least cost of a plan that keeps the promise."""
        instants = [one["arrival_s"] for one in scenario["trace"]]
        if instants != sorted(instants):
            raise Unasked
        try:
            plan = fleetplans.plan_fleet(**scenario)
        except ValueError:
            raise Unasked from None
        return None if plan is None else fleetplans.judge_plan(plan, **scenario).usd_h

    def keeps(planner: Any, **scenario: Any) -> bool:
        cheapest(scenario)
        plan = planner(**scenario)
        if plan is None:
            return True
        judged = fleetplans.judge_plan(plan, **scenario)
        planner.said.append(f"played, {judged}")
        return judged.feasible

    def saves(planner: Any, **scenario: Any) -> bool:
        least = cheapest(scenario)
        plan = planner(**scenario)
        if plan is None or least is None:
            return plan is least
        judged = fleetplans.judge_plan(plan, **scenario)
        planner.said.append(f"played, {judged}; another plan keeps it for {float(least):g} $/h")
        return judged.usd_h == least

    deep.holds(
        draw,
        keeps,
        "a plan names an option and as many replicas as there are of it, and keeps the promise "
        "when it is played: the share is of all requests, each within both bounds",
        cases=30,
    )
    deep.holds(
        draw,
        saves,
        "no plan on offer keeps the promise for less, and None is right only where none keeps it",
        edges=[
            {  # each third request is large: with three replicas one gets them all
                "trace": [
                    {"arrival_s": at / 20, "prompt": 200 if at % 3 else 2400, "output": 2}
                    for at in range(7)
                ],
                "options": fleetplans.offers(("mouse", "0.70", 5, *mouse)),
                "slo": {"ttft_s": 0.95, "tpot_s": 0.1, "share": "1"},
            }
        ],
        cases=30,
    )
    trace = [{"arrival_s": 0.5, "prompt": 30, "output": 4}]
    slo = {"ttft_s": 9, "tpot_s": 9, "share": "0.5"}
    options = fleetplans.offers(("mouse", "0.70", 2, *mouse))
    deep.agrees(
        lambda _: {"trace": trace, "options": [], "slo": slo},
        lambda **_: None,
        "without an option no plan keeps anything",
        cases=1,
    )
    deep.refuses(
        {"trace": trace, "options": options, "slo": slo}, {"trace": ([],)}, "there is a request"
    )
