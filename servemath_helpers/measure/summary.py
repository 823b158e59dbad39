"""What a load test says: percentiles, each tool's times, promises kept, and whether to believe it.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from servemath_helpers._validate import finite_positive
from servemath_helpers.latency import percentile
from servemath_helpers.loadtest import correct_omission, slope_interval, token_times
from servemath_helpers.measure.answers import Answer
from servemath_helpers.quantities import Exact

__all__ = ["LATE", "TOOLS", "Summary"]

#: Tools that define their own times, see `loadtest.token_times`.
TOOLS = ("vllm", "inference-perf", "mlperf", "guidellm")
#: A client that sends later than this share of the interval between arrivals measures itself.
LATE = 0.1
_ENOUGH = 20


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e3 * seconds:.1f}"


@dataclass(frozen=True)
class Summary:
    """The meaning of a load test.

    Parameters
    ----------
    answers : sequence of Answer
        What came back.
    interval_s : float, optional
        Mean time between arrivals of an open loop; None for a closed one.
    ttft_slo_s, tpot_slo_s : float, optional
        Promises, above 0; None for none.

    Examples
    --------
    >>> answers = [Answer(request=i, scheduled_s=float(i), sent_s=float(i), prompt_tokens=8,
    ...                   output_tokens=3, token_s=(i + 0.25, i + 0.5, i + 1.0))
    ...            for i in range(4)]
    >>> found = Summary(answers, interval_s=1.0, ttft_slo_s=0.3, tpot_slo_s=0.3)
    >>> found.quantile("ttft", "0.99"), found.attainment, found.tpot_s("guidellm")
    (0.25, 0.0, 0.3333333333333333)
    """

    answers: Sequence[Answer]
    interval_s: float | None = None
    ttft_slo_s: float | None = None
    tpot_slo_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("interval_s", "ttft_slo_s", "tpot_slo_s"):
            if getattr(self, name) is not None:
                finite_positive(name, getattr(self, name))
        if not self.answers:
            raise ValueError("answers must hold at least one, got none")

    @cached_property
    def ok(self) -> list[Answer]:
        """Those that were answered in full, in the order in which they were sent."""
        return sorted((one for one in self.answers if one.ok), key=lambda one: one.sent_s)

    @cached_property
    def errors(self) -> Counter[str]:
        """What went wrong, and how often."""
        return Counter(one.error for one in self.answers if not one.ok)

    @property
    def duration_s(self) -> float:
        """From the first that was sent to the last token."""
        return max(one.token_s[-1] for one in self.ok) - min(one.sent_s for one in self.answers)

    @property
    def throughput_rps(self) -> float:
        """Requests answered per second."""
        return len(self.ok) / self.duration_s

    @property
    def throughput_tok_s(self) -> float:
        """Output tokens per second."""
        return sum(one.output_tokens for one in self.ok) / self.duration_s

    def times(self, metric: str) -> list[float]:
        """Return "ttft", "tpot" or "e2e" [s] of those who have it, in the order of sending."""
        values = [getattr(one, f"{metric}_s") for one in self.ok]
        return [value for value in values if value is not None]

    def quantile(self, metric: str, q: Exact) -> float | None:
        """Return a quantile (nearest rank), None where nobody has that time."""
        times = self.times(metric)
        return percentile(times, q) if times else None

    def tpot_s(self, tool: str) -> float | None:
        """Return the mean time per output token as a tool defines it, None where it has none."""
        values = [
            token_times(one.sent_s, one.instants_s, tool)["tpot"]
            for one in self.ok
            if one.output_tokens > 1 or tool != "mlperf"
        ]
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known else None

    @property
    def pooled_gap_s(self) -> float | None:
        """Mean of all gaps between neighbouring pieces, whoever they belong to."""
        gaps = [gap for one in self.ok for gap in one.gaps_s]
        return math.fsum(gaps) / len(gaps) if gaps else None

    @property
    def good(self) -> int:
        """Requests that were answered within all promises."""

        def within(value: float | None, bound: float | None) -> bool:
            return value is None or bound is None or value <= bound

        return sum(
            within(one.ttft_s, self.ttft_slo_s) and within(one.tpot_s, self.tpot_slo_s)
            for one in self.ok
        )

    @property
    def attainment(self) -> float:
        """Share of all requests that kept all promises; one that failed kept none."""
        return self.good / len(self.answers)

    @property
    def goodput_rps(self) -> float:
        """Requests per second that kept all promises."""
        return self.good / self.duration_s

    @property
    def lag_s(self) -> float:
        """How late the latest hundredth was sent (P99)."""
        return percentile([one.lag_s for one in self.answers], "0.99")

    @property
    def late(self) -> bool:
        """Whether the client, not the server, was what was measured."""
        return self.interval_s is not None and self.lag_s > LATE * self.interval_s

    @property
    def growing(self) -> bool | None:
        """Whether TTFT grew for as long as the test took; None for too few requests."""
        ttft = self.times("ttft")
        return slope_interval(ttft)[0] > 0 if len(ttft) >= _ENOUGH else None

    def corrected_p99_s(self, interval_s: float) -> tuple[float, float]:
        """Return P99 of E2E as a closed loop saw it, and as one who was due each interval would."""
        found = correct_omission([round(e2e, 6) for e2e in self.times("e2e")], round(interval_s, 6))
        return found["raw"], found["corrected"]

    def text(self) -> str:
        """Return all of it as a table to read."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        failed = len(self.answers) - len(self.ok)
        yield f"{len(self.ok)} of {len(self.answers)} requests answered in full"
        for error, n in self.errors.most_common(5):
            yield f"  {n} x {error}"
        if not self.ok:
            return
        yield f"{self.duration_s:.2f} s, {self.throughput_rps:.3g} requests/s, " + (
            f"{self.throughput_tok_s:.4g} output tokens/s"
        )
        yield ""
        yield f"{'[ms]':<8}{'mean':>10}{'P50':>10}{'P90':>10}{'P99':>10}{'max':>10}"
        for metric in ("ttft", "tpot", "e2e"):
            times = self.times(metric)
            shown = [math.fsum(times) / len(times) if times else None]
            shown += [self.quantile(metric, q) for q in ("0.5", "0.9", "0.99", 1)]
            yield f"{metric.upper():<8}" + "".join([f"{_ms(value):>10}" for value in shown])
        yield ""
        yield "mean time per output token [ms], as each tool defines it"
        for tool in TOOLS:
            yield f"  {tool:<16}{_ms(self.tpot_s(tool)):>10}"
        yield f"  {'all gaps pooled':<16}{_ms(self.pooled_gap_s):>10}"
        pieces, tokens = (
            sum(map(len, (one.token_s for one in self.ok))),
            sum(one.output_tokens for one in self.ok),
        )
        if pieces != tokens:
            yield f"  {tokens} tokens came in {pieces} pieces: a gap is one of pieces"
        if self.ttft_slo_s is not None or self.tpot_slo_s is not None:
            yield ""
            bounds = [
                f"{name} <= {_ms(bound)} ms"
                for name, bound in (("TTFT", self.ttft_slo_s), ("TPOT", self.tpot_slo_s))
                if bound is not None
            ]
            yield f"{self.attainment:.1%} within {' and '.join(bounds)}: " + (
                f"goodput {self.goodput_rps:.3g} requests/s"
            )
        yield from self._doubts(failed)

    def _doubts(self, failed: int) -> Iterator[str]:
        if failed:
            yield f"CAUTION: {failed} requests failed; the times are those of the others."
        if self.late:
            lag, interval = _ms(self.lag_s), _ms(self.interval_s)
            yield f"VOID: the client sent {lag} ms late (P99), more than a tenth of {interval} ms."
        if self.interval_s is not None and self.growing:
            yield "UNSTABLE: TTFT grew from first to last; percentiles say how long the test was."
        if self.interval_s is not None and self.growing is None:
            yield f"Fewer than {_ENOUGH} requests: whether the queue was growing cannot be told."
