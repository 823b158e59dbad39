"""Who sends requests when it depends on the answers: users with think time, conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from servemath_helpers._validate import sequence, whole
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen, times, tokens

__all__ = ["ClosedLoop", "Sessions"]


def _of_each(name: str, values: Any, n: int, *, minimum: int) -> IntArray:
    if np.ndim(values) == 0:
        values = np.full(n, whole(name, values, minimum))
    array = tokens(name, values, minimum=minimum)
    if array.size != n:
        raise ValueError(f"{name} must have one entry for each of {n} requests, got {array.size}")
    return array


def _seconds(name: str, values: Any, n: int) -> FloatArray:
    array = times(name, np.full(n, values) if np.ndim(values) == 0 else values)
    if array.size != n:
        raise ValueError(f"{name} must have one entry for each of {n} requests, got {array.size}")
    return array


@dataclass(frozen=True, eq=False)
class ClosedLoop:
    """A fixed number of users, each of whom waits for an answer, thinks, and asks again.

    Parameters
    ----------
    users : int
        Users, at least 1. Each takes the next request that nobody has sent, as benchmark
        tools with a limit of concurrency do.
    prompt_tokens, output_tokens : array_like
        Tokens of each prompt and each answer, at least 1, in the order in which they are
        taken.
    think_s : float or array_like, optional
        Seconds from a user's last answer (or the start) to each request, at least 0.

    Raises
    ------
    ValueError
        If a value is out of range or lengths differ.

    Examples
    --------
    >>> loop = ClosedLoop(2, prompt_tokens=[100, 100, 100], output_tokens=10, think_s=1.5)
    >>> len(loop), loop.output_tokens.tolist()
    (3, [10, 10, 10])
    """

    users: int
    prompt_tokens: IntArray
    output_tokens: IntArray
    think_s: FloatArray

    def __init__(
        self, users: int, prompt_tokens: Any, output_tokens: Any, think_s: Any = 0.0
    ) -> None:
        prompt = tokens("prompt_tokens", prompt_tokens, minimum=1)
        self.__dict__.update(
            users=whole("users", users, 1),
            prompt_tokens=frozen(prompt),
            output_tokens=frozen(_of_each("output_tokens", output_tokens, prompt.size, minimum=1)),
            think_s=frozen(_seconds("think_s", think_s, prompt.size)),
        )

    def __len__(self) -> int:
        return self.prompt_tokens.size


@dataclass(frozen=True, eq=False)
class Sessions:
    """Conversations: every turn sends the whole past again, with something new at its end.

    Parameters
    ----------
    start_s : array_like
        When each conversation's first turn is sent [s], at least 0.
    user_tokens : sequence of sequences of int
        For each conversation the new tokens of each turn, at least 1.
    output_tokens : sequence of sequences of int
        The tokens of each answer, at least 1.
    think_s : sequence of sequences of float, or float, optional
        Seconds from an answer to the next turn, at least 0; of the first turn not used.
    system_tokens : int, optional
        Tokens that every conversation begins with, at least 0.
    block_tokens : int, optional
        Tokens of a block of the prefix cache, at least 1. A block is reused only if it is
        full and equal to its last token.

    Raises
    ------
    ValueError
        If a value is out of range or lengths differ.

    Examples
    --------
    Prompts of the two turns: 100 + 40 tokens, then those, the answer's 20 and 30 new ones.

    >>> chat = Sessions([0.0], [[40, 30]], [[20, 10]], system_tokens=100)
    >>> chat.prompt_tokens.tolist()
    [140, 190]
    """

    start_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    think_s: FloatArray
    session: IntArray
    first: IntArray
    system_tokens: int
    block_tokens: int

    def __init__(
        self,
        start_s: Any,
        user_tokens: Sequence[Sequence[int]],
        output_tokens: Sequence[Sequence[int]],
        think_s: Any = 0.0,
        system_tokens: int = 0,
        block_tokens: int = 16,
    ) -> None:
        start = times("start_s", start_s)
        system = whole("system_tokens", system_tokens)
        columns = {"user_tokens": user_tokens, "output_tokens": output_tokens}
        if np.ndim(think_s) == 0:
            think_s = [[think_s] * len(sequence("user_tokens", row)) for row in user_tokens]
        columns["think_s"] = think_s
        rows = {name: sequence(name, values) for name, values in columns.items()}
        for name, values in rows.items():
            if len(values) != start.size:
                raise ValueError(
                    f"{name} must have one entry for each of {start.size} start_s, "
                    f"got {len(values)}"
                )
        prompts: list[int] = []
        answers: list[int] = []
        pauses: list[float] = []
        session: list[int] = []
        first: list[int] = []
        for i in range(start.size):
            new = tokens(f"user_tokens[{i}]", rows["user_tokens"][i], minimum=1)
            out = tokens(f"output_tokens[{i}]", rows["output_tokens"][i], minimum=1)
            pause = times(f"think_s[{i}]", rows["think_s"][i])
            for name, array in (("output_tokens", out), ("think_s", pause)):
                if array.size != new.size:
                    raise ValueError(
                        f"{name}[{i}] must have one entry for each of {new.size} turns, "
                        f"got {array.size}"
                    )
            first.append(len(prompts))
            past = system + np.cumsum(new) + np.concatenate(([0], np.cumsum(out)[:-1]))
            prompts += past.tolist()
            answers += out.tolist()
            pauses += pause.tolist()
            session += [i] * new.size
        self.__dict__.update(
            start_s=frozen(start),
            prompt_tokens=frozen(np.array(prompts)),
            output_tokens=frozen(np.array(answers)),
            think_s=frozen(np.array(pauses)),
            session=frozen(np.array(session)),
            first=frozen(np.array(first)),
            system_tokens=system,
            block_tokens=whole("block_tokens", block_tokens, 1),
        )

    def __len__(self) -> int:
        return self.prompt_tokens.size

    def blocks(self, request: int, held_tokens: int) -> tuple[int, ...]:
        """Return the identities of the full blocks that so many tokens of a request fill."""
        full, shared = (size // self.block_tokens for size in (held_tokens, self.system_tokens))
        own = int(self.session[request]) + 1
        # The system prompt's blocks are everybody's; others bear their conversation's number.
        return tuple(b if b < shared else (own << 32) + b for b in range(full))
