"""What a model server is asked: when requests come, and how many tokens they bring and want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from servemath_helpers._validate import finite_numbers_in, same_length, sequence, whole
from servemath_helpers.sim._arrays import FloatArray, IntArray, frozen, sorted_times, tokens

__all__ = ["Requests"]


@dataclass(frozen=True, eq=False)
class Requests:
    """A sequence of requests in the order of arrival.

    Parameters
    ----------
    arrival_s : array_like
        Instants of arrival [s], at least 0, ascending, at least one.
    prompt_tokens, output_tokens : array_like
        Tokens of each prompt and of each answer, at least 1, as many as arrivals; or one
        number for all.
    priority : array_like, optional
        A number for each, the lowest first; only a server with ``order="priority"`` looks
        at it.
    block_hashes : sequence of sequences of int, optional
        For each prompt the identities of its blocks of `hash_block_tokens` tokens, such that
        equal numbers mean equal blocks after equal beginnings; for prefix caching.
    hash_block_tokens : int, optional
        Tokens in such a block, at least 1.

    Raises
    ------
    ValueError
        If there is no request, arrivals are not sorted, lengths differ, or a value is out of
        range.

    Examples
    --------
    >>> requests = Requests([0.0, 0.5], prompt_tokens=512, output_tokens=[100, 20])
    >>> len(requests), requests.prompt_tokens.tolist()
    (2, [512, 512])
    """

    arrival_s: FloatArray
    prompt_tokens: IntArray
    output_tokens: IntArray
    priority: FloatArray | None = None
    block_hashes: Sequence[Sequence[int]] | None = None
    hash_block_tokens: int = 512

    def __init__(
        self,
        arrival_s: Any,
        prompt_tokens: Any,
        output_tokens: Any,
        priority: Iterable[float] | None = None,
        block_hashes: Iterable[Iterable[int]] | None = None,
        hash_block_tokens: int = 512,
    ) -> None:
        arrival = sorted_times("arrival_s", arrival_s)
        fields: dict[str, Any] = {"arrival_s": frozen(arrival)}
        for name, values in (("prompt_tokens", prompt_tokens), ("output_tokens", output_tokens)):
            if np.ndim(values) == 0 and not isinstance(values, Iterable):
                values = np.full(arrival.size, whole(name, values, 1))
            checked = tokens(name, values, minimum=1)
            same_length(**{"arrival_s": arrival, name: checked})
            fields[name] = frozen(checked)
        fields["priority"] = None
        if priority is not None:
            urgency = np.array(finite_numbers_in("priority", priority))
            same_length(arrival_s=arrival, priority=urgency)
            fields["priority"] = frozen(urgency)
        block = whole("hash_block_tokens", hash_block_tokens, 1)
        fields["hash_block_tokens"] = block
        fields["block_hashes"] = None
        if block_hashes is not None:
            hashes = [
                tuple(sequence(f"block_hashes[{i}]", ids))
                for i, ids in enumerate(sequence("block_hashes", block_hashes))
            ]
            same_length(arrival_s=arrival, block_hashes=hashes)
            for i, (ids, size) in enumerate(
                zip(hashes, fields["prompt_tokens"].tolist(), strict=True)
            ):
                if len(ids) > -(-size // block):
                    raise ValueError(
                        f"block_hashes[{i}] must have at most {-(-size // block)} blocks for "
                        f"{size} tokens, got {len(ids)}"
                    )
            fields["block_hashes"] = tuple(hashes)
        # A frozen dataclass is written once, here, with checked values.
        self.__dict__.update(fields)

    def __len__(self) -> int:
        return self.arrival_s.size

    @property
    def rate_rps(self) -> float:
        """Mean arrivals per second, from the first arrival to the last; 0.0 for one instant."""
        span = float(self.arrival_s[-1] - self.arrival_s[0])
        return (len(self) - 1) / span if span > 0 else 0.0
