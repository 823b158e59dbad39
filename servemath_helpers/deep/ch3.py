"""Chapter 3: bytes, blocks and steps, counted one at a time in exact numbers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from servemath_helpers.deep.engine import Arguments, Deep, Dice, Unasked, exercise
from servemath_helpers.deep.exactly import (
    above,
    apart,
    asked,
    few_bits,
    from_,
    read,
    share,
    two_to_the,
)

__all__: list[str] = []

_NOT_A_COUNT = (0, -1, -24)
_NEGATIVE = (-0.25, -6)
_NOT_ABOVE_0 = (0, *_NEGATIVE)
_NO_SHARE_TO_KEEP = ("-0.03", "-1", -0.4, 1, "1", 1.25, "12")


@exercise("kv_bytes_per_token")
def _kv_bytes_per_token(deep: Deep) -> None:
    sizes = ("0.5", "0.75", "0.3", "1.0625", "2", "3.1", "0.00000234", "0.1875", "1")

    def draw(dice: Dice) -> Arguments:
        shape = {
            "n_layers": dice.whole(1, 6),
            "n_kv_heads": dice.whole(1, 5),
            "head_dim": dice.whole(1, 12),
        }
        if dice.random() < 0.1:
            return shape
        return {**shape, "bytes_per_elem": dice.form(dice.choice(sizes))}

    @asked(n_layers=from_(1), n_kv_heads=from_(1), head_dim=from_(1), bytes_per_elem=above(0))
    def count(n_layers: int, n_kv_heads: int, head_dim: int, bytes_per_elem: Any = 2) -> Fraction:
        stored = Fraction(0)
        for _layer in range(n_layers):
            for _head in range(n_kv_heads):
                for _tensor in ("key", "value"):
                    for _element in range(head_dim):
                        stored += read(bytes_per_elem)
        return stored

    deep.agrees(
        draw,
        count,
        "each layer keeps, for each key/value head, the elements of a key and of a value, and "
        "bytes_per_elem is the number that one reads, whatever its form",
    )
    deep.refuses(
        {"n_layers": 3, "n_kv_heads": 2, "head_dim": 5, "bytes_per_elem": 1},
        {
            **dict.fromkeys(("n_layers", "n_kv_heads", "head_dim"), _NOT_A_COUNT),
            "bytes_per_elem": (*_NOT_ABOVE_0, "0", "-0.75", Decimal("-4")),
        },
        "counts are at least 1, and bytes_per_elem is above 0",
    )


@exercise("kv_cache_size")
def _kv_cache_size(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        return {
            "seq": dice.whole(0, 9000),
            "batch": dice.whole(0, 60),
            "k": dice.choice((dice.whole(1, 900_000), dice.whole(1, 99) + 0.25, 0.125)),
        }

    @asked(seq=from_(0), batch=from_(0), k=above(0))
    def weigh(seq: int, batch: int, k: float) -> Arguments:
        held = Fraction(0)
        for _sequence in range(batch):
            held += seq * Fraction(k)
        decimal_units = binary_units = held
        for _thousand in ("kilo", "mega", "giga"):
            decimal_units /= 1000
            binary_units /= 1024
        return {"bytes": held, "gb": decimal_units, "gib": binary_units}

    deep.agrees(
        draw,
        weigh,
        "all three are of the whole batch, nothing is rounded, and nothing stored takes 0",
        parts={
            "bytes": "bytes are those of the whole batch: sequences, times tokens, times k",
            "gb": "gb are the bytes of the whole batch over 10^9, not rounded",
            "gib": "gib are the bytes of the whole batch over 2^30, not rounded",
        },
        edges=[{"seq": 0, "batch": 3, "k": 5}, {"seq": 3, "batch": 0, "k": 5}],
    )
    deep.refuses(
        {"seq": 70, "batch": 9, "k": 640},
        {"seq": (-1, -70), "batch": (-1, -9), "k": _NEGATIVE},
        "seq, batch and k are not negative",
    )


def _long_reserve(dice: Dice) -> tuple[int, Any]:
    """Return what is usable of 10**19 bytes, and the reserve, of more digits than a float has."""
    kept_free = dice.randrange(10**18, 4 * 10**18)
    form = dice.choice((str, Decimal, Fraction))
    return 10**19 - kept_free, form(str(Decimal(kept_free).scaleb(-19)))


def _memory_bytes(gpu_bytes: int, reserve: Any) -> Fraction:
    return gpu_bytes - read(reserve) * gpu_bytes


@exercise("min_gpus")
def _min_gpus(deep: Deep) -> None:
    def small(dice: Dice) -> Arguments:
        call = {
            "n_params": dice.whole(1, 300),
            "bits": dice.whole(1, 16),
            "gpu_bytes": dice.whole(3, 60),
        }
        if dice.random() < 0.3:
            return call
        return {**call, "reserve": dice.form(dice.choice(("0.1", "0.25", "0.3", "0.07", "0")))}

    def tiny(dice: Dice) -> Arguments:
        return {
            "n_params": dice.whole(1, 9),
            "bits": dice.choice((1, 3, 4, 5)),
            "gpu_bytes": dice.whole(1, 3),
            "reserve": dice.form(dice.choice(("0.5", "0.25", "0.75", "0.4"))),
        }

    def to_the_byte(dice: Dice) -> Arguments:
        cards, more = dice.whole(1, 13), dice.randint(-1, 1)
        if dice.random() < 0.3:
            usable, reserve = _long_reserve(dice)
            params = cards * usable + more
            return {"n_params": params, "bits": 8, "gpu_bytes": 10**19, "reserve": reserve}
        memory, bits = dice.choice((24, 48, 80, 141)) * 10**9, dice.choice((2, 4, 8, 16))
        percent = dice.whole(0, 60)
        filled = cards * memory // 100 * (100 - percent)
        call = {"n_params": filled * 8 // bits + more, "bits": bits, "gpu_bytes": memory}
        if percent == 0:
            return call
        return {**call, "reserve": dice.form(str(Decimal(percent).scaleb(-2)))}

    @asked(n_params=from_(1), bits=above(0), gpu_bytes=above(0), reserve=share)
    def fill(n_params: int, bits: int, gpu_bytes: int, reserve: Any = "0") -> int:
        bytes_left, bits_left = divmod(n_params * bits, 8)
        bytes_left += bits_left > 0
        usable, gpus = _memory_bytes(gpu_bytes, reserve), 0
        if bytes_left > 500 * usable:
            raise Unasked
        while gpus * usable < bytes_left:
            gpus += 1
        return gpus

    words = (
        "weights are rounded up to whole bytes, each GPU keeps its reserve free, and weights that "
        "fill the usable memory exactly fit: reserve is the decimal that one reads, so count in "
        "exact numbers"
    )
    for draw in (small, tiny, to_the_byte):
        deep.agrees(draw, fill, words, cases=30)
    deep.refuses(
        {"n_params": 90, "bits": 6, "gpu_bytes": 32, "reserve": "0.2"},
        {
            "n_params": _NOT_A_COUNT,
            "bits": (0, -6),
            "gpu_bytes": (0, -32),
            "reserve": _NO_SHARE_TO_KEEP,
        },
        "n_params is at least 1, bits and gpu_bytes are above 0, and reserve is in [0, 1)",
    )


@exercise("max_users")
def _max_users(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        gpus, users, seq = dice.whole(1, 8), dice.whole(0, 30), dice.whole(1, 50)
        k = dice.choice((dice.whole(1, 60), dice.whole(1, 9) + 0.5))
        percent, weights = dice.choice((0, 5, 10, 30, 40)), dice.whole(0, 900)
        conversations = int(users * k * seq)
        hundredth = (conversations + weights) // ((100 - percent) * gpus) + 1
        call = {
            "n_gpus": gpus,
            "gpu_bytes": 100 * hundredth,
            # the users fill the memory but for a byte or so
            "weight_bytes": max(
                0, gpus * hundredth * (100 - percent) - conversations + dice.randint(-1, 1)
            ),
            "k": k,
            "seq": seq,
        }
        if dice.random() < 0.15:
            call["weight_bytes"] += gpus * 100 * hundredth
        if percent == 0:
            return call
        return {**call, "reserve": dice.form(str(Decimal(percent).scaleb(-2)))}

    def to_the_byte(dice: Dice) -> Arguments:
        usable, reserve = _long_reserve(dice)
        gpus, users = dice.whole(1, 8), dice.whole(1, 30)
        each = gpus * usable // (users + 2)
        return {
            "n_gpus": gpus,
            "gpu_bytes": 10**19,
            "weight_bytes": gpus * usable - users * each + dice.randint(-1, 1),
            "k": each,
            "seq": 1,
            "reserve": reserve,
        }

    @asked(
        n_gpus=from_(1),
        gpu_bytes=above(0),
        weight_bytes=from_(0),
        k=above(0),
        seq=from_(1),
        reserve=share,
    )
    def admit(
        n_gpus: int, gpu_bytes: int, weight_bytes: int, k: float, seq: int, reserve: Any = "0"
    ) -> int:
        if n_gpus * gpu_bytes > 500 * k * seq:
            raise Unasked
        free = sum(_memory_bytes(gpu_bytes, reserve) for _gpu in range(n_gpus)) - weight_bytes
        users = 0
        while free >= seq * Fraction(k):
            free -= seq * Fraction(k)
            users += 1
        return users

    words = (
        "users are admitted while the memory of all GPUs, less the reserve and the weights, has "
        "room for a whole one more: rounded down once, exactly, to the last byte"
    )

    def too_heavy(n_gpus: int, gpu_bytes: int, weight_bytes: int, **rest: Any) -> bool:
        return weight_bytes > n_gpus * _memory_bytes(gpu_bytes, rest.get("reserve", 0))

    edges_say = [(too_heavy, "weights that do not fit leave room for nobody: 0, never less")]
    deep.agrees(draw, admit, words, edges_say=edges_say)
    deep.agrees(to_the_byte, admit, words, cases=20, edges_say=edges_say)
    bad = {
        "n_gpus": _NOT_A_COUNT,
        "seq": _NOT_A_COUNT,
        "k": _NOT_ABOVE_0,
        "gpu_bytes": (-1, -90),
        "weight_bytes": (-1, -90),
        "reserve": _NO_SHARE_TO_KEEP,
    }
    words = (
        "n_gpus and seq are at least 1, k is above 0, sizes are not negative and reserve is in "
        "[0, 1), also where there is no room"
    )
    for weights in (50, 9000):
        good = {"n_gpus": 3, "gpu_bytes": 90, "k": 2, "seq": 6, "reserve": "0.1"}
        deep.refuses({**good, "weight_bytes": weights}, bad, words)


@exercise("paged_blocks")
def _paged_blocks(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        block = dice.choice((1, 2, 8, 32, dice.whole(1, 40)))
        lengths = [
            dice.choice((0, block, 2 * block, dice.whole(1, 120), dice.whole(1, 120)))
            for _ in range(dice.whole(1, 6))
        ]
        return {"lengths": dice.sequence(lengths), "block": block}

    @asked(block=from_(1))
    def store(lengths: Any, block: int) -> tuple[int, int, Any]:
        used = empty = 0
        for tokens in lengths:
            places = 0
            for _token in range(tokens):
                if places == 0:
                    used += 1
                    places = block
                places -= 1
            empty += places
        return used, used * block, Fraction(empty, used * block) if used else 0

    deep.agrees(
        draw,
        store,
        "a sequence opens a block when it has a token and no place, and no block is shared",
        parts={
            0: "blocks: each sequence rounds up by itself; full blocks, or no tokens, add none",
            1: "allocated tokens are those for which memory is held: all places of all blocks",
            2: "waste is the share of all allocated places that stay empty, 0 where there are none",
        },
        edges_say=[
            (lambda lengths, block: sum(lengths) == 0, "with nothing to store it is (0, 0, 0.0)")
        ],
        edges=[{"lengths": [], "block": 4}, {"lengths": (0, 0), "block": 4}],
    )
    deep.refuses(
        {"lengths": [9, 4, 12], "block": 5},
        {"lengths": ([-1], [9, -4, 12], [0, -5, 5]), "block": _NOT_A_COUNT},
        "block is at least 1 and no length is negative",
    )


@exercise("prefill_time_s")
def _prefill_time_s(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        call = {
            "n_params": dice.whole(1, 10 ** dice.randint(1, 9)),
            "seq": dice.whole(0, 30),
            "layers": dice.whole(1, 40),
            "d_attn": dice.whole(1, 5000),
            "n_gpus": dice.whole(1, 8),
            "peak_flops": dice.choice((0.5, 3e12, 4.5e14, dice.whole(1, 900) * 1e9)),
        }
        if dice.random() < 0.3:
            return call
        return {**call, "mfu": dice.choice((0.35, 0.6, 1, 1.0, 0.02, 0.99))}

    @asked(
        n_params=from_(1),
        seq=from_(0),
        layers=from_(1),
        d_attn=from_(1),
        n_gpus=from_(1),
        peak_flops=above(0),
        mfu=lambda value: 0 < value <= 1,
    )
    def work(
        n_params: int,
        seq: int,
        layers: int,
        d_attn: int,
        n_gpus: int,
        peak_flops: float,
        mfu: float = 0.5,
    ) -> Fraction:
        flop = 0
        for _token in range(seq):
            flop += n_params + n_params
            for _other in range(seq):
                flop += layers * (d_attn + d_attn)  # half of the pairs, 4 for each of these
        a_second = sum(Fraction(mfu) * Fraction(peak_flops) for _gpu in range(n_gpus))
        return flop / Fraction(a_second)

    deep.agrees(
        draw,
        work,
        "2 FLOP for each token and parameter, 4 d_q in each layer for half of the s * s pairs of "
        "tokens, at the share mfu of all GPUs' peaks",
        cases=40,
    )
    bad = {
        **dict.fromkeys(("n_params", "layers", "d_attn", "n_gpus"), _NOT_A_COUNT),
        "peak_flops": _NOT_ABOVE_0,
        "mfu": (0, 1.01, 35, -0.35, -1),
    }
    for seq in (20, 0):
        good = {"n_params": 500, "layers": 3, "d_attn": 16, "n_gpus": 2, "peak_flops": 1e4}
        deep.refuses(
            {**good, "seq": seq, "mfu": 0.4},
            {**bad, "seq": (-1, -20)},
            "counts are at least 1, seq is not negative, peak_flops is above 0, mfu in (0, 1]; "
            "also for a prompt of no token",
        )


@asked(
    batch=from_(1),
    seq=from_(0),
    n_params=from_(1),
    weight_bytes=above(0),
    k=from_(0),
    n_gpus=from_(1),
    bw_Bps=above(0),
    peak_flops=above(0),
)
def _step_parts(
    batch: int,
    seq: int,
    n_params: int,
    weight_bytes: float,
    k: float,
    n_gpus: int,
    bw_Bps: float,
    peak_flops: float,
) -> tuple[Fraction, Fraction, Fraction]:
    """Return the seconds of a step for the cache, for the weights and for arithmetic."""
    cached, flop = Fraction(0), 0
    for _sequence in range(batch):
        cached += seq * Fraction(k)
        flop += n_params + n_params
    together = sum(Fraction(bw_Bps) for _gpu in range(n_gpus))
    peaks = sum(Fraction(peak_flops) for _gpu in range(n_gpus))
    return cached / together, Fraction(weight_bytes) / together, flop / Fraction(peaks)


def _step_is_exact(call: Arguments) -> bool:
    return few_bits(*call.values()) and two_to_the(
        *(call[name] for name in ("n_gpus", "bw_Bps", "peak_flops"))
    )


_BAD_STEP: dict[str, Any] = {
    "n_params": _NOT_A_COUNT,
    "n_gpus": _NOT_A_COUNT,
    "bw_Bps": _NOT_ABOVE_0,
    "peak_flops": _NOT_ABOVE_0,
    "seq": (-1, -7),
    "weight_bytes": _NEGATIVE,
    "k": _NEGATIVE,
}
_GOOD_STEP: dict[str, Any] = {
    "seq": 7,
    "n_params": 30,
    "weight_bytes": 50,
    "k": 2,
    "n_gpus": 2,
    "bw_Bps": 16,
    "peak_flops": 64,
}


@exercise("decode_step_s")
def _decode_step_s(deep: Deep) -> None:
    def ties(dice: Dice) -> Arguments:
        batch, params, ratio = dice.whole(1, 12), dice.whole(1, 60), dice.choice((1, 2, 4))
        bandwidth = dice.choice((0.5, 1, 2, 8))
        return {
            "batch": batch,
            "seq": dice.whole(0, 9),
            "n_params": params,
            "weight_bytes": 2 * params * batch / ratio + dice.choice((0, 0, 0.25, params, -0.25)),
            "k": dice.choice((0, 0.5, 3)),
            "n_gpus": dice.choice((1, 2, 4)),
            "bw_Bps": bandwidth,
            "peak_flops": bandwidth * ratio,
        }

    def draw(dice: Dice) -> Arguments:
        return {
            "batch": dice.whole(1, 40),
            "seq": dice.whole(0, 5000),
            "n_params": dice.whole(1, 9 * 10**9),
            "weight_bytes": dice.whole(1, 9 * 10**9),
            "k": dice.choice((0, 0.5, dice.whole(1, 200_000))),
            "n_gpus": dice.whole(1, 8),
            "bw_Bps": dice.choice((0.75, 1e10, 2e12)),
            "peak_flops": dice.choice((0.5, 1e11, 7e12)),
        }

    def step(**call: Any) -> Arguments:
        cache, weights, arithmetic = _step_parts(**call)
        apart(weights, [arithmetic], _step_is_exact(call))
        slower = sorted((weights, arithmetic))[1]
        return {
            "step_s": cache + slower,
            "bound": ("memory", "compute")[arithmetic > weights],
            "mfu": arithmetic / (cache + slower),
            "mbu": (cache + weights) / (cache + slower),
        }

    words = "the numbers are those of the statement, by their keys"
    parts = {
        "step_s": "a step reads the cache of each sequence, and besides takes the longer of "
        "reading the weights once and multiplying for all sequences; all GPUs share it",
        "bound": 'the bound is "compute" if multiplying takes longer than reading the weights, '
        'without the cache, else "memory"',
        "mfu": "MFU is the FLOP of the step over what all GPUs could do in its time",
        "mbu": "MBU is the bytes of weights and caches over what all GPUs could read in its time",
    }
    deep.agrees(ties, step, words, parts=parts)
    deep.agrees(draw, step, words, parts=parts, cases=40)
    deep.refuses(
        {**_GOOD_STEP, "batch": 4},
        {**_BAD_STEP, "batch": _NOT_A_COUNT},
        "counts are at least 1, bandwidth and peak above 0, the others not negative",
    )


@exercise("best_batch")
def _best_batch(deep: Deep) -> None:
    def draw(dice: Dice) -> Arguments:
        bandwidth = dice.choice((0.5, 2, 16))
        machine = {
            "seq": dice.whole(0, 40),
            "n_params": dice.whole(1, 80),
            "weight_bytes": dice.choice((0.5, dice.whole(1, 2500))),
            "k": dice.choice((0, 0.25, 3, 20)),
            "n_gpus": dice.choice((1, 2, 8)),
            "bw_Bps": bandwidth,
            "peak_flops": dice.choice((1, 4, 64)) * bandwidth,
        }
        cache, weights, arithmetic = _step_parts(batch=dice.whole(1, 20), **machine)
        aim = float(cache + max(weights, arithmetic))
        return {
            "tpot_slo_s": aim * dice.choice((1, 1, 0.9999999, 1.01, 0.5)),
            "mem_cap": dice.whole(0, 25),
            **machine,
        }

    @asked(tpot_slo_s=from_(0), mem_cap=from_(0))
    def largest(tpot_slo_s: float, mem_cap: int, **machine: Any) -> int:
        exact = _step_is_exact({**machine, "tpot_slo_s": tpot_slo_s})
        found = 0
        for size in range(1, mem_cap + 1):
            cache, weights, arithmetic = _step_parts(batch=size, **machine)
            longer = cache + arithmetic if arithmetic > weights else cache + weights
            apart(longer, [Fraction(tpot_slo_s)], exact)
            if not longer > tpot_slo_s:
                found = size
        return found

    deep.agrees(
        draw,
        largest,
        "of the batches that fit into memory it is the largest whose step takes no longer than "
        "the bound, exactly included, and 0 if there is none",
        cases=50,
    )
    for cap in (8, 0):
        deep.refuses(
            {**_GOOD_STEP, "tpot_slo_s": 4, "mem_cap": cap},
            {**_BAD_STEP, "tpot_slo_s": _NEGATIVE, "mem_cap": (-1, -8)},
            "the bound and mem_cap are not negative, and the rest as for a decode step, also "
            "where nothing fits",
        )


@exercise("speculative_speedup", "best_gamma")
def _speculative_speedup(deep: Deep) -> None:
    shares = (0, 0.25, 0.5, 0.75, 1, 1.0, 0.9, 0.37)

    @asked(alpha=from_(0), gamma=from_(0), c=from_(0))
    def speed(alpha: float, gamma: int, c: float) -> tuple[Fraction, Fraction]:
        """Average over all fates of a draft: each of its tokens is accepted, or is not."""
        accepted, mean = Fraction(alpha), Fraction(0)
        for fate in range(2**gamma):
            bits = f"{fate:0{gamma}b}" if gamma else ""
            chance = accepted ** bits.count("1") * (1 - accepted) ** bits.count("0")
            mean += chance * (1 + len(bits.split("0")[0]))
        return mean, mean / sum([Fraction(c)] * gamma, start=Fraction(1))

    def round_of(dice: Dice) -> Arguments:
        return {
            "alpha": dice.choice((*shares, round(dice.random(), 3))),
            "gamma": dice.whole(0, 6),
            "c": dice.choice((0, 0.5, 1, 2.5, round(dice.random(), 3))),
        }

    deep.agrees(
        round_of,
        speed,
        "the two numbers are those of the statement, in its order",
        parts={
            0: "expected tokens: those accepted up to the first rejection, and one of the large "
            "model's own after them: gamma + 1 if all are accepted",
            1: "the speed-up is the expected tokens over the time of a round: gamma steps of c, "
            "and one of the large model",
        },
    )

    def pair(dice: Dice) -> Arguments:
        alpha = dice.choice((*shares, round(dice.random(), 2)))
        cheap = round(dice.random() / 8, 3)
        costs = (0, 0.25, 0.5, 1, 1.5, cheap, cheap, alpha)
        return {"alpha": alpha, "c": dice.choice(costs), "gmax": dice.whole(0, 6)}

    @asked(alpha=from_(0), c=from_(0), gmax=from_(0))
    def longest_worth_it(alpha: float, c: float, gmax: int) -> int:
        exact = few_bits(8 * alpha, 8 * c) and (8 * alpha) % 1 == (8 * c) % 1 == 0
        best, record = 0, Fraction(1)
        for draft in range(1, gmax + 1):
            faster = speed(alpha=alpha, gamma=draft, c=c)[1]
            apart(faster, [record], exact)
            if faster > record:
                best, record = draft, faster
        return best

    deep.agrees(
        pair,
        longest_worth_it,
        "of the drafts of 0 to gmax tokens, both included, it is the fastest, and of equally fast "
        "ones the shortest",
        of="best_gamma",
    )
    alphas = (-0.2, -1, 1.01, 60)
    words = "alpha lies between 0 and 1, nothing else is negative"
    deep.refuses(
        {"alpha": 0.4, "gamma": 3, "c": 0.2},
        {"alpha": alphas, "gamma": (-1, -3), "c": _NEGATIVE},
        words,
    )
    for gmax in (3, 0):
        deep.refuses(
            {"alpha": 0.4, "c": 0.2, "gmax": gmax},
            {"alpha": alphas, "c": _NEGATIVE, "gmax": (-1, -3)},
            words,
            of="best_gamma",
        )


@exercise("resume_plan")
def _resume_plan(deep: Deep) -> None:
    def ties(dice: Dice) -> Arguments:
        speed = dice.choice((0.5, 1, 2, 64))
        return {
            "tokens": dice.choice((0, 1, 2, 4, 8)),
            "k": dice.choice((0, 0.5, 1, 3)),
            "link_Bps": dice.choice((None, speed, speed, 2 * speed)),
            "host_Bps": dice.choice((None, speed, speed, speed / 2)),
            "prefill_s": dice.choice((0, 0.5, 1, 2, 3, 16)),
            "latency_s": dice.choice((0, 0.5, 1)),
        }

    def draw(dice: Dice) -> Arguments:
        return {
            "tokens": dice.whole(0, 40),
            "k": dice.whole(0, 900_000),
            "link_Bps": dice.choice((None, 1e9, 7.5e9, 3e10)),
            "host_Bps": dice.choice((None, 2e9, 2.2e10, 5e10)),
            "prefill_s": dice.choice((0.00047, 0.0123, dice.random())),
            "latency_s": dice.choice((0, 0.00013, 0.0021, 0.0021)),
        }

    @asked(
        tokens=from_(0),
        k=from_(0),
        link_Bps=above(0),
        host_Bps=above(0),
        prefill_s=from_(0),
        latency_s=from_(0),
    )
    def race(
        tokens: int,
        k: float,
        link_Bps: float | None,
        host_Bps: float | None,
        prefill_s: float,
        latency_s: float,
    ) -> tuple[str, Fraction]:
        paths = {"host": host_Bps, "transfer": link_Bps}
        there = {name: speed for name, speed in paths.items() if speed is not None}
        exact = few_bits(tokens, k, prefill_s, latency_s) and two_to_the(*there.values())
        first, soonest = "recompute", read(prefill_s)
        for name, speed in there.items():
            arrived = read(latency_s)
            for _token in range(tokens):
                arrived += read(k) / read(speed)
            apart(arrived, [soonest], exact)
            if not arrived > soonest:  # an equal one comes first: it stands earlier in the order
                first, soonest = name, arrived
        return first, soonest

    words = "the soonest of the paths that exist is taken; one whose bandwidth is None does not"
    parts = {
        0: "the soonest of the paths that exist, the latency counted on both that move bytes; of "
        'equal times the first in the order "transfer", "host", "recompute"',
        1: "seconds are the latency and the bytes over the bandwidth, or prefill_s as given",
    }
    deep.agrees(ties, race, words, parts=parts)
    deep.agrees(draw, race, words, parts=parts, cases=40)
    good = {"tokens": 5, "k": 3, "link_Bps": 4, "host_Bps": 2, "prefill_s": 9, "latency_s": 1}
    bad = {
        "tokens": (-1, -5),
        "link_Bps": _NOT_ABOVE_0,
        "host_Bps": _NOT_ABOVE_0,
        **dict.fromkeys(("k", "prefill_s", "latency_s"), _NEGATIVE),
    }
    for change in ({}, {"tokens": 0}, {"link_Bps": None}, {"link_Bps": None, "host_Bps": None}):
        deep.refuses(
            {**good, **change},
            bad,
            "nothing is negative, a bandwidth is above 0 or None, also where it plays no part",
        )
