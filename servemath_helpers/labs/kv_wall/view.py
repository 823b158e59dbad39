"""Lab 3 on the page: two contexts of two acts."""

from __future__ import annotations

from html import escape
from typing import ClassVar, Final

from servemath_helpers import memory, slots, speculative
from servemath_helpers.labs.frame.chrome import banner, cards, peek, table
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.frame.view import Lab, LabView
from servemath_helpers.labs.kv_wall import charts
from servemath_helpers.labs.kv_wall.mission import (
    act1_banner,
    configuration,
    goals,
    memory_plan,
    promises,
    side_banners,
    verdict,
    wants,
    workload,
)
from servemath_helpers.labs.kv_wall.model import (
    Configuration,
    MemorySetup,
    Run,
    Workload,
    decode_step,
    goal_states,
    model_of,
    plan,
    prefill_s,
    run,
    users_if,
)
from servemath_helpers.labs.kv_wall.questions import act1_reality, act2_reality, parts
from servemath_helpers.labs.kv_wall.record import LAB, RECORD_VERSION, hud, outcome
from servemath_helpers.labs.kv_wall.story import CONTEXTS, WORDS

__all__ = ["KVWallLab"]


def _story(session: Session) -> str:
    return f"<p><b>{escape(CONTEXTS[session.variant].role)}</b></p>"


def _task(session: Session, part: str) -> str:
    context = CONTEXTS[session.variant]
    said = context.act1_message if part == "act1" else context.act2_message
    wanted = "; ".join([promises(session, part), *(want.text for want in wants(session, part))])
    mission = f"<p><b>{escape(WORDS.say('mission.asks', wanted=wanted))}</b></p>"
    return banner("info", "You are asked:", said) + mission


# --- reality and derivation ---------------------------------------------------------------------


def _reality(session: Session, part: str) -> str:
    """Return the prediction beside what its frozen scenario gives."""
    if part == "act2":
        return _runs_reality(session)
    locked, found = session.prediction("act1", "users"), act1_reality(session)
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


def _runs_reality(session: Session) -> str:
    rows, locked = act2_reality(session), session.predictions("act2")
    runs = [each for _, each in rows]
    columns = {
        "frozen scenario": [name for name, _ in rows],
        "TTFT P50": [duration(each.ttft_p50_s) for each in runs],
        "TTFT P99": [duration(each.ttft_p99_s) for each in runs],
        "TPOT P99": [duration(each.tpot_p99_s) for each in runs],
        "tok/s": [number_text(each.tok_s, 4) for each in runs],
        "slots in use": [share(each.slot_efficiency) for each in runs],
    }
    caption = WORDS.say("reality.setting", **vars(runs[0].workload))
    right = sum([bool(answer.correct) for answer in locked])
    head = f"<h4>Prediction against reality: {right} of {len(locked)}</h4>"
    return head + table(caption, columns)


def _peek(session: Session, part: str) -> str:
    """Return the derivation with the numbers of the frozen scenario."""
    scenario = session.part(part).scenario
    if part == "act1":
        derived = _memory_derivation(MemorySetup.of(scenario))
    else:
        derived = _serving_derivation(run(Workload(**scenario["workload"]), Configuration()))
    return peek(WORDS.say(f"peek.{part}.title"), derived)


def _memory_derivation(setup: MemorySetup) -> str:
    """Return how many users fit, every factor printed."""
    model, found = model_of(setup.model), plan(setup)
    b = setup.kv_bits // 8
    mha = model.as_mha().kv_bytes_per_token(b)
    values = {
        **vars(model),
        **vars(setup),
        "b": b,
        "k": found.k,
        "user": found.user_bytes,
        "user_gib": found.user_bytes / 2**30,
        "user_gb": number_text(found.user_bytes / 10**9, 4),
        "mha": mha,
        "mha_gib": mha * setup.seq_tokens / 2**30,
        "mha_users": users_if(setup, mha),
        "gpu": setup.gpu_bytes,
        "weights": found.weight_bytes,
        "left": found.pool_bytes,
        "users": found.users,
        "page_mib": found.page_bytes / 2**20,
        "waste_tokens": memory.expected_paging_waste_tokens(setup.page_tokens),
    }
    shared = model.n_heads != model.n_kv_heads
    steps = ("token", *(("mha",) if shared else ()), "pool")
    return "".join([WORDS.paragraphs(f"peek.act1.{step}", **values) for step in steps])


def _serving_derivation(done: Run) -> str:
    """Return where the time of a run goes."""
    asked, setup = done.workload, done.configuration
    step = decode_step(setup.max_batch, asked.context_tokens, setup.n_gpus)
    return WORDS.paragraphs(
        "peek.act2.lines",
        prefill_s=prefill_s(asked.prompt_tokens, setup.n_gpus),
        prompt_tokens=asked.prompt_tokens,
        n_gpus=setup.n_gpus,
        step_s=step["step_s"],
        bound=step["bound"],
        batch=setup.max_batch,
        seq_tokens=asked.context_tokens,
        static_share=slots.slot_efficiency(setup.max_batch),
        used_share=done.slot_efficiency,
        expected=speculative.expected_tokens(setup.alpha, setup.gamma),
        alpha=setup.alpha,
        gamma=setup.gamma,
    )


# --- instruments --------------------------------------------------------------------------------


def _panes(session: Session, part: str, tables: bool) -> dict[str, str]:
    """Return banners, cards and charts for the present settings."""
    return _memory_panes(session, tables) if part == "act1" else _serving_panes(session, tables)


def _memory_panes(session: Session, tables: bool) -> dict[str, str]:
    found = memory_plan(session)
    setup, unit = found.setup, found.setup.units
    whole = setup.n_gpus * setup.gpu_bytes

    def amount(n_bytes: float) -> str:
        return f"{number_text(found.in_units(n_bytes))} {unit}"

    drawn = {
        "chart_users": charts.users_chart(found),
        "chart_memory": charts.memory_chart(found),
        "chart_paging": charts.paging_chart(found),
    }
    panes = {
        "banner": act1_banner(session),
        "cards": cards(
            [
                ("KV per token", f"{number_text(found.k / 2**10)} KiB", "all layers, K and V"),
                ("KV per user", amount(found.user_bytes), f"{setup.seq_tokens} tokens"),
                (
                    "Weights",
                    amount(found.weight_bytes),
                    f"{share(found.weight_bytes / whole)} of all",
                ),
                (
                    "KV pool",
                    amount(found.pool_bytes),
                    f"of {amount(whole)} on {setup.n_gpus} GPU",
                ),
                ("Reserve", amount(found.gpu_reserve_bytes * setup.n_gpus), "kept free"),
                (
                    "Page",
                    f"{number_text(found.page_bytes / 2**20)} MiB",
                    f"{setup.page_tokens} tokens",
                ),
                ("Max users", str(found.users), "of full context", found.state == "viable"),
            ]
        ),
        **{name: one.svg for name, one in drawn.items()},
    }
    if tables:
        panes["tables"] = "".join([one.table() for one in drawn.values()])
    return panes


def _measures(done: Run, session: Session) -> list[tuple[str, str, str, bool | None]]:
    """Return name, value, note and verdict of each measure of a run."""
    aims, setup = goals(session), done.configuration
    wrong = goal_states(done, aims)
    least, kv_gb = aims.least_tok_s(done.workload), setup.k / 1e9

    def bounded(name: str, bound: float | None) -> tuple[str, bool | None]:
        if bound is None:
            return "no bound", None
        return f"bound {duration(bound)}", name not in wrong and "oom" not in wrong

    wanted = f"wanted {number_text(least, 4)}"
    volume = "throughput" not in wrong and "oom" not in wrong
    return [
        ("TTFT P50", duration(done.ttft_p50_s), "median", None),
        ("TTFT P99", duration(done.ttft_p99_s), *bounded("ttft", aims.ttft_slo_s)),
        ("TPOT P99", duration(done.tpot_p99_s), *bounded("tpot", aims.tpot_slo_s)),
        ("Tokens per second", number_text(done.tok_s, 4), wanted, volume),
        ("Goodput", f"{number_text(done.goodput_rps(aims))}/s", "within the bounds", None),
        (
            "KV at most",
            f"{number_text(done.kv_peak_tokens * kv_gb)} GB",
            f"of {number_text(setup.kv_tokens * kv_gb)} GB",
            False if "kv_full" in wrong else None,
        ),
        ("MFU", share(done.mfu), "of peak arithmetic", None),
        ("MBU", share(done.mbu), "of bandwidth", None),
        ("Slots in use", share(done.slot_efficiency), f"of {setup.max_batch}", None),
    ]


_TWO: Final = "grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))"


def _serving_panes(session: Session, tables: bool) -> dict[str, str]:
    asked, aims = workload(session), goals(session)
    runs = [(name.upper(), run(asked, configuration(session, name))) for name in "ab"]
    measured = [_measures(done, session) for _, done in runs]
    sides = []
    for (which, done), measures in zip(runs, measured, strict=True):
        setup = done.configuration
        title = f"{which}: {setup.mode}, at most {setup.max_batch} on {setup.n_gpus} GPU"
        sides.append(
            f'<div data-side="{which}"><h4>{escape(title)}</h4>'
            f"{side_banners(session, which.lower(), done)}{cards(measures)}</div>"
        )
    pictures = (
        charts.goals_chart(runs, aims),
        charts.ttft_chart(runs, aims),
        charts.occupancy_chart(runs),
        charts.frontier_chart(runs),
    )
    side_by_side = "".join([f"<div>{picture}</div>" for picture in pictures])
    panes = {
        "sides": f'<div class="sm-panes">{"".join(sides)}</div>',
        # Two in a row: they hold more than act I's.
        "pictures": f'<div class="sm-panes" style="{_TWO}">{side_by_side}</div>',
    }
    if tables:
        a, b = measured
        columns = {
            "measure": [row[0] for row in a],
            "A": [row[1] for row in a],
            "B": [row[1] for row in b],
            "goal": [row[2] for row in a],
        }
        panes["tables"] = table("A and B", columns)
    return panes


_LAB: Final = Lab(
    key=LAB,
    record_version=RECORD_VERSION,
    words=WORDS,
    variants={context.key: context.label for context in CONTEXTS.values()},
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

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from servemath_helpers.labs.frame.ledger import Ledger
    >>> folder = TemporaryDirectory()
    >>> lab = KVWallLab("ada", ledger=Ledger(Path(folder.name) / "ledger.json"))
    >>> lab.predict("act1", "users", 2, confidence=5)
    >>> lab.lock("act1")
    >>> lab.adjust("act1", n_gpus=1)
    >>> lab.session.settings("act1")["n_gpus"]
    1
    >>> folder.cleanup()
    """

    engine: ClassVar[Lab] = _LAB
