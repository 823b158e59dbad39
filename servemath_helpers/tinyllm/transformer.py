"""A Transformer with random weights, in NumPy: everything that costs time, and no sense.

Grouped-query attention with rotary positions, a gated feed-forward network, tied embeddings and
a real KV cache, in float32. The weights are drawn from a seed, and the next token is the one
with the largest logit, so that the same prompt is always answered alike.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from servemath_helpers._validate import whole
from servemath_helpers.sim.steptime import RooflineStep

__all__ = ["SMALL", "TINY", "Cache", "Shape", "Transformer", "tokens_of", "word_of"]

Array = npt.NDArray[np.float32]
_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a Transformer, each at least 1.

    Parameters
    ----------
    layers, width : int
        Layers, and width of the residual stream.
    heads, kv_heads, head_dim : int
        Query heads, of which `heads / kv_heads` share a key and a value, and the even width
        of each.
    ffn : int
        Inner width of the feed-forward network.
    vocabulary : int
        Tokens that there are.

    Examples
    --------
    >>> SMALL.n_weights, SMALL.weight_bytes, SMALL.kv_bytes_per_token
    (94371840, 377487360, 16384)
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int

    def __post_init__(self) -> None:
        for field in fields(self):
            whole(field.name, getattr(self, field.name), 1)
        if self.heads % self.kv_heads:
            raise ValueError(f"heads must be a multiple of {self.kv_heads}, got {self.heads!r}")
        if self.head_dim % 2:
            raise ValueError(f"head_dim must be even, got {self.head_dim!r}")

    @property
    def n_weights(self) -> int:
        """Weights of all matrices; the embedding is its own transpose at the end."""
        attention = 2 * self.width * self.head_dim * (self.heads + self.kv_heads)
        return self.vocabulary * self.width + self.layers * (attention + 3 * self.width * self.ffn)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return _FLOAT_BYTES * self.n_weights

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that a token leaves in the cache: a key and a value in each layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * _FLOAT_BYTES

    def roofline(self, bw_Bps: float, peak_flops: float) -> RooflineStep:
        """Return the step time if nothing but bandwidth and arithmetic counted.

        The peak is one that a matrix product has reached, so prefill is to reach it too.
        """
        return RooflineStep(
            n_params=self.n_weights,
            weight_bytes=self.weight_bytes,
            k=self.kv_bytes_per_token,
            layers=self.layers,
            d_attn=self.heads * self.head_dim,
            n_gpus=1,
            bw_Bps=bw_Bps,
            peak_flops=peak_flops,
            mfu=1.0,
        )


#: What lab 5 serves: 378 MB of weights, more than any cache of a processor holds.
SMALL = Shape(
    layers=8, width=1024, heads=16, kv_heads=4, head_dim=64, ffn=2816, vocabulary=4096
)  # fmt: skip
#: For tests and a virtual clock, where only the tokens matter.
TINY = Shape(layers=2, width=32, heads=4, kv_heads=2, head_dim=8, ffn=64, vocabulary=256)


def word_of(token: int) -> str:
    """Return a token as text.

    Parameters
    ----------
    token : int
        Its number.

    Returns
    -------
    str
        A word and a blank.

    Examples
    --------
    >>> word_of(17)
    'w17 '
    """
    return f"w{token} "


def tokens_of(text: str, vocabulary: int) -> list[int]:
    """Return the tokens of a text, one a word.

    Parameters
    ----------
    text : str
        Words; those of `word_of` are the token that they name, others any token.
    vocabulary : int
        Tokens that there are.

    Returns
    -------
    list of int
        Their numbers.

    Examples
    --------
    >>> tokens_of("w17 w3", 256), len(tokens_of("to be or not", 256))
    ([17, 3], 4)
    """
    return [
        int(word[1:]) % vocabulary
        if word[:1] == "w" and word[1:].isdecimal() and word.isascii()
        else zlib.crc32(word.encode()) % vocabulary
        for word in text.split()
    ]


class _Layer(NamedTuple):
    query: Array
    key: Array
    value: Array
    output: Array
    gate: Array
    up: Array
    down: Array


class Cache:
    """Keys and values of one sequence, with room for so many tokens.

    Parameters
    ----------
    shape : Shape
        Of the model.
    room : int
        Tokens, at least 1.
    """

    def __init__(self, shape: Shape, room: int) -> None:
        size = (shape.layers, shape.kv_heads, whole("room", room, 1), shape.head_dim)
        self.keys, self.values = np.empty(size, np.float32), np.empty(size, np.float32)
        self.length = 0

    def attend(self, layer: int, query: Array, key: Array, value: Array) -> Array:
        """Store what new tokens leave in a layer, and return what they see, with the past.

        Arrays are (tokens, heads, head_dim).
        """
        new, heads, head_dim = query.shape
        kv_heads = key.shape[1]
        end = self.length + new
        self.keys[layer, :, self.length : end] = key.swapaxes(0, 1)
        self.values[layer, :, self.length : end] = value.swapaxes(0, 1)
        keys, values = self.keys[layer, :, :end], self.values[layer, :, :end]
        # The query heads that share a key stand together: one product a key head.
        grouped = query.reshape(new, kv_heads, -1, head_dim).transpose(1, 2, 0, 3)
        scores = grouped.reshape(kv_heads, -1, head_dim) @ keys.swapaxes(1, 2)
        scores = scores.reshape(kv_heads, -1, new, end) / np.float32(head_dim**0.5)
        if new > 1:  # nobody sees the future
            future = np.arange(end) > np.arange(self.length, end)[:, None]
            scores[..., future] = -np.inf
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        seen: Array = shares.reshape(kv_heads, -1, end) @ values
        seen = seen.reshape(kv_heads, -1, new, head_dim).transpose(2, 0, 1, 3)
        return seen.reshape(new, heads, head_dim)


def _normed(x: Array) -> Array:
    normed: Array = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(1e-6))
    return normed


def _turned(x: Array, turn: npt.NDArray[np.complex64]) -> Array:
    """Return heads turned by their position: pairs of numbers as complex ones."""
    pairs = x.reshape(*x.shape[:-1], -1, 2).view(np.complex64)[..., 0]
    return (pairs * turn[:, None]).view(np.float32).reshape(x.shape)


class Transformer:
    """A Transformer with weights drawn from a seed.

    Parameters
    ----------
    shape : Shape
        Its sizes.
    seed : int, optional
        Of the weights.

    Examples
    --------
    The answer to a prompt does not depend on who is computed beside it:

    >>> model = Transformer(TINY)
    >>> def answer(*prompts):
    ...     caches = [model.cache(20) for _ in prompts]
    ...     tokens = model.forward(list(zip(caches, prompts)))
    ...     while caches[0].length < 16:
    ...         tokens = model.forward([(c, [t]) for c, t in zip(caches, tokens)])
    ...     return tokens[0]
    >>> answer([1, 2, 3]) == answer([1, 2, 3], [7, 8, 9, 10])
    True
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        if not isinstance(shape, Shape):
            raise ValueError(f"shape must be a Shape, got {shape!r}")
        self.shape, self.seed = shape, whole("seed", seed)
        self._rng = np.random.default_rng(self.seed)
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        width, ffn = shape.width, shape.ffn
        # Short rows: what the layers add must weigh more than the token that went in.
        self.embedding = self._drawn(shape.vocabulary, width) * np.float32(
            (shape.vocabulary / width) ** 0.5 * 0.1
        )
        self.layers = [
            _Layer(
                query=self._drawn(width, queries),
                key=self._drawn(width, keys),
                value=self._drawn(width, keys),
                output=self._drawn(queries, width),
                gate=self._drawn(width, ffn),
                up=self._drawn(width, ffn),
                down=self._drawn(ffn, width),
            )
            for _ in range(shape.layers)
        ]

    def _drawn(self, rows: int, columns: int) -> Array:
        drawn = self._rng.standard_normal((rows, columns), np.float32)
        drawn *= np.float32(rows**-0.5)
        return drawn

    @cached_property
    def _turns(self) -> npt.NDArray[np.float64]:
        """How far a step in position turns each pair of a head [rad]."""
        pairs = self.shape.head_dim // 2
        return 10_000.0 ** (-np.arange(pairs) / pairs)

    def cache(self, room: int) -> Cache:
        """Return an empty cache with room for so many tokens."""
        return Cache(self.shape, room)

    def forward(self, batch: Sequence[tuple[Cache, Sequence[int]]]) -> list[int]:
        """Compute new tokens of sequences, and return the next token of each.

        A prompt is many new tokens, decoding is one. All tokens of all sequences go through a
        weight together, so that it is read once; only attention is each one's own.
        """
        sizes = [len(new) for _, new in batch]
        ends = np.cumsum(sizes)
        starts = ends - sizes
        ids = np.concatenate([np.asarray(new, np.int64) for _, new in batch])
        at = np.concatenate([np.arange(len(new)) + cache.length for cache, new in batch])
        turn = np.exp(1j * at[:, None] * self._turns).astype(np.complex64)
        head_dim = self.shape.head_dim
        x = self.embedding[ids]
        for number, weights in enumerate(self.layers):
            h = _normed(x)
            query = _turned((h @ weights.query).reshape(ids.size, -1, head_dim), turn)
            key = _turned((h @ weights.key).reshape(ids.size, -1, head_dim), turn)
            value = (h @ weights.value).reshape(ids.size, -1, head_dim)
            seen = np.empty_like(query)
            for (cache, _), start, end in zip(batch, starts, ends, strict=True):
                mine = slice(start, end)
                seen[mine] = cache.attend(number, query[mine], key[mine], value[mine])
            x = x + seen.reshape(ids.size, -1) @ weights.output
            h = _normed(x)
            gate = h @ weights.gate
            x = x + (gate / (1 + np.exp(-gate)) * (h @ weights.up)) @ weights.down
        for (cache, _), size in zip(batch, sizes, strict=True):
            cache.length += size
        logits = _normed(x[ends - 1]) @ self.embedding.T
        return [int(token) for token in logits.argmax(axis=1)]
