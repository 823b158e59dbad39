"""The queueing lab on the page: four tracks of three parts, over the engine `queueing`.

>>> lab = QueueingLab(learner="ada", variant="edge")
>>> lab.predict("part2", "miss", "right", confidence=5)
>>> lab.lock("part2")
>>> lab.adjust("part2", sensors=5, B=5)
>>> lab.attempt("part2")
>>> lab.session.attempts("part2")[0].passed
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from servemath_helpers import queueing as formulas
from servemath_helpers.labs.frame.chrome import banner, cards, escape, peek, table
from servemath_helpers.labs.frame.session import Part, Session
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.frame.view import LabView
from servemath_helpers.labs.queueing_lab import charts
from servemath_helpers.labs.queueing_lab import mission as engine
from servemath_helpers.labs.queueing_lab.mission import ms_text
from servemath_helpers.labs.queueing_lab.model import (
    ALPHA_MS,
    BETA_MS,
    CAMERA_HZ,
    REFRESH_HZ,
    Measured,
    flow_of,
    idle_sojourn_ms,
    measure,
    u_curve,
)
from servemath_helpers.labs.queueing_lab.questions import SCENARIOS, parts
from servemath_helpers.labs.queueing_lab.story import (
    BUDGET_USD_H,
    HOLD,
    MAX_ENERGY_UJ,
    MAX_LOSS,
    TRACKS,
    USD_H,
    slo_ms,
)
from servemath_helpers.quantities import format_bytes

__all__ = ["QueueingLab"]


class QueueingLab(LabView):
    """Lab 4. `show` puts it on the page; every step is a method too.

    Parameters
    ----------
    learner : str, optional
        Who; the login name if not given.
    variant : {"cloud", "edge", "mobile", "tiny"}, optional
        Track to begin with.
    ledger : Ledger, optional
        Where runs are kept.
    """

    lab: ClassVar[str] = engine.LAB
    title: ClassVar[str] = "Lab 4 · The queueing lab"
    variant_label: ClassVar[str] = "Track"
    record_version: ClassVar[str] = engine.RECORD_VERSION

    def variants(self) -> Sequence[tuple[str, str]]:
        """Return the four tracks."""
        return [(track.label, track.key) for track in TRACKS.values()]

    def parts_of(self, variant: str) -> Iterable[Part]:
        """Return a track's three parts."""
        return parts(variant)

    # --- texts -----------------------------------------------------------------------------

    def head(self) -> str:
        """Return the badges."""
        badges = ("L = λW", "S(B) = α + βB", "P99 against ρ", "predict → lock → adjust → reflect")
        return "".join(f'<span class="sm-badge">{escape(badge)}</span>' for badge in badges)

    def story(self, session: Session) -> str:
        """Return who the learner is, and what is at stake."""
        track = TRACKS[session.variant]
        return (
            f"<p><b>You are the {escape(track.role)}.</b> {escape(track.mission)}</p>"
            f"<p>{escape(track.crisis)}</p>"
            f"<p><b>{escape(track.stakeholder)}:</b> {escape(track.demand)}</p>"
        )

    def task(self, session: Session, part: str) -> str:
        """Return what a part asks for, the mission's numbers included."""
        track = TRACKS[session.variant]
        asked = engine.goals(track.key, part, session.settings(part))
        promises = {
            "part1": f"not more than the room there is ({format_bytes(track.room_bytes)}, "
            f"{track.room})",
            "part2": f"{_promise(track.key, part)}",
            "part3": f"{_promise(track.key, part)}",
        }
        about = {
            "part1": "From users to machine: move λ and W and watch how many are in flight.",
            "part2": "Efficient and late at once: find the setting that carries the load and "
            "keeps the promise.",
            "part3": "Fuller means slower, and not in proportion: how full can you run?",
        }
        wanted = ", ".join([*(goal.text for goal in asked), promises[part]])
        return f"<p>{escape(about[part])} <b>Mission:</b> {escape(wanted)}.</p>"

    def reality(self, session: Session, part: str) -> str:
        """Return what the frozen scenario gave, from the locked copy."""
        frozen = dict(session.predictions(part)[0].scenario)
        track = session.variant
        setting = f"Frozen scenario: {engine.setting_text(frozen)}."
        if part == "part1":
            here = engine.gauge(track, frozen)
            run = flow_of(here.lam_rps, here.W_s)
            shown = cards(
                [
                    ("λW", number_text(here.L), "by the law"),
                    (
                        "area / time",
                        number_text(run.L),
                        f"one simulated run, λW as observed {number_text(run.lam_rps * run.W_s)}",
                    ),
                    (
                        "memory",
                        format_bytes(here.used_bytes),
                        f"of {format_bytes(here.room_bytes)}",
                        here.fits,
                    ),
                ]
            )
        else:
            shown = cards(self._result_cards(track, part, measure(track, part, frozen)))
        return f"<h4>Reality</h4><p>{escape(setting)}</p>{shown}"

    def _result_cards(
        self, track: str, part: str, run: Measured
    ) -> list[tuple[str, str, str, bool | None]]:
        limit, latency = slo_ms(track, part), engine.latency_ms(track, part, run)
        name = engine.promise_name(track, part)
        shown: list[tuple[str, str, str, bool | None]] = [
            ("mean", ms_text(run.mean_ms), "time in the system", None),
            (name, ms_text(latency), f"promised {ms_text(limit)}", latency <= limit * (1 + 1e-9)),
            ("ρ", number_text(run.rho), f"busy {run.busy:.0%}", None),
            ("throughput", number_text(run.throughput_rps), "served per second", None),
        ]
        if track == "tiny":
            energy = run.extra["energy_uj"]
            shown += [
                ("lost", f"{run.loss:.1%}", f"allowed {MAX_LOSS:.0%}", run.loss <= MAX_LOSS),
                (
                    "energy",
                    f"{number_text(energy)} µJ",
                    f"a frame, allowed {number_text(MAX_ENERGY_UJ)}",
                    energy <= MAX_ENERGY_UJ * (1 + 1e-9),
                ),
            ]
        if track == "mobile":
            fps = run.extra["fps"]
            good = fps >= REFRESH_HZ * (1 - 1e-9)
            shown.append(("display", f"{number_text(fps)} FPS", f"of {REFRESH_HZ:g}", good))
        if "mean_batch" in run.extra:
            batch = number_text(run.extra["mean_batch"])
            shown.append(("mean batch", batch, f"meets {number_text(run.depth)} on arrival", None))
        return shown

    # --- instruments -------------------------------------------------------------------------

    def instruments(
        self, session: Session, part: str, *, tables: bool = False
    ) -> Mapping[str, str]:
        """Return cards, banners and charts of the present settings."""
        track, settings = session.variant, session.settings(part)
        run = None if part == "part1" else measure(track, part, settings)
        panes: dict[str, str] = {}
        drawn: list[charts.Drawn]
        if run is None:
            here = engine.gauge(track, settings)
            seen = flow_of(here.lam_rps, here.W_s)
            thing = TRACKS[track].thing
            panes["cards"] = cards(
                [
                    ("L = λW", number_text(here.L), f"{thing} in flight", here.fits),
                    (
                        "memory",
                        format_bytes(here.used_bytes),
                        f"{here.used_bytes / here.room_bytes:.0%} of the room",
                    ),
                    ("λ that fills it", number_text(here.lam_max_rps), "1/s at this W"),
                    ("λW observed", number_text(seen.lam_rps * seen.W_s), "on the run below"),
                    ("area / time", number_text(seen.L), "on the run below"),
                ]
            )
            drawn = [charts.gauge_chart(here, thing), charts.area_chart(seen, thing)]
        else:
            shown = self._result_cards(track, part, run)
            if (track, part) == ("cloud", "part3"):
                held = engine.held(settings, run)
                cost = settings["replicas"] * USD_H
                shown += [
                    (
                        "KV cache",
                        format_bytes(held.used_bytes),
                        f"a replica, of {format_bytes(held.room_bytes)}",
                        held.fits,
                    ),
                    ("cost", f"${cost}/h", f"allowed ${BUDGET_USD_H}", cost <= BUDGET_USD_H),
                ]
            panes["cards"] = cards(shown)
            full = charts.best_rps(track, part, settings, run)
            drawn = [
                charts.curve_chart(track, part, settings, run),
                charts.waterfall_chart(run, TRACKS[track].thing),
                charts.histogram_chart(track, part, run),
                charts.seesaw_chart(track, part, run, full),
            ]
        panes["banners"] = self._banners(track, part, settings, run)
        for number, (svg, numbers) in enumerate(drawn):
            panes[f"chart{number}"] = svg + (numbers if tables else "")
        return panes

    def _banners(
        self, track: str, part: str, settings: Mapping[str, Any], run: Measured | None
    ) -> str:
        broken = [limit for limit in engine.limits(track, part, settings, run) if limit.broken]
        if broken:
            return "".join(banner("fail", limit.title, limit.text) for limit in broken)
        unmet = [goal.text for goal in engine.goals(track, part, settings, run) if not goal.met]
        if unmet:
            return banner(
                "info", "Every promise kept.", f"The mission also asks for: {'; '.join(unmet)}."
            )
        return banner(
            "ok", "Mission met.", "Every promise is kept, and all that was asked is there."
        )

    # --- derivations ---------------------------------------------------------------------------

    def peek(self, session: Session, part: str) -> str:
        """Return the derivation that belongs to a part, with its numbers."""
        return {"part1": _peek_law, "part2": _peek_batch, "part3": _peek_cliff}[part](
            session.variant
        )

    # --- testing and keeping ----------------------------------------------------------------------

    def verdict(self, session: Session, part: str) -> tuple[bool, Mapping[str, Any]]:
        """Return whether the mission is met, and what the log says."""
        return engine.verdict(session.variant, part, session.settings(part))

    def hud(self, session: Session) -> Iterable[tuple[str, str]]:
        """Return the footer: nothing of it tells what is still to be predicted."""
        track = session.variant
        last = next((key for key in ("part3", "part2") if session.is_locked(key)), None)
        here = engine.gauge(track, session.settings("part1"))
        know = session.is_locked("part1")
        run = measure(track, last, session.settings(last)) if last else None
        done = sum(session.is_done(part.key) for part in session.parts)
        kept = "–"
        if run is not None and last is not None:
            broken = [
                limit.key
                for limit in engine.limits(track, last, session.settings(last), run)
                if limit.broken
            ]
            kept = "BROKEN" if broken else "KEPT"
        yield "TRACK", TRACKS[track].label
        yield "L", number_text(here.L) if know else "–"
        yield "MEM", f"{here.used_bytes / here.room_bytes:.0%}" if know else "–"
        yield "P99", ms_text(run.p99_ms) if run else "–"
        yield "ρ", number_text(run.rho) if run else "–"
        yield "SLO", kept
        yield "ITER", f"{session.iterations}/{engine.FREE_ITERATIONS}"
        yield "PARTS ✓", f"{done}/{len(session.parts)}"
        yield "LEDGER", "SAVED" if session.saved_at else "NOT SAVED"

    def outcome(self, session: Session) -> Mapping[str, Any]:
        """Return what the ledger keeps of a run."""
        return engine.outcome(session)


def _promise(track: str, part: str) -> str:
    texts = [f"{engine.promise_name(track, part)} at most {ms_text(slo_ms(track, part))}"]
    if track == "mobile":
        texts.append(f"{REFRESH_HZ:g} frames a second")
    if track == "tiny":
        texts += [f"at most {MAX_LOSS:.0%} lost", f"at most {MAX_ENERGY_UJ:g} µJ a frame"]
    if (track, part) == ("cloud", "part3"):
        texts.append(f"at most ${BUDGET_USD_H} an hour (${USD_H} a replica)")
    return ", ".join(texts)


def _peek_law(key: str) -> str:
    track = TRACKS[key]
    now = engine.gauge(key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    return peek(
        "why L = λW",
        "<p>Draw each stay as a bar of height one, from arrival to departure. Added up column "
        "by column the bars give $\\int_0^T N(t)\\,dt$; row by row they give $\\sum_i W_i$. It is "
        "one area, so $$\\frac{1}{T}\\int_0^T N(t)\\,dt = \\frac{n}{T}\\cdot\\frac{1}{n}"
        "\\sum_i W_i, \\qquad L = \\lambda W.$$ No distribution, no order of service, no number "
        "of servers was used.</p>"
        f"<p>Here: {number_text(now.lam_rps)} 1/s × {ms_text(track.W_ms)} = "
        f"{number_text(now.L)} {track.thing}, each holding {format_bytes(track.bytes_each)}: "
        f"{format_bytes(now.used_bytes)} of {format_bytes(track.room_bytes)}. The room is full at "
        f"λ = {number_text(now.lam_max_rps)} 1/s if W stays as it is, and it does not: a fuller "
        "system is slower.</p>",
    )


def _peek_batch(key: str) -> str:
    s = SCENARIOS[key, "part2"]
    run = measure(key, "part2", s)
    if key == "tiny":
        a = s["lam_rps"] * s["S_ms"] / 1e3
        return peek(
            "what a missing buffer costs",
            "<p>With one place and random arrivals the processor is busy for a share "
            "$a/(1+a)$ of the time, and random arrivals see exactly that share: "
            f"at $a = {a:g}$ they lose {formulas.erlang_b(1, a):.1%} (simulated {run.loss:.1%}). "
            "Erlang's recursion $B(c,a) = \\frac{a\\,B(c-1,a)}{c + a\\,B(c-1,a)}$ gives more "
            f"processors: {formulas.erlang_b(2, a):.1%} with two.</p>"
            "<p>There is no batch without a place to wait: $B = 1$.</p>",
        )
    if key == "mobile":
        alone = measure(key, "part2", {**s, "B": 1})
        return peek(
            "why glasses do not batch",
            "<p>The first of $B$ frames waits $(B-1)\\cdot T$ for the last one, with "
            f"$T = 1000/{REFRESH_HZ:g}$ ms. Computing costs $\\alpha + \\beta B$ = "
            f"{ALPHA_MS[key]:g} + {BETA_MS[key]:g}·B ms. With {ms_text(s['wait_ms'])} of waiting a "
            f"frame is {ms_text(alone.worst_ms)} old alone, {ms_text(run.worst_ms)} in a pair. "
            "Overlapping wait and computing (pipelining) raises the rate to one frame in "
            "$\\lceil S/T \\rceil$ refreshes, and leaves the age as it is.</p>",
        )
    if key == "edge":
        return peek(
            "one launch for all",
            f"<p>A batch of $n$ frames takes ${ALPHA_MS[key]:g} + {BETA_MS[key]:g}\\,n$ ms, one by "
            f"one they take ${ALPHA_MS[key] + BETA_MS[key]:g}\\,n$ ms: "
            f"{ms_text(run.worst_ms)} for {s['sensors']}. Nothing forms here, because the cameras "
            "fire at once; what a batch costs is that the first frame waits for the last.</p>",
        )
    lam = s["lam_rps"]
    curve = u_curve(lam, "fixed", 0.0, (7,))[0]
    return peek(
        "the batching tax",
        "<p>A fixed batch of $B$ costs three times: the first waits for the last, on average "
        "$(B-1)/(2\\lambda)$; full batches queue, with $\\rho = \\lambda S(B)/B$ and arrivals of "
        "batches that are more regular than Poisson ($c_a^2 = 1/B$); and the batch takes "
        "$S(B) = \\alpha + \\beta B$: $$W \\approx \\frac{B-1}{2\\lambda} + \\frac{\\rho}{1-\\rho}"
        "\\cdot\\frac{1/B}{2}\\,S(B) + S(B).$$</p>"
        f"<p>At λ = {lam:g} 1/s and B = 7 that is {ms_text(curve)}. It is an approximation: "
        "the simulation is a few percent below it. A greedy server takes whoever waits and has no "
        "formation at all; a window gives the formation back.</p>",
    )


def _peek_cliff(key: str) -> str:
    rows = (1, 2, 4, 8)
    quantiles = [formulas.mmc_sojourn_quantile_s("0.99", HOLD * c, 1.0, c) for c in rows]
    highest = [formulas.max_utilization(1.0, 10.0, c=c) for c in rows]
    numbers = table(
        f"P99 at ρ = {HOLD:.0%}, and the highest ρ with P99 of ten service times",
        {
            "servers c": list(rows),
            "P99 / S": [number_text(x) for x in quantiles],
            "highest ρ": [f"{x:.1%}" for x in highest],
        },
    )
    words = {
        "cloud": f"S = {ms_text(idle_sojourn_ms())} here. Memory follows: the cache holds "
        "λ × (W + decoding), so a latency plan is a memory plan.",
        "edge": "A deadline is no percentile: with N cameras at once the last one waits "
        f"(N − 1)·S whatever ρ is, here {CAMERA_HZ:g} times a second. Staggered triggers "
        "remove the burst, jitter brings some of it back.",
        "mobile": "Frames by the clock have c_a = 0: what is left is the variability of the "
        "scene, and an early exit cuts it where it hurts.",
        "tiny": "A loss system cannot become unstable: it pays in lost frames instead of time, "
        "and every place to wait turns loss into lag.",
    }
    return peek(
        "why the last percents cost most",
        "<p>Kingman: $$W_q \\approx \\frac{\\rho}{1-\\rho}\\cdot\\frac{c_a^2 + c_s^2}{2}\\cdot "
        "S.$$ "
        "The first factor is the cliff, the second is what traffic and work add. With "
        "exponential service and one server the time in the system is exponential, so "
        "$P_{99} = W\\ln 100$.</p>"
        f"{numbers}<p>{escape(words[key])}</p>",
    )
