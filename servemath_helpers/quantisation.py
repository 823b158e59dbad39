"""Fewer bits a number: what rounding may cost, and what the formats of checkpoints take.

In symmetric integer quantisation a value x is stored as the whole number nearest to x / s.
One scale s serves a group of values (a tensor, a row, a block), and the largest of them
decides it. The formats that engines load store such scales beside the values.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np

from servemath_helpers._validate import finite_numbers_in, finite_positive, numbers_in, whole

__all__ = [
    "FORMATS",
    "NumberFormat",
    "dequantise",
    "largest_code",
    "number_format",
    "quantise",
    "rounding_bound",
    "stored_bytes",
    "symmetric_scale",
]


@dataclass(frozen=True)
class NumberFormat:
    """How a format stores weights: values, and scales beside them.

    Attributes
    ----------
    name : str
        As checkpoints call it.
    bits : int
        Bits of one value.
    block : int
        Values that share a scale; 0 for none.
    scale_bits : int
        Bits that a block stores beside its values (scale, zero point).
    tensor_bytes : int
        Bytes that a whole tensor stores besides.
    padded : bool
        Whether the last block takes the room of a full one.
    """

    name: str
    bits: int
    block: int = 0
    scale_bits: int = 0
    tensor_bytes: int = 0
    padded: bool = True

    @property
    def bits_per_weight(self) -> float:
        """Bits of one weight with its share of the scale, in a large tensor."""
        return self.bits + (self.scale_bits / self.block if self.block else 0)


#: Number formats by name.
FORMATS = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            NumberFormat("fp32", 32),
            NumberFormat("bf16", 16),
            NumberFormat("fp16", 16),
            NumberFormat("fp8", 8, tensor_bytes=4),
            NumberFormat("int8", 8, tensor_bytes=4),
            # A scale for a tile of 128 by 128, which may be cut short at the edge.
            NumberFormat("fp8_block", 8, block=128 * 128, scale_bits=32, padded=False),
            NumberFormat("mxfp8", 8, block=32, scale_bits=8),
            NumberFormat("mxfp4", 4, block=32, scale_bits=8),
            NumberFormat("nvfp4", 4, block=16, scale_bits=8, tensor_bytes=4),
            NumberFormat("int4_g32", 4, block=32, scale_bits=16),
            NumberFormat("int4_g128", 4, block=128, scale_bits=16),
            NumberFormat("int4_g128_zero", 4, block=128, scale_bits=16 + 4),
        )
    }
)


def number_format(name: str) -> NumberFormat:
    """Return a number format by name.

    Parameters
    ----------
    name : str
        One of `FORMATS`.

    Returns
    -------
    NumberFormat
        Its bits, blocks and scales.

    Raises
    ------
    ValueError
        If there is no such format.

    Examples
    --------
    >>> [number_format(name).bits_per_weight for name in ("mxfp4", "nvfp4", "int4_g128", "mxfp8")]
    [4.25, 4.5, 4.125, 8.25]
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def stored_bytes(n_weights: int, fmt: str) -> int:
    """Return the bytes that the weights of one tensor take, scales included.

    Parameters
    ----------
    n_weights : int
        Weights, at least 0.
    fmt : str
        One of `FORMATS`.

    Returns
    -------
    int
        Bytes, rounded up; 0 without weights.

    Raises
    ------
    ValueError
        If `n_weights` is no whole number of at least 0, or there is no such format.

    Notes
    -----
    A "4-bit" weight takes 4 bits and its share of a scale: blocks of 32 with one of 8 bits
    (MXFP4), of 16 with one of 8 bits and 4 bytes for the tensor (NVFP4), of 128 with one of
    16 bits (INT4). A block that is not full takes the room of a full one.

    References
    ----------
    Open Compute Project (2023), "OCP Microscaling Formats (MX) Specification", version 1.0.
    DeepSeek-AI (2024), "DeepSeek-V3 Technical Report", arXiv:2412.19437, section 3.3 (tiles
    of 128 by 128).

    Examples
    --------
    >>> stored_bytes(33, "mxfp4"), stored_bytes(1000, "nvfp4"), stored_bytes(129, "int4_g128")
    (34, 571, 132)

    The 68.45e9 weights in the linear layers of a 70B model, in GB:

    >>> [round(stored_bytes(68_452_614_144, f) / 1e9, 1) for f in ("fp8", "nvfp4", "mxfp4")]
    [68.5, 38.5, 36.4]
    """
    n_weights = whole("n_weights", n_weights)
    entry = number_format(fmt)
    if not n_weights:
        return 0
    values, scales = n_weights, 0
    if entry.block:
        scales = -(-n_weights // entry.block)
        values = scales * entry.block if entry.padded else n_weights
    bits = Fraction(values * entry.bits + scales * entry.scale_bits)
    return -(-bits // 8) + entry.tensor_bytes


def largest_code(bits: int = 8) -> int:
    """Return the largest code of a symmetric integer format.

    Parameters
    ----------
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    int
        2^(bits - 1) - 1: 127 for 8 bits, 7 for 4. The code below -largest is not used,
        so that x and -x have codes of one size.

    Examples
    --------
    >>> largest_code(8), largest_code(4)
    (127, 7)
    """
    bits = whole("bits", bits, minimum=2)
    if bits > 32:
        raise ValueError(f"bits must be at most 32, got {bits!r}")
    return int(2 ** (bits - 1) - 1)


def symmetric_scale(values: Iterable[float], bits: int = 8) -> float:
    """Return the scale that maps the largest magnitude to the largest code.

    Parameters
    ----------
    values : iterable of float
        Finite values of the group, at least one.
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    float
        max(abs(x)) / (2^(bits - 1) - 1) [unit of the values]; 1.0 if all values are 0, where
        any scale serves.

    Raises
    ------
    ValueError
        If a value is not finite, there is none, the magnitudes are too small for a scale,
        or bits is out of range.

    References
    ----------
    T. Dettmers et al. (2022), "LLM.int8(): 8-bit Matrix Multiplication for Transformers
    at Scale", arXiv:2208.07339, section 2 (absmax quantisation).

    Examples
    --------
    >>> symmetric_scale([0.5, -1.27, 0.02])
    0.01
    """
    largest = max(abs(value) for value in finite_numbers_in("values", values))
    scale = largest / largest_code(bits)
    if scale == 0 and largest > 0:
        raise ValueError(f"values must be large enough for a scale above 0, got {largest!r}")
    return scale if largest > 0 else 1.0


def quantise(values: Iterable[float], scale: float, bits: int = 8) -> list[int]:
    """Return the codes of values: the nearest whole number of scales, kept in range.

    Parameters
    ----------
    values : iterable of float
        Finite values.
    scale : float
        Greater than 0 [unit of the values].
    bits : int
        Bits of a code, sign included, from 2 to 32.

    Returns
    -------
    list of int
        round(x / scale), ties to the even code, clipped to the largest code of either
        sign.

    Examples
    --------
    >>> quantise([0.5, -1.27, 0.02, 9], scale=0.01)
    [50, -127, 2, 127]
    """
    numbers = np.asarray(finite_numbers_in("values", values, empty_allowed=True))
    limit = largest_code(bits)
    with np.errstate(over="ignore"):  # beyond the range of a float is beyond that of a code
        codes = np.rint(numbers / finite_positive("scale", scale))
    return [int(code) for code in np.clip(codes, -limit, limit)]


def dequantise(codes: Iterable[int], scale: float) -> list[float]:
    """Return the values that codes stand for.

    Parameters
    ----------
    codes : iterable of int
        Codes of `quantise`.
    scale : float
        The scale they were made with, greater than 0.

    Returns
    -------
    list of float
        code times scale [unit of the scale].

    Examples
    --------
    >>> dequantise([50, -127], scale=0.01)
    [0.5, -1.27]
    """
    scale = finite_positive("scale", scale)
    return [code * scale for code in numbers_in("codes", codes, empty_allowed=True)]


def rounding_bound(scale: float) -> float:
    """Return the largest error that rounding can make within the range of the codes.

    Parameters
    ----------
    scale : float
        Greater than 0 [unit of the values].

    Returns
    -------
    float
        scale / 2 [unit of the values].

    Notes
    -----
    No whole number is farther than 1/2 from x / s. With the scale of `symmetric_scale`
    nothing is clipped, so the bound holds for every value of the group: it is a bound on
    each weight, not on the quality of the model.

    Examples
    --------
    >>> rounding_bound(0.01)
    0.005
    """
    return finite_positive("scale", scale) / 2
