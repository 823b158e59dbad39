"""Lab 4 on the page: four tracks of three parts.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from servemath_helpers.labs.frame.ledger import Ledger
>>> folder = TemporaryDirectory()
>>> lab = QueueingLab("ada", "edge", Ledger(Path(folder.name) / "ledger.json"))
>>> lab.predict("part1", "double", 2, confidence=5)
>>> lab.lock("part1")
>>> lab.adjust("part1", W_ms=9)
>>> lab.attempt("part1")
>>> lab.session.attempts("part1")[0].passed
False
>>> folder.cleanup()
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, ClassVar, Final

from servemath_helpers import queueing
from servemath_helpers.labs.frame.chrome import banner, cards, peek, table
from servemath_helpers.labs.frame.numbers import ms_text, number_text
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.frame.svg import Drawn
from servemath_helpers.labs.frame.view import Lab, LabView
from servemath_helpers.labs.queueing_lab import charts
from servemath_helpers.labs.queueing_lab.mission import (
    TIGHT,
    Judged,
    gauge,
    held,
    judge,
    latency_ms,
    promise_name,
    setting_text,
    verdict,
)
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
from servemath_helpers.labs.queueing_lab.questions import parts
from servemath_helpers.labs.queueing_lab.record import LAB, RECORD_VERSION, hud, outcome
from servemath_helpers.labs.queueing_lab.story import (
    BUDGET_USD,
    HOLD,
    MAX_ENERGY_UJ,
    MAX_LOSS,
    REPLICA_USD,
    TRACKS,
    WORDS,
    scenario,
    slo_ms,
)
from servemath_helpers.quantities import format_bytes

__all__ = ["QueueingLab"]

_Card = tuple[str, str, str, bool | None]


def _story(session: Session) -> str:
    track = TRACKS[session.variant]
    return (
        f"<p><b>You are the {escape(track.role)}.</b> {escape(track.mission)}</p>"
        f"<p>{escape(track.crisis)}</p>"
        f"<p><b>{escape(track.stakeholder)}:</b> {escape(track.demand)}</p>"
    )


def _task(session: Session, part: str) -> str:
    """Return what a part asks for, the mission's numbers included."""
    track = session.variant
    goals = [goal.text for goal in judge(track, part, session.settings(part)).goals]
    wanted = ", ".join([*goals, *_promises(track, part)])
    about = WORDS.say(f"parts.{part}.about")
    return f"<p>{escape(about)} <b>Mission:</b> {escape(wanted)}.</p>"


def _promises(track: str, part: str) -> list[str]:
    story = TRACKS[track]
    if part == "part1":
        return [WORDS.say("promises.room", room_bytes=story.room_bytes, room=story.room)]
    kinds = ["latency", *{"mobile": ["frames"], "tiny": ["loss"]}.get(track, [])]
    if (track, part) == ("cloud", "part3"):
        kinds.append("budget")
    return [
        WORDS.say(
            f"promises.{kind}",
            promise=promise_name(track, part),
            limit_ms=slo_ms(track, part),
            refresh_hz=REFRESH_HZ,
            max_loss=MAX_LOSS,
            max_energy_uj=MAX_ENERGY_UJ,
            budget_usd=BUDGET_USD,
            replica_usd=REPLICA_USD,
        )
        for kind in kinds
    ]


def _reality(session: Session, part: str) -> str:
    """Return what the frozen scenario gave, from the locked copy."""
    frozen, track = session.predictions(part)[0].scenario, session.variant
    if part == "part1":
        here = gauge(track, frozen)
        run = flow_of(here.lam_rps, here.W_s)
        observed = f"one simulated run, λW as observed {number_text(run.lam_rps * run.W_s)}"
        used, room = format_bytes(here.used_bytes), format_bytes(here.room_bytes)
        shown = cards(
            [
                ("λW", number_text(here.L), "by the law"),
                ("area / time", number_text(run.L), observed),
                ("memory", used, f"of {room}", here.fits),
            ]
        )
    else:
        shown = cards(_result_cards(track, part, measure(track, part, frozen)))
    setting = f"Frozen scenario: {setting_text(frozen)}."
    return f"<h4>Reality</h4><p>{escape(setting)}</p>{shown}"


def _result_cards(track: str, part: str, run: Measured) -> list[_Card]:
    limit, latency = slo_ms(track, part), latency_ms(track, part, run)
    name = promise_name(track, part)
    shown: list[_Card] = [
        ("mean", ms_text(run.mean_ms), "time in the system", None),
        (name, ms_text(latency), f"promised {ms_text(limit)}", latency <= limit * (1 + TIGHT)),
        ("ρ", number_text(run.rho), f"busy {run.busy:.0%}", None),
        ("throughput", number_text(run.throughput_rps), "served per second", None),
    ]
    if track == "tiny":
        energy = run.extra["energy_uj"]
        note = f"a frame, allowed {number_text(MAX_ENERGY_UJ)}"
        good = energy <= MAX_ENERGY_UJ * (1 + TIGHT)
        shown += [
            ("lost", f"{run.loss:.1%}", f"allowed {MAX_LOSS:.0%}", run.loss <= MAX_LOSS),
            ("energy", f"{number_text(energy)} µJ", note, good),
        ]
    if track == "mobile":
        fps = run.extra["fps"]
        good = fps >= REFRESH_HZ * (1 - TIGHT)
        shown.append(("display", f"{number_text(fps)} FPS", f"of {REFRESH_HZ:g}", good))
    if "mean_batch" in run.extra:
        batch = number_text(run.extra["mean_batch"])
        shown.append(("mean batch", batch, f"meets {number_text(run.depth)} on arrival", None))
    return shown


# --- instruments -------------------------------------------------------------------------------


def _panes(session: Session, part: str, tables: bool) -> dict[str, str]:
    """Return cards, banners and charts of the present settings."""
    track, settings = session.variant, session.settings(part)
    show = _law if part == "part1" else _results
    shown, drawn = show(track, part, settings)
    panes = {"cards": cards(shown), "banners": _banners(judge(track, part, settings))}
    for number, one in enumerate(drawn):
        panes[f"chart{number}"] = one.svg + (one.table() if tables else "")
    return panes


_Shown = tuple[list[_Card], list[Drawn]]


def _law(track: str, part: str, settings: Mapping[str, Any]) -> _Shown:
    here, thing = gauge(track, settings), TRACKS[track].thing
    seen = flow_of(here.lam_rps, here.W_s)
    used = f"{here.used_bytes / here.room_bytes:.0%} of the room"
    shown: list[_Card] = [
        ("L = λW", number_text(here.L), f"{thing} in flight", here.fits),
        ("memory", format_bytes(here.used_bytes), used, None),
        ("λ that fills it", number_text(here.lam_max_rps), "1/s at this W", None),
        ("λW observed", number_text(seen.lam_rps * seen.W_s), "on the run below", None),
        ("area / time", number_text(seen.L), "on the run below", None),
    ]
    return shown, [charts.gauge_chart(here, thing), charts.area_chart(seen, thing)]


def _results(track: str, part: str, settings: Mapping[str, Any]) -> _Shown:
    run = measure(track, part, settings)
    shown = _result_cards(track, part, run)
    if (track, part) == ("cloud", "part3"):
        cache, cost = held(settings, run), settings["replicas"] * REPLICA_USD
        used, room = format_bytes(cache.used_bytes), format_bytes(cache.room_bytes)
        shown += [
            ("KV cache", used, f"a replica, of {room}", cache.fits),
            ("cost", f"${cost}/h", f"allowed ${BUDGET_USD}", cost <= BUDGET_USD),
        ]
    return shown, [
        charts.curve_chart(track, part, settings, run),
        charts.waterfall_chart(run, TRACKS[track].thing),
        charts.histogram_chart(track, part, run),
        charts.seesaw_chart(track, part, run, charts.best_rps(track, part, run)),
    ]


def _banners(seen: Judged) -> str:
    if seen.broken:
        return "".join([banner("fail", limit.title, limit.text) for limit in seen.broken])
    kind, key = ("info", "kept") if seen.unmet else ("ok", "met")
    text = WORDS.say(f"banners.{key}.text", goals="; ".join(seen.unmet))
    return banner(kind, WORDS.say(f"banners.{key}.title"), text)


# --- derivations -------------------------------------------------------------------------------


def _peek(session: Session, part: str) -> str:
    """Return the derivation that belongs to a part, with its numbers."""
    track, s = session.variant, scenario(session.variant, part)
    if part == "part1":
        return _derived("peek.part1", **_law_values(track))
    if part == "part2":
        return _derived(f"{track}.part2.peek", **_batch_values(track, s))
    rows = (1, 2, 4, 8)
    quantiles = [queueing.mmc_sojourn_quantile_s("0.99", HOLD * c, 1.0, c) for c in rows]
    highest = [queueing.max_utilization(1.0, 10.0, c=c) for c in rows]
    numbers = table(
        WORDS.say("peek.part3.caption", hold=HOLD),
        {
            "servers c": rows,
            "P99 / S": [number_text(x) for x in quantiles],
            "highest ρ": [f"{x:.1%}" for x in highest],
        },
    )
    said = WORDS.say(f"peek.part3.{track}", S_ms=idle_sojourn_ms(), camera_hz=CAMERA_HZ)
    return _derived("peek.part3", f"{numbers}<p>{escape(said)}</p>")


def _derived(path: str, more: str = "", **values: Any) -> str:
    return peek(WORDS.say(f"{path}.title"), WORDS.paragraphs(f"{path}.lines", **values) + more)


def _law_values(key: str) -> dict[str, Any]:
    track = TRACKS[key]
    now = gauge(key, {"lam_rps": track.lam_rps, "W_ms": track.W_ms})
    return {**vars(now), "W_ms": track.W_ms, "thing": track.thing, "each_bytes": track.bytes_each}


def _batch_values(key: str, s: Mapping[str, Any]) -> dict[str, Any]:
    if key == "tiny":
        a = s["lam_rps"] * s["S_ms"] / 1e3
        return {
            "load": a,
            "loss": measure(key, "part2", s).loss,
            "erlang1": queueing.erlang_b(1, a),
            "erlang2": queueing.erlang_b(2, a),
        }
    alpha, beta = ALPHA_MS[key], BETA_MS[key]
    values = {**s, "alpha_ms": alpha, "beta_ms": beta, "each_ms": alpha + beta}
    if key == "cloud":
        batch = 7
        fixed_ms = u_curve(s["lam_rps"], "fixed", 0.0, (batch,))[0]
        return {**values, "batch": batch, "fixed_ms": fixed_ms}
    worst_ms, single_ms = (measure(key, "part2", {**s, "B": B}).worst_ms for B in (s["B"], 1))
    return {**values, "worst_ms": worst_ms, "single_ms": single_ms, "refresh_hz": REFRESH_HZ}


_LAB: Final = Lab(
    key=LAB,
    record_version=RECORD_VERSION,
    words=WORDS,
    variants={track.key: track.label for track in TRACKS.values()},
    parts=parts,
    story=_story,
    task=_task,
    reality=_reality,
    peek=_peek,
    panes=_panes,
    verdict=verdict,
    hud=hud,
    outcome=outcome,
)


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

    engine: ClassVar[Lab] = _LAB
