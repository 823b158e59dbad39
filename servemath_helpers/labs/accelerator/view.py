"""Lab 5 on the page: three parts about one machine, and a button that measures yours.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> folder = TemporaryDirectory()
>>> lab = AcceleratorLab("ada", "reference", Ledger(Path(folder.name) / "ledger.json"))
>>> for asked, place in (("step", 1), ("gain", 2), ("critical", 3)):
...     lab.predict("part1", asked, place)
>>> lab.lock("part1")
>>> lab.adjust("part1", batch=2)
>>> lab.attempt("part1")
>>> lab.session.attempts("part1")[0].passed
False
>>> folder.cleanup()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from html import escape
from typing import Any, Final

import numpy as np

from servemath_helpers._files import replace_text
from servemath_helpers.labs.accelerator import charts
from servemath_helpers.labs.accelerator.mission import (
    banners,
    fleet_of,
    goal,
    played_of,
    step_of,
    verdict,
    wants,
)
from servemath_helpers.labs.accelerator.model import (
    BATCHES,
    CONTEXT,
    MAX_BATCH,
    NOISY,
    SHARES,
    Record,
    least_replicas,
    measure_record,
    mva_s,
    promises,
)
from servemath_helpers.labs.accelerator.questions import parts_of
from servemath_helpers.labs.accelerator.record import LAB, RECORD_VERSION, hud, outcome
from servemath_helpers.labs.accelerator.story import (
    VARIANTS,
    WORDS,
    YOURS,
    record_of,
    record_of_variant,
)
from servemath_helpers.labs.frame.chrome import banner, cards, peek, table
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.session import Part, Session
from servemath_helpers.labs.frame.svg import Drawn
from servemath_helpers.labs.frame.view import Lab, LabView
from servemath_helpers.tinyllm.transformer import SMALL

__all__ = ["AcceleratorLab"]

_Card = tuple[str, str, str, bool | None]


def _speeds(record: Record) -> str:
    machine = record.machine
    return WORDS.say("story.measured", bw_gbs=machine.bw_Bps / 1e9, gflops=machine.flops / 1e9)


def _story(session: Session) -> str:
    record = record_of(session)
    said = WORDS.say(f"story.{session.variant}", cores=record.cores)
    name, speeds = escape(record.machine.name), escape(_speeds(record))
    text = f"<p>{escape(said)}</p><p><b>{name}</b>: {speeds}</p>"
    if session.variant != "reference" and record.clock == "virtual":
        text += banner("info", "No port.", WORDS.say("story.virtual"))
    if record.machine.spread > NOISY:
        noisy = WORDS.say("story.noisy", spread_share=record.machine.spread)
        text += banner("info", WORDS.say("banners.noisy.title"), noisy)
    return text


def _task(session: Session, part: str) -> str:
    record = record_of(session)
    said = WORDS.say(
        f"{part}.task",
        weight_bytes=SMALL.weight_bytes,
        token_bytes=SMALL.kv_bytes_per_token,
        machine=_speeds(record),
        users=_listed(BATCHES),
        shares=_listed([f"{s:g}" for s in SHARES]),
        most=MAX_BATCH,
        rows=len(record.steps),
    )
    if not session.is_locked(part):  # its numbers would tell of what is to be predicted
        return f"<p>{escape(said)}</p>"
    wanted = "; ".join([goal(record, part), *(want.text for want in wants(record, part))])
    return f"<p>{escape(said)} <b>Mission:</b> {escape(wanted)}.</p>"


def _listed(items: Any) -> str:
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}"


# --- reality -----------------------------------------------------------------------------------


def _reality(session: Session, part: str) -> str:
    """Return what the frozen record says, beside the predictions."""
    record = record_of(session)
    locked = session.predictions(part)
    right = sum([bool(answer.correct) for answer in locked])
    head = f"<h4>Prediction against reality: {right} of {len(locked)}</h4>"
    show = {"part1": _steps_reality, "part2": _runs_reality, "part3": _fit_reality}[part]
    return head + show(record)


def _steps_reality(record: Record) -> str:
    predicted = {batch: record.decode_s(batch) for batch in (1, MAX_BATCH)}
    rates = {batch: batch / seconds for batch, seconds in predicted.items()}
    return cards(
        [
            ("step, B = 1", duration(predicted[1]), "by the roofline"),
            ("tok/s, B = 1", number_text(rates[1]), "by the roofline"),
            (f"tok/s, B = {MAX_BATCH}", number_text(rates[MAX_BATCH]), "by the roofline"),
            ("gain", f"{number_text(record.batch_gain)}×", f"B = {MAX_BATCH} over one"),
            ("critical batch", number_text(record.critical_batch), "arithmetic takes over"),
        ]
    )


def _runs_reality(record: Record) -> str:
    runs = record.runs
    columns = {
        "loop": [f"{run.kind} {run.level:g}" for run in runs],
        "requests/s": [number_text(run.summary.throughput_rps) for run in runs],
        "tok/s": [number_text(run.summary.throughput_tok_s) for run in runs],
        "TTFT P50": [duration(run.summary.quantile("ttft", "0.5")) for run in runs],
        "TTFT P99": [duration(run.summary.quantile("ttft", "0.99")) for run in runs],
        "TPOT P50": [duration(run.summary.quantile("tpot", "0.5")) for run in runs],
        "E2E P99": [duration(run.summary.quantile("e2e", "0.99")) for run in runs],
        "client late": [duration(max(run.summary.lag_s, 0.0)) for run in runs],
    }
    clock = "wall clock" if record.clock == "wall" else "virtual clock"
    return table(f"What the client saw ({clock}; users, or share of capacity)", columns)


def _fit_reality(record: Record) -> str:
    fit = record.fit
    ratio = fit["base_s"] / record.weights_s
    return cards(
        [
            ("base", duration(fit["base_s"]), f"{number_text(ratio)}× reading the weights"),
            ("a sequence", duration(fit["per_decode_s"]), "more in each step"),
            ("a prompt token", duration(fit["per_prefill_s"]), "more in each step"),
            ("error, fit", share(fit["held_out_error"]), "held out"),
            ("error, roofline", share(record.roofline_error), "the same steps"),
            ("machines", str(least_replicas(record) or "–"), "the fewest that keep the promise"),
        ]
    )


def _peek(session: Session, part: str) -> str:
    record = record_of(session)
    fit = record.fit
    measured = [float(np.mean(record.run("closed", n).summary.times("e2e"))) for n in BATCHES]
    values = {
        "one": 1,
        "batch": MAX_BATCH,
        "one_s": record.decode_s(1),
        "many_s": record.decode_s(MAX_BATCH),
        "weights_s": record.weights_s,
        "flops_s": 2 * SMALL.n_weights / record.machine.flops,
        "weight_width": 4,
        "critical": record.critical_batch,
        "context": CONTEXT,
        "users": _listed(BATCHES),
        "mva": _listed([duration(r) for r in mva_s(record, BATCHES)]),
        "measured": _listed([duration(r) for r in measured]),
        **{name: value for name, value in fit.items() if name.endswith("_s")},
        "per_context_us": 1e6 * fit["per_context_s"],
        "fit_share": fit["held_out_error"],
        "roofline_share": record.roofline_error,
    }
    return peek(WORDS.say(f"peek.{part}.title"), WORDS.paragraphs(f"peek.{part}.lines", **values))


# --- instruments ---------------------------------------------------------------------------------


def _panes(session: Session, part: str, tables: bool) -> dict[str, str]:
    """Return banners, cards and charts of the present settings."""
    record, settings = record_of(session), session.settings(part)
    show = {"part1": _roofline_panes, "part2": _load_panes, "part3": _fleet_panes}[part]
    shown, drawn = show(record, settings)
    panes = {"banners": banners(record, part, settings), "cards": cards(shown)}
    for number, one in enumerate(drawn):
        panes[f"chart{number}"] = one.svg + (one.table() if tables else "")
    return panes


def _roofline_panes(record: Record, settings: Mapping[str, Any]) -> tuple[list[_Card], list[Drawn]]:
    step = step_of(settings)
    bw, gflops = settings["bw_gbs"], settings["gflops"]
    bound = "arithmetic" if step.batch > step.critical else "bandwidth"
    shown: list[_Card] = [
        ("step", duration(step.step_s), f"bound by {bound}", None),
        ("tok/s", number_text(step.tok_s), f"{number_text(step.gain, 2)}× one sequence", None),
        ("critical batch", number_text(step.critical), f"B = {step.batch} now", None),
        ("KV cache", f"{number_text(_cache_mb(settings))} MB", "read in each step", None),
    ]
    return shown, [
        charts.roofline_chart(bw, gflops, step),
        charts.gain_chart(bw, gflops, settings["context"], step),
    ]


def _cache_mb(settings: Mapping[str, Any]) -> float:
    tokens: int = settings["batch"] * settings["context"]
    return tokens * SMALL.kv_bytes_per_token / 1e6


def _load_panes(record: Record, settings: Mapping[str, Any]) -> tuple[list[_Card], list[Drawn]]:
    run = played_of(record, settings)
    summary = run.summary
    raw, corrected = run.corrected_p99_s()
    rate = "closed" if run.rate_rps is None else f"{number_text(run.rate_rps)} offered"
    shown: list[_Card] = [
        ("requests/s", number_text(summary.throughput_rps), rate, None),
        ("TTFT P99", duration(summary.quantile("ttft", "0.99")), "from when it was sent", None),
        ("TPOT P99", duration(summary.quantile("tpot", "0.99")), "after the first token", None),
        ("E2E P99", duration(raw), f"corrected {duration(corrected)}", None),
        ("client late", duration(max(summary.lag_s, 0.0)), "P99", not run.late),
    ]
    return shown, [
        charts.slope_chart(run),
        charts.loop_chart(record),
        charts.tools_chart(run),
        charts.ratio_chart(record),
    ]


def _fleet_panes(record: Record, settings: Mapping[str, Any]) -> tuple[list[_Card], list[Drawn]]:
    plan, promised = fleet_of(record, settings), promises(record)
    replicas, load, batch = settings["replicas"], settings["load"], settings["max_batch"]
    shown: list[_Card] = [
        ("kept", share(plan.share), f"promised {share(float(promised['share']))}",
         plan.judged.feasible),
        ("TTFT P99", duration(plan.ttft_p99_s), f"within {duration(promised['ttft_s'])}", None),
        ("TPOT P99", duration(plan.tpot_p99_s), f"within {duration(promised['tpot_s'])}", None),
        ("load of each", share(load / replicas), "of its capacity", None),
    ]  # fmt: skip
    return shown, [
        charts.fit_chart(record),
        charts.error_chart(record),
        charts.fleet_chart(record, replicas, load, batch),
        charts.wait_chart(record, replicas, load, batch),
    ]


_LAB: Final = Lab(
    key=LAB,
    record_version=RECORD_VERSION,
    words=WORDS,
    variants={variant: WORDS.say(f"variants.{variant}") for variant in VARIANTS},
    parts=lambda variant: parts_of(record_of_variant(variant)),
    story=_story,
    task=_task,
    reality=_reality,
    peek=_peek,
    panes=_panes,
    verdict=verdict,
    hud=hud,
    outcome=outcome,
)


class AcceleratorLab(LabView):
    """Lab 5. `show` puts it on the page; every step is a method too, and so is `measure`.

    Parameters
    ----------
    learner : str, optional
        Who; the login name if not given.
    variant : {"recorded", "reference", "yours"}, optional
        Machine to begin with; yours once it has been measured.
    ledger : Ledger, optional
        Where runs are kept, and beside it what was measured.
    """

    engine = _LAB

    def __init__(
        self,
        learner: str | None = None,
        variant: str | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        ledger = ledger if ledger is not None else Ledger()
        self._yours: Record | None = None
        self._path = ledger.path.with_name("accelerator.json")
        if self._path.is_file():
            with suppress(ValueError):  # of another version: it can be measured again
                self._own(Record.of_json(self._path.read_text(encoding="utf-8")))
        super().__init__(learner, variant, ledger)

    def _own(self, record: Record) -> None:
        """Let the learner's machine be one of the variants."""
        self._yours = record
        variants = {**_LAB.variants, YOURS: WORDS.say(f"variants.{YOURS}")}

        def parts(variant: str) -> tuple[Part, ...]:
            return parts_of(record if variant == YOURS else record_of_variant(variant))

        # One lab's own machine is not another's: the engine of this one alone.
        self.__dict__["engine"] = replace(_LAB, variants=variants, parts=parts)

    def measure(self, measured: Callable[[Callable[[str], None]], Record] | None = None) -> None:
        """Measure this computer, a minute or two, and turn to it; earlier answers about it go."""
        try:
            record = (measured or measure_record)(self._tell)
        except Exception as error:
            self._say("fail", WORDS.say("said.failed"), str(error))
            if self._widget is None:
                raise LabError(self.notice) from error
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(self._path, record.to_json())
        self._own(record)
        self._sessions.pop(YOURS, None)
        self._boxes.pop(YOURS, None)
        if self._widget is not None:
            self._quiet = True
            self._variants.options = [(label, key) for key, label in self.engine.variants.items()]
            self._quiet = False
        self._switch(YOURS)
        self._lay_out()
        self._say("ok", WORDS.say("said.measured"), WORDS.say("said.sealed"))

    def _refuses(self, variant: str, kept: Mapping[str, Any]) -> str:
        """Return that a run was about another measurement of this computer, if it was."""
        own = self._yours
        if variant != YOURS or own is None:
            return ""
        speeds = own.machine.bw_Bps, own.machine.flops
        same = speeds == (kept.get("bw_Bps"), kept.get("flops"))
        return "" if same else WORDS.say("said.other")

    def _tell(self, doing: str) -> None:
        """Say what is being measured, on the page or in print."""
        self._say("info", WORDS.say("said.measuring"), doing)
        if self._widget is None:
            print(f"{WORDS.say('said.measuring')} {doing}")

    def _build(self) -> None:
        import ipywidgets as widgets  # type: ignore[import-untyped, unused-ignore]

        super()._build()
        button = widgets.Button(description=WORDS.say("measure"), icon="tachometer")
        button.layout.width, button.layout.align_self = "auto", "flex-start"
        button.on_click(lambda _: self.measure())
        head, variants, *rest = self._widget.children
        self._widget.children = (head, button, variants, *rest)
