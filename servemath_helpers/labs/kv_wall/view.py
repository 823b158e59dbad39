"""Lab 3 as widgets: `LabView`'s frame around the engine's numbers and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from servemath_helpers.labs.frame.chrome import banner, cards, escape, peek, table
from servemath_helpers.labs.frame.session import Part, Session
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.frame.view import LabView
from servemath_helpers.labs.kv_wall import charts, serving
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import mission as texts
from servemath_helpers.labs.kv_wall import record as engine
from servemath_helpers.labs.kv_wall.memory import MemorySetup
from servemath_helpers.labs.kv_wall.serving import Configuration, Run, Workload
from servemath_helpers.labs.kv_wall.story import CONTEXTS, duration, rate, share

__all__ = ["KVWallLab"]


class KVWallLab(LabView):
    """The lab of chapter 3. ``KVWallLab("ada").show()`` displays it.

    Parameters
    ----------
    learner : str, optional
        Who; the login name if not given.
    variant : {"latency", "throughput"}, optional
        Context to begin with.
    ledger : Ledger, optional
        Where runs are kept.

    Examples
    --------
    Without widgets, as a test or a screen reader would:

    >>> lab = KVWallLab("ada")
    >>> lab.predict("act1", "users", "right", confidence=5)
    >>> lab.lock("act1")
    >>> lab.adjust("act1", n_gpus=1)
    >>> lab.session.settings("act1")["n_gpus"]
    1
    """

    lab: ClassVar[str] = engine.LAB
    title: ClassVar[str] = engine.TITLE
    variant_label: ClassVar[str] = "Context"
    record_version: ClassVar[str] = engine.RECORD_VERSION

    def variants(self) -> Sequence[tuple[str, str]]:
        """Return label and key of both contexts."""
        return [(context.label, context.key) for context in CONTEXTS.values()]

    def parts_of(self, variant: str) -> Iterable[Part]:
        """Return the two acts."""
        return engine.parts(variant)

    def head(self) -> str:
        """Return the badges."""
        return "".join(f'<span class="sm-badge">{escape(text)}</span>' for text in engine.BADGES)

    def story(self, session: Session) -> str:
        """Return who asks."""
        return f"<p><b>{escape(CONTEXTS[session.variant].role)}</b></p>"

    def task(self, session: Session, part: str) -> str:
        """Return what the stakeholder wants in this act."""
        context = CONTEXTS[session.variant]
        said = context.act1_message if part == "act1" else context.act2_message
        return banner("info", "You are asked:", said)

    # --- prediction and reality ------------------------------------------------------------

    def reality(self, session: Session, part: str) -> str:
        """Return the prediction beside what its frozen scenario gives."""
        return _act1_reality(session) if part == "act1" else _act2_reality(session)

    def peek(self, session: Session, part: str) -> str:
        """Return the derivation with the numbers of the frozen scenario."""
        if part == "act1":
            lines = texts.act1_peek(MemorySetup.of(session.part(part).scenario))
            title = "how many bytes, how many users"
        else:
            asked = Workload(**session.part(part).scenario["workload"])
            lines = texts.act2_peek(serving.run(asked, Configuration()))
            title = "first token, step time, slots, drafts"
        return peek(title, "".join(f"<p>{escape(line)}</p>" for line in lines))

    # --- instruments -----------------------------------------------------------------------

    def instruments(
        self, session: Session, part: str, *, tables: bool = False
    ) -> Mapping[str, str]:
        """Return banners, cards and charts for the present settings."""
        return _act1_panes(session, tables) if part == "act1" else _act2_panes(session, tables)

    def verdict(self, session: Session, part: str) -> tuple[bool, Mapping[str, Any]]:
        """Return whether the setting would do, and what to remember of it."""
        if part == "act1":
            found = room.plan(engine.memory_setup(session))
            setup = found.setup
            return found.state == "viable", {
                "GPUs": setup.n_gpus,
                "context": setup.seq_tokens,
                "weight bits": setup.bits,
                "KV bits": setup.kv_bits,
                "users": found.users,
            }
        run = engine.chosen_run(session)
        return not serving.goal_states(run, engine.goals(session)), {
            "design": session.settings(part)["design"].upper(),
            "batching": run.configuration.mode,
            "largest batch": run.configuration.max_batch,
            "λ [1/s]": number_text(run.workload.lam_rps),
            "TTFT P99": duration(run.ttft_p99_s),
            "TPOT P99": duration(run.tpot_p99_s),
            "tok/s": rate(run.tok_s),
        }

    def hud(self, session: Session) -> Iterable[tuple[str, str]]:
        """Return the footer's fields."""
        return engine.hud(session)

    def outcome(self, session: Session) -> Mapping[str, Any]:
        """Return what the ledger keeps."""
        return engine.outcome(session)


_TWO = "grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))"


def _act1_reality(session: Session) -> str:
    locked, found = session.prediction("act1", "users"), engine.act1_reality(session)
    sure = f"sure {locked.confidence} of 5" if locked.confidence else "confidence not given"
    shown = cards(
        [
            ("You predicted", str(found.predicted), sure, bool(locked.correct)),
            ("The frozen scenario gives", str(found.users), "whatever the sliders say now"),
            ("Prediction / reality", f"{number_text(found.ratio, 2)}×", "1× is exact"),
        ]
    )
    why = "" if locked.correct else banner("info", "What your number assumes:", found.text)
    return f"<h4>Prediction against reality</h4>{shown}{why}"


def _act2_reality(session: Session) -> str:
    rows = engine.act2_reality(session)
    runs = [run for _, run in rows]
    right = sum(bool(p.correct) for p in session.predictions("act2"))
    columns = {
        "frozen scenario": [name for name, _ in rows],
        "TTFT P50": [duration(run.ttft_p50_s) for run in runs],
        "TTFT P99": [duration(run.ttft_p99_s) for run in runs],
        "TPOT P99": [duration(run.tpot_p99_s) for run in runs],
        "tok/s": [rate(run.tok_s) for run in runs],
        "slots in use": [share(run.slot_efficiency) for run in runs],
    }
    asked = runs[0].workload
    caption = (
        f"λ = {number_text(asked.lam_rps)}/s, {asked.prompt_tokens} tokens in, "
        f"{asked.mean_output} out on average, {asked.n_requests} requests"
    )
    total = len(session.predictions("act2"))
    return f"<h4>Prediction against reality: {right} of {total}</h4>{table(caption, columns)}"


def _act1_panes(session: Session, tables: bool) -> dict[str, str]:
    found = room.plan(engine.memory_setup(session))
    setup, unit = found.setup, found.setup.units
    said = texts.act1_message(found)

    def amount(n_bytes: float) -> str:
        return f"{number_text(found.in_units(n_bytes))} {unit}"

    whole = setup.n_gpus * setup.gpu_bytes
    shown = cards(
        [
            ("KV per token", f"{number_text(found.k / 2**10)} KiB", "all layers, K and V"),
            ("KV per user", amount(found.user_bytes), f"{setup.seq_tokens} tokens"),
            ("Weights", amount(found.weight_bytes), f"{share(found.weight_bytes / whole)} of all"),
            ("KV pool", amount(found.pool_bytes), f"of {amount(whole)} on {setup.n_gpus} GPU"),
            ("Reserve", amount(found.gpu_reserve_bytes * setup.n_gpus), "kept free"),
            ("Page", f"{number_text(found.page_bytes / 2**20)} MiB", f"{setup.page_tokens} tokens"),
            ("Max users", str(found.users), "of full context", found.state == "viable"),
        ]
    )
    panes = {
        "banner": banner(said.kind, said.title, said.text),
        "cards": shown,
        "chart_users": charts.users_chart(found),
        "chart_memory": charts.memory_chart(found),
        "chart_paging": charts.paging_chart(found),
    }
    if tables:
        panes["tables"] = _act1_tables(found)
    return panes


def _act1_tables(found: room.MemoryPlan) -> str:
    setup, unit = found.setup, found.setup.units
    tokens, users = room.users_by_context(setup)
    every = slice(None, None, 4)  # one row an octave
    waste = room.page_waste(setup)
    pieces = (
        ("weights", found.gpu_weights_bytes),
        ("caches of users", found.gpu_kv_bytes),
        ("rest, too small for one more user", found.gpu_free_bytes),
        ("reserve", found.gpu_reserve_bytes),
    )
    return (
        table(
            "Users against context",
            {"context [tokens]": tokens[every], "users": [int(u) for u in users[every]]},
        )
        + table(
            "Memory of one card",
            {
                "what": [name for name, _ in pieces],
                unit: [number_text(found.in_units(amount)) for _, amount in pieces],
            },
        )
        + table(
            "Waste by page size",
            {
                "handed out at a time": [row.label for row in waste],
                "wasted": [share(row.waste) for row in waste],
                "sequences that fit": [row.users for row in waste],
            },
        )
    )


def _measures(run: Run, session: Session) -> list[tuple[str, str, str, bool | None]]:
    """Return name, value, note and verdict of each measure of a run."""
    aims, setup = engine.goals(session), run.configuration
    wrong = serving.goal_states(run, aims)

    def judged(name: str, bound: float | None) -> bool | None:
        return None if bound is None else name not in wrong and "oom" not in wrong

    least = aims.least_tok_s(run.workload)
    kv_gb = setup.k / 1e9
    return [
        ("TTFT P50", duration(run.ttft_p50_s), "median", None),
        (
            "TTFT P99",
            duration(run.ttft_p99_s),
            f"bound {duration(aims.ttft_slo_s)}" if aims.ttft_slo_s else "no bound",
            judged("ttft", aims.ttft_slo_s),
        ),
        (
            "TPOT P99",
            duration(run.tpot_p99_s),
            f"bound {duration(aims.tpot_slo_s)}" if aims.tpot_slo_s else "no bound",
            judged("tpot", aims.tpot_slo_s),
        ),
        (
            "Tokens per second",
            rate(run.tok_s),
            f"wanted {rate(least)}",
            judged("throughput", least),
        ),
        ("Goodput", f"{number_text(run.goodput_rps(aims))}/s", "within the bounds", None),
        (
            "KV at most",
            f"{number_text(run.kv_peak_tokens * kv_gb)} GB",
            f"of {number_text(setup.kv_tokens * kv_gb)} GB",
            False if "kv_full" in wrong else None,
        ),
        ("MFU", share(run.mfu), "of peak arithmetic", None),
        ("MBU", share(run.mbu), "of bandwidth", None),
        ("Slots in use", share(run.slot_efficiency), f"of {setup.max_batch}", None),
    ]


def _act2_panes(session: Session, tables: bool) -> dict[str, str]:
    asked, aims = engine.workload(session), engine.goals(session)
    runs = [
        (name.upper(), serving.run(asked, engine.configuration(session, name))) for name in "ab"
    ]
    sides, measured = [], []
    for which, run in runs:
        setup = run.configuration
        said = texts.act2_messages(run, aims)
        title = f"{which}: {setup.mode}, at most {setup.max_batch} on {setup.n_gpus} GPU"
        banners = "".join(banner(each.kind, each.title, each.text) for each in said)
        measures = _measures(run, session)
        measured.append(measures)
        sides.append(
            f'<div data-side="{which}"><h4>{escape(title)}</h4>{banners}{cards(measures)}</div>'
        )
    pictures = (
        charts.goals_chart(runs, aims),
        charts.ttft_chart(runs, aims),
        charts.occupancy_chart(runs),
        charts.frontier_chart(runs),
    )
    panes = {
        "sides": f'<div class="sm-panes">{"".join(sides)}</div>',
        # Two in a row: they hold more than act I's.
        "pictures": f'<div class="sm-panes" style="{_TWO}">'
        + "".join(f"<div>{picture}</div>" for picture in pictures)
        + "</div>",
    }
    if tables:
        panes["tables"] = table(
            "A and B",
            {
                "measure": [row[0] for row in measured[0]],
                "A": [row[1] for row in measured[0]],
                "B": [row[1] for row in measured[1]],
                "goal": [row[2] for row in measured[0]],
            },
        )
    return panes
