"""What lab 3 says about its simulators: banners, and derivations with every number."""

from __future__ import annotations

from dataclasses import dataclass

from servemath_helpers import memory, roofline, slots, speculative
from servemath_helpers.labs.frame.svg import number_text
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.memory import MemoryPlan, MemorySetup, model_of
from servemath_helpers.labs.kv_wall.questions import users_if
from servemath_helpers.labs.kv_wall.serving import Goals, Run
from servemath_helpers.labs.kv_wall.story import duration, rate, share

__all__ = ["Message", "act1_message", "act1_peek", "act2_messages", "act2_peek"]


@dataclass(frozen=True)
class Message:
    """A banner: ``"fail"``, ``"ok"`` or ``"info"``, a headline, a text."""

    kind: str
    title: str
    text: str


def act1_message(found: MemoryPlan) -> Message:
    """Return the banner of the first simulator.

    Parameters
    ----------
    found : MemoryPlan
        What fits.

    Returns
    -------
    Message
        Kind, title and text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.memory import MemorySetup, plan
    >>> act1_message(plan(MemorySetup())).title
    'Viable: 371 users.'
    >>> act1_message(plan(MemorySetup(n_gpus=1))).kind
    'fail'
    """
    setup = found.setup
    if found.state == "oom":
        needed = f"{number_text(found.in_units(found.weight_bytes))} {setup.units}"
        return Message(
            "fail",
            "Out of memory.",
            f"The weights take {needed}; {setup.n_gpus} of these cards cannot hold them, "
            f"{found.min_gpus} can. Add cards, or use fewer bits for a weight.",
        )
    left = f"{number_text(found.in_units(found.pool_bytes))} {setup.units}"
    if found.state == "none":
        return Message(
            "fail", "Nobody fits.", f"{left} are left for the cache, less than one user takes."
        )
    if found.state == "few":
        return Message(
            "fail",
            f"At the wall: {found.users} {'user' if found.users == 1 else 'users'}.",
            f"Fewer than {room.FEW_USERS}. Shorten the context, shrink the cache or add cards.",
        )
    return Message("ok", f"Viable: {found.users} users.", f"{left} are left for their caches.")


def act2_messages(outcome: Run, goals: Goals) -> tuple[Message, ...]:
    """Return the banners of one configuration in the second simulator.

    Parameters
    ----------
    outcome : Run
        What happened.
    goals : Goals
        What was wanted.

    Returns
    -------
    tuple of Message
        One for each goal missed, or one that says that all are met.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> slow = run(peak, Configuration(max_batch=8))
    >>> [said.title for said in act2_messages(slow, Goals(ttft_slo_s=0.2))][:2]
    ['Unstable queue.', 'TTFT bound missed.']
    """
    setup, asked = outcome.configuration, outcome.workload
    written = {
        "oom": lambda: Message(
            "fail",
            "Out of memory.",
            f"The weights do not fit on {setup.n_gpus} GPU with this reserve.",
        ),
        "kv_full": lambda: Message(
            "fail",
            "KV full.",
            f"The cache holds {number_text(setup.kv_tokens)} tokens, and requests wait for room "
            "although slots are free"
            + (f"; {outcome.rejected} are larger than all of it." if outcome.rejected else "."),
        ),
        "unstable": lambda: Message(
            "fail",
            "Unstable queue.",
            f"Of every hundred that come, {number_text(100 * outcome.pile_up, 2)} pile up; the "
            "longer the peak lasts, the longer they wait.",
        ),
        "ttft": lambda: Message(
            "fail",
            "TTFT bound missed.",
            f"P99 is {duration(outcome.ttft_p99_s)}, the bound {duration(goals.ttft_slo_s)}.",
        ),
        "tpot": lambda: Message(
            "fail",
            "TPOT bound missed.",
            f"P99 is {duration(outcome.tpot_p99_s)}, the bound {duration(goals.tpot_slo_s)}.",
        ),
        "throughput": lambda: Message(
            "fail",
            "Throughput below target.",
            f"{rate(outcome.tok_s)} tok/s of {rate(goals.least_tok_s(asked))}.",
        ),
    }
    found = [written[state]() for state in serving.goal_states(outcome, goals)]
    if found:
        return tuple(found)
    text = f"P99 TTFT {duration(outcome.ttft_p99_s)}, {rate(outcome.tok_s)} tok/s"
    return (Message("ok", "All goals met.", f"{text}."),)


# --- derivations -------------------------------------------------------------------------------


def act1_peek(setup: MemorySetup) -> tuple[str, ...]:
    r"""Return act I's derivation, line by line, every factor printed; $...$ is mathematics.

    Parameters
    ----------
    setup : MemorySetup
        The frozen scenario.

    Returns
    -------
    tuple of str
        Lines of text.

    Examples
    --------
    >>> act1_peek(MemorySetup())[0].endswith("$k = 2 \\, L \\, H_{kv} \\, D \\, b$.")
    True
    """
    model = model_of(setup.model)
    b = setup.kv_bits // 8
    found = room.plan(setup)
    lines = [
        r"Every token leaves a key and a value in each layer: $k = 2 \, L \, H_{kv} \, D \, b$.",
        rf"$k = 2 \cdot {model.n_layers} \cdot {model.n_kv_heads} \cdot {model.head_dim} \cdot {b} "
        rf"= {found.k:.0f}$ bytes per token.",
        rf"One user of $S = {setup.seq_tokens}$ tokens: $S \, k = {setup.seq_tokens} \cdot "
        rf"{found.k:.0f} = {found.user_bytes:.0f}$ bytes "
        rf"$= {number_text(found.user_bytes / 2**30)}$ GiB "
        rf"$= {number_text(found.user_bytes / 10**9, 4)}$ GB.",
    ]
    if model.n_heads != model.n_kv_heads:
        mha = model.as_mha().kv_bytes_per_token(b)
        lines.append(
            rf"If each of the {model.n_heads} query heads had its own key and value: "
            rf"$2 \cdot {model.n_layers} \cdot {model.n_heads} \cdot {model.head_dim} \cdot {b} = "
            rf"{mha:.0f}$ bytes, {number_text(mha * setup.seq_tokens / 2**30)} GiB a user, "
            f"{users_if(setup, mha)} users."
        )
    lines += [
        rf"What is left for the cache: $n M (1 - r) - W_b = {setup.n_gpus} \cdot "
        rf"{setup.gpu_bytes} \cdot (1 - {setup.reserve}) - {found.weight_bytes}$, that is "
        rf"${found.pool_bytes:.0f}$ bytes (0 where the weights do not fit).",
        rf"$U = \lfloor {found.pool_bytes:.0f} / {found.user_bytes:.0f} \rfloor = {found.users}$.",
        rf"Paging: a page of {setup.page_tokens} tokens takes ${setup.page_tokens} \cdot "
        rf"{found.k:.0f}$ bytes $= {number_text(found.page_bytes / 2**20)}$ MiB. Only the last "
        rf"page of a sequence is partly empty, by "
        f"{number_text(memory.expected_paging_waste_tokens(setup.page_tokens))} tokens on average.",
    ]
    return tuple(lines)


def act2_peek(outcome: Run) -> tuple[str, ...]:
    """Return act II's derivation with the numbers of a run; $...$ is mathematics.

    Parameters
    ----------
    outcome : Run
        The frozen scenario's run.

    Returns
    -------
    tuple of str
        Lines of text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> "18.3 ms for 512 tokens" in act2_peek(run(peak, Configuration()))[0]
    True
    """
    asked, setup = outcome.workload, outcome.configuration
    model, gpu = model_of(serving.MODEL), room.gpu_of()
    n, seq, B = setup.n_gpus, asked.prompt_tokens + asked.mean_output // 2, setup.max_batch
    prefill_s = serving.prefill_s(asked.prompt_tokens, n)
    weights, k = model.weight_bytes(), model.kv_bytes_per_token()
    step = roofline.decode_step_s(
        B, seq, model.n_params, weights, k, n, gpu.bandwidth_Bps, gpu.bf16_dense_flops
    )
    expected = speculative.expected_tokens(setup.alpha, setup.gamma)
    return (
        r"$TTFT = W_q + t_{prefill}$: the wait for a slot and for room in the cache, then the "
        r"prompt. $t_{prefill} = (2 N S + 2 L d S^2) / (n F \cdot MFU)$ "
        rf"$=$ {duration(prefill_s)} for {asked.prompt_tokens} tokens on {n} GPU.",
        r"$t_{step} = B S k / (n \, BW) + \max(W_b / (n \, BW), \; 2 N B / (n F))$ "
        rf"$=$ {duration(step['step_s'])} for B = {B} at {seq} tokens, bound by {step['bound']}.",
        r"A static batch keeps $1 / H_B$ of its slots busy, $H_B = 1 + 1/2 + \dots + 1/B$: "
        rf"$1 / H_{{{B}}} =$ {share(slots.slot_efficiency(B))} (geometric answers). Continuous "
        f"batching gives a slot away at once; this run used {share(outcome.slot_efficiency)}.",
        r"Speculation gives $E = (1 - \alpha^{\gamma + 1}) / (1 - \alpha)$ tokens a verification: "
        rf"$E =$ {number_text(expected)} for α = {setup.alpha:g}, γ = {setup.gamma} (Leviathan et "
        "al., 2023). It pays as long as the step is bound by memory.",
    )
