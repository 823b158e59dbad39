"""Lab 3, the KV-cache memory wall: its two acts as a session, its footer and its ledger.

Act I asks how many users a node's memory holds, act II what batching does to them. No widget
is needed:

>>> run = start("ada", "latency")
>>> run = run.predict("act1", "users", "query_heads", confidence=4).lock("act1")
>>> act1_reality(run).users, round(act1_reality(run).ratio, 2)
(371, 0.12)
>>> run.adjust("act1", n_gpus=1).settings("act1")["n_gpus"]
1
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from servemath_helpers import __version__
from servemath_helpers.labs.frame.session import Control, Part, Session
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import questions as asking
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.memory import MemorySetup, model_of
from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Run, Workload
from servemath_helpers.labs.kv_wall.story import CONTEXTS, Context, context_of, duration, rate

__all__ = [
    "BADGES",
    "LAB",
    "RECORD_VERSION",
    "TITLE",
    "Act1Reality",
    "act1_reality",
    "act2_reality",
    "chosen_run",
    "configuration",
    "goals",
    "hud",
    "memory_setup",
    "outcome",
    "parts",
    "start",
    "workload",
]

LAB: Final = "lab3"
TITLE: Final = "Lab 3 · The KV-cache memory wall"
RECORD_VERSION: Final = "3.10"
BADGES: Final = ("KV = 2·L·S·H_kv·D·bytes", "TTFT P99 SLO", "continuous batching")
#: Section of the chapter, and what it is about.

# --- controls ----------------------------------------------------------------------------------

_RESERVES: Final = (("0 %", "0"), ("5 %", "0.05"), ("10 %", "0.1"))
_GPUS: Final = tuple((str(n), n) for n in (1, 2, 4, 8))


def _act1_controls(setup: MemorySetup) -> tuple[Control, ...]:
    return (
        Control("seq_tokens", "Context", setup.seq_tokens, 512, 32_768, 512, unit="tokens"),
        Control("model", "Model", setup.model, choices=room.MODELS),
        Control("n_gpus", "GPUs (H100, 80 GB)", setup.n_gpus, choices=_GPUS),
        Control("bits", "Bits of a weight", setup.bits, choices=(("16", 16), ("8", 8), ("4", 4))),
        Control("kv_bits", "Bits in the cache", setup.kv_bits, choices=(("16", 16), ("8", 8))),
        Control("reserve", "Reserve", setup.reserve, choices=_RESERVES),
        Control(
            "units",
            "The card's 80 are",
            setup.units,
            choices=(("GB", "GB"), ("GiB", "GiB")),
            help="GB is a thousand million bytes, GiB is 2**30",
        ),
        Control(
            "page_tokens",
            "Page",
            setup.page_tokens,
            choices=tuple((str(p), p) for p in room.PAGES),
            unit="tokens",
        ),
    )


def _act2_controls(context: Context) -> tuple[Control, ...]:
    asked = context.workload
    shared = (
        Control("lam_rps", "Arrivals λ", context.start_rps, 1.0, 60.0, 1.0, unit="1/s"),
        Control("prompt_tokens", "Prompt", asked.prompt_tokens, 128, 8192, 128, unit="tokens"),
        Control("mean_output", "Mean answer", asked.mean_output, 16, 1024, 16, unit="tokens"),
    )
    design = Control(
        "design",
        "My design is",
        "a",
        choices=(("A", "a"), ("B", "b")),
        help="which of the two is put to the test and goes into the ledger",
    )
    # In pairs, so that A and B stand side by side.
    begin = zip("ab", context.modes, context.batches, strict=True)
    own = zip(*(_own_controls(*each) for each in begin), strict=True)
    return (*shared, design, *(control for pair in own for control in pair))


def _own_controls(name: str, mode: str, batch: int) -> tuple[Control, ...]:
    which, drafts = name.upper(), "only speculative decoding looks at it"
    modes = "chunked prefill and speculative decoding are continuous batching too"
    return (
        Control(f"{name}_mode", f"{which}: batching", mode, choices=serving.MODES, help=modes),
        Control(f"{name}_max_batch", f"{which}: largest batch", batch, 1, 128, 1),
        Control(f"{name}_n_gpus", f"{which}: GPUs", 8, choices=_GPUS),
        Control(f"{name}_reserve", f"{which}: reserve", "0", choices=_RESERVES),
        Control(
            f"{name}_chunk_tokens",
            f"{which}: chunk",
            512,
            256,
            4096,
            128,
            unit="tokens",
            help="only chunked prefill looks at it",
        ),
        Control(f"{name}_alpha", f"{which}: accepted α", 0.8, 0.0, 1.0, 0.05, help=drafts),
        Control(f"{name}_gamma", f"{which}: draft γ", 4, 0, 8, 1, unit="tokens", help=drafts),
    )


# --- parts and session -------------------------------------------------------------------------


@lru_cache(maxsize=len(CONTEXTS))
def parts(context: str) -> tuple[Part, ...]:
    """Return the two acts of a context.

    Parameters
    ----------
    context : {"latency", "throughput"}
        Which story.

    Returns
    -------
    tuple of Part
        ``"act1"`` and ``"act2"``, their options computed.

    Raises
    ------
    ValueError
        If there is no such context.
    """
    story = context_of(context)
    setup = MemorySetup(seq_tokens=story.seq_tokens)
    act1 = Part(
        "act1",
        "Act I · The wall",
        asking.act1_questions(story, setup),
        setup,
        _act1_controls(setup),
        asking.act1_reflections(),
    )
    act2 = Part(
        "act2",
        "Act II · The queue",
        asking.act2_questions(story),
        {
            "workload": story.workload,
            "goals": {
                "ttft_slo_s": story.goals.ttft_slo_s,
                "tpot_slo_s": story.goals.tpot_slo_s,
                "target_tok_s": story.goals.target_tok_s,
            },
            "batches": (asking.SMALL_BATCH, asking.LARGE_BATCH),
            "model": serving.MODEL,
            "gpu": room.GPU,
        },
        _act2_controls(story),
        asking.act2_reflections(story),
    )
    return act1, act2


def start(learner: str, context: str = "latency") -> Session:
    """Return a fresh run of the lab.

    Parameters
    ----------
    learner : str
        Who; decides the order of the options.
    context : {"latency", "throughput"}, optional
        Which story.

    Returns
    -------
    Session
        With ``"act1"`` and ``"act2"``.

    Raises
    ------
    ValueError
        If there is no such context.

    Examples
    --------
    >>> [part.key for part in start("ada").parts]
    ['act1', 'act2']
    """
    return Session.start(LAB, learner, context, parts(context))


# --- reading a session -------------------------------------------------------------------------


def memory_setup(session: Session) -> MemorySetup:
    """Return the first simulator's settings.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    MemorySetup
        As the controls of act I stand.

    Examples
    --------
    >>> memory_setup(start("ada", "throughput")).seq_tokens
    8192
    """
    return MemorySetup.of(session.settings("act1"))


def workload(session: Session) -> Workload:
    """Return the second simulator's workload.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    Workload
        As the controls of act II stand.

    Examples
    --------
    >>> workload(start("ada")).lam_rps
    8.0
    """
    settings = session.settings("act2")
    return Workload(
        lam_rps=settings["lam_rps"],
        prompt_tokens=settings["prompt_tokens"],
        mean_output=settings["mean_output"],
    )


def configuration(session: Session, which: str) -> Configuration:
    """Return configuration ``"a"`` or ``"b"`` of the second simulator.

    Parameters
    ----------
    session : Session
        A run of this lab.
    which : {"a", "b"}
        Left or right.

    Returns
    -------
    Configuration
        As its controls stand.

    Examples
    --------
    >>> run = start("ada")
    >>> [configuration(run, which).max_batch for which in "ab"]
    [32, 64]
    """
    settings = session.settings("act2")
    names = Configuration.__dataclass_fields__
    return Configuration(**{name: settings[f"{which}_{name}"] for name in names})


def goals(session: Session) -> Goals:
    """Return what runs of this session are held against.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    Goals
        Those of the context.

    Examples
    --------
    >>> goals(start("ada")).ttft_slo_s
    0.2
    """
    return context_of(session.variant).goals


def chosen_run(session: Session) -> Run:
    """Return the run of the configuration that the learner calls their design.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    Run
        Simulated with the settings of now.

    Examples
    --------
    >>> chosen_run(start("ada")).configuration.max_batch
    32
    """
    return serving.run(
        workload(session), configuration(session, session.settings("act2")["design"])
    )


@dataclass(frozen=True)
class Act1Reality:
    """A locked prediction of act I against what its frozen scenario gives.

    Attributes
    ----------
    predicted, users : int
        What was said, and what fits.
    mistake : str or None
        Key of the idea that gives the number said; None if it was right.
    text : str
        What to learn from it.
    """

    predicted: int
    users: int
    mistake: str | None
    text: str

    @property
    def ratio(self) -> float:
        """Predicted over real."""
        return self.predicted / self.users


def act1_reality(session: Session) -> Act1Reality:
    """Return act I's prediction against reality; LabError before it is locked.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    Act1Reality
        From the frozen scenario, whatever the controls say.

    Raises
    ------
    LabError
        Before act I is locked.

    Examples
    --------
    >>> run = start("ada").predict("act1", "users", "right").lock("act1")
    >>> act1_reality(run).ratio
    1.0
    """
    locked = session.prediction("act1", "users")
    setup = MemorySetup.of(locked.scenario)
    predicted = asking.users_if(setup, asking.IDEAS[locked.chosen](setup))
    mistake = None if locked.correct else locked.chosen
    assumed, real = (
        number_text(asking.IDEAS[idea](setup) / 2**10) for idea in (locked.chosen, "right")
    )
    text = f"Your number is what fits if a token takes {assumed} KiB; it takes {real} KiB."
    return Act1Reality(predicted, room.plan(setup).users, mistake, text)


def act2_reality(session: Session) -> tuple[tuple[str, Run], ...]:
    """Return the runs behind act II's questions; LabError before they are locked.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    tuple of (str, Run)
        What was run, and how it went.

    Raises
    ------
    LabError
        Before act II is locked.

    Examples
    --------
    >>> run = start("ada")
    >>> for asked in run.part("act2").questions:
    ...     run = run.predict("act2", asked.key, asked.options[0].key)
    >>> [name for name, _ in act2_reality(run.lock("act2"))][0]
    'static, at most 64'
    """
    locked = session.prediction("act2", session.part("act2").questions[0].key)
    asked = Workload(**locked.scenario["workload"])
    small, large = locked.scenario["batches"]
    tried = (
        Configuration(mode="static", max_batch=large),
        Configuration(max_batch=small),
        Configuration(max_batch=large),
    )
    return tuple(
        (f"{each.mode}, at most {each.max_batch}", serving.run(asked, each)) for each in tried
    )


# --- footer and ledger -------------------------------------------------------------------------


def _mark(answers: list[bool | None]) -> str:
    return "".join("✓" if answer else "✗" for answer in answers)


def hud(session: Session) -> tuple[tuple[str, str], ...]:
    """Return the fields of the footer.

    Parameters
    ----------
    session : Session
        A run of this lab.

    Returns
    -------
    tuple of (str, str)
        Name and value; a dash for what is not known yet.

    Examples
    --------
    >>> dict(hud(start("ada")))["MAX USERS"]  # nothing is told before the lock
    '–'
    """
    story, found = context_of(session.variant), room.plan(memory_setup(session))
    act1 = [p.correct for p in session.predictions("act1")]
    act2 = [p.correct for p in session.predictions("act2")]
    # What act I asks for stays covered until its prediction is locked.
    kv_user = users = ttft = tok_s = slo = "–"
    if session.is_locked("act1"):
        kv_user = f"{number_text(found.in_units(found.user_bytes))} {found.setup.units}"
        users = str(found.users)
    if session.is_locked("act2"):
        best = chosen_run(session)
        ttft, tok_s = duration(best.ttft_p99_s), rate(best.tok_s)
        slo = "MISSED" if serving.goal_states(best, goals(session)) else "MET"
    reflected = sum(
        session.reflection(part.key, asked.key) is not None
        for part in session.parts
        for asked in part.reflections
    )
    total = sum(len(part.reflections) for part in session.parts)
    return (
        ("LAB", "3"),
        ("CONTEXT", story.key.upper()),
        ("ACT I", _mark(act1) or "–"),
        ("ACT II PRED", _mark(act2) or "–"),
        ("TTFT P99 (LAT)", ttft),
        ("TPS (BATCH)", tok_s),
        ("KV/USER", kv_user),
        ("MAX USERS", users),
        ("SLO", slo),
        ("REFLECT", f"{reflected}/{total}"),
        ("ITERATIONS", str(session.iterations)),
        ("LEDGER", "SAVED" if session.saved_at else "NOT SAVED"),
    )


def _plain(setup: Configuration, asked: Workload) -> dict[str, Any]:
    fields = {name: getattr(setup, name) for name in setup.__dataclass_fields__}
    return {**fields, "prompt_tokens": asked.prompt_tokens, "lam_rps": asked.lam_rps}


def outcome(session: Session) -> dict[str, Any]:
    """Return what the ledger keeps of a run, beside the session itself.

    Parameters
    ----------
    session : Session
        A run of this lab, finished or not.

    Returns
    -------
    dict
        Plain data; what the learner has not done yet is None.

    Examples
    --------
    >>> outcome(start("ada"))["model"]
    'Llama-3-70B'
    """
    setup, asked = memory_setup(session), workload(session)
    found = room.plan(setup)
    locked2 = {p.question: p for p in session.predictions("act2")}
    lever = session.reflection("act1", "lever")
    reason = session.reflection("act2", "reason")
    record: dict[str, Any] = {
        "context": session.variant,
        "model": setup.model,
        "n_gpus": setup.n_gpus,
        "units_convention": setup.units,
        "model_params_b": _billions(setup.model),
        "context_length": setup.seq_tokens,
        "kv_cache_gib": None,
        "max_users": None,
        "frozen_scenario": None,
        "act1_prediction": None,
        "act1_reality": None,
        "act1_ratio": None,
        "act1_correct": None,
        "act1_mistake": None,
        "act1_confidence": None,
        "act1_reflection": lever.chosen if lever else None,
        "act1_reflection_correct": lever.correct if lever else None,
        "act2_prediction": {key: p.chosen for key, p in locked2.items()} or None,
        "act2_prediction_correct": {key: p.correct for key, p in locked2.items()} or None,
        "act2_reflection": reason.chosen if reason else None,
        "act2_reflection_correct": reason.correct if reason else None,
        "config_a": _plain(configuration(session, "a"), asked),
        "config_b": _plain(configuration(session, "b"), asked),
        "iterations": session.iterations,
        "sim_seed": serving.SEED,
        "library_version": __version__,
    }
    if session.is_locked("act1"):
        locked, reality = session.prediction("act1", "users"), act1_reality(session)
        record.update(
            frozen_scenario=locked.to_dict()["scenario"],
            kv_cache_gib=found.user_bytes / 2**30,
            max_users=found.users,
            act1_prediction=reality.predicted,
            act1_reality=reality.users,
            act1_ratio=reality.ratio,
            act1_correct=locked.correct,
            act1_mistake=reality.mistake,
            act1_confidence=locked.confidence,
        )
    design: dict[str, Any] = dict.fromkeys(
        (
            "max_batch_size",
            "ttft_p50_ms",
            "ttft_p99_ms",
            "tpot_p99_ms",
            "throughput_tok_s",
            "goodput_rps",
            "constraint_hit",
            "slo_met",
            "act2_result",
            "act2_decision",
        )
    )
    if session.is_locked("act2"):
        run, aims = chosen_run(session), goals(session)
        hit = serving.goal_states(run, aims)
        design.update(
            max_batch_size=run.configuration.max_batch,
            ttft_p50_ms=_ms(run.ttft_p50_s),
            ttft_p99_ms=_ms(run.ttft_p99_s),
            tpot_p99_ms=_ms(run.tpot_p99_s),
            throughput_tok_s=run.tok_s,
            goodput_rps=run.goodput_rps(aims),
            constraint_hit=list(hit),
            slo_met=not hit,
            act2_result=_ms(run.ttft_p99_s),
            act2_decision=run.configuration.mode,
        )
    return {**record, **design}


def _billions(name: str) -> float:
    """Return the parameters of a model in units of 1e9."""
    return model_of(name).n_params / 1e9


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
