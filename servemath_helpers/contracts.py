"""An endpoint's contract: what a request must be before a GPU sees it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from servemath_helpers._validate import number, whole

__all__ = ["FIELD_TYPES", "validate_request"]

#: The types that a contract may ask of a field.
FIELD_TYPES: Final = ("int", "float", "str", "bool")


def _is_bool(value: object) -> bool:
    return isinstance(value, (bool, np.bool_))


def _is_int(value: object) -> bool:
    # np.timedelta64 calls itself an integer, yet a duration is no count.
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.timedelta64))


def _has_type(value: object, kind: str) -> bool:
    if kind == "bool":
        return _is_bool(value)
    if kind == "str":
        return isinstance(value, str)
    return _is_int(value) or (kind == "float" and isinstance(value, (float, np.floating)))


def _rules(contract: Mapping[str, Any]) -> tuple[Mapping[str, Mapping[str, Any]], int]:
    """Return the fields and the context length of a contract, refusing a broken one."""
    if not isinstance(contract, Mapping) or not {"fields", "ctx"} <= set(contract):
        raise ValueError(f"contract must be a dict with fields and ctx, got {contract!r}")
    fields = contract["fields"]
    if not isinstance(fields, Mapping):
        raise ValueError(f"contract['fields'] must be a dict, got {fields!r}")
    for name, rule in fields.items():
        kind = rule.get("type") if isinstance(rule, Mapping) else None
        if kind not in FIELD_TYPES:
            raise ValueError(
                f"contract['fields'][{name!r}] must be a dict with a type of "
                f"{', '.join(FIELD_TYPES)}, got {rule!r}"
            )
    return fields, whole("contract['ctx']", contract["ctx"])


def _in_range(value: Any, rule: Mapping[str, Any], where: str) -> bool:
    if not isinstance(value, numbers.Real) or _is_bool(value):
        return True  # bounds are for numbers
    low = number(f"{where}['min']", rule.get("min", -math.inf))
    high = number(f"{where}['max']", rule.get("max", math.inf))
    # Written so that NaN, which is neither above nor below anything, is out of range.
    return bool(low <= float(value) <= high)


def validate_request(req: Mapping[str, Any], contract: Mapping[str, Any]) -> list[str]:
    """Return the ways in which a request breaks an endpoint's contract.

    Parameters
    ----------
    req : dict
        The request: field names and values.
    contract : dict
        ``fields`` maps each known name to a dict with ``type`` ("int", "float", "str" or
        "bool"), ``required`` (bool; not required unless given), and for numbers ``min``
        and ``max``, both inclusive and both optional. ``ctx`` is the context length of
        the model [tokens], at least 0.

    Returns
    -------
    list of str
        Distinct codes in alphabetical order, empty for a request that is fine:
        ``missing`` a required field is absent; ``range`` a number is outside its bounds;
        ``token_budget`` prompt_tokens + max_new_tokens exceeds ctx; ``type`` a value has
        the wrong type; ``unknown_field`` a field is not in the contract.

    Raises
    ------
    ValueError
        If `req` is not a dict or the contract is broken: that is the endpoint's mistake,
        not the caller's.

    Notes
    -----
    An int is fine where a float is asked; a bool is neither. A value of the wrong type is
    not checked for its range. In the token budget a field that is absent or is not a
    whole number counts 0.

    Examples
    --------
    >>> contract = {
    ...     "fields": {
    ...         "prompt_tokens": {"type": "int", "required": True, "min": 1},
    ...         "max_new_tokens": {"type": "int", "required": True, "min": 1},
    ...         "temperature": {"type": "float", "required": False, "min": 0, "max": 2},
    ...     },
    ...     "ctx": 8192,
    ... }
    >>> validate_request({"prompt_tokens": 8000, "max_new_tokens": 192}, contract)
    []
    >>> validate_request({"prompt_tokens": 8193, "temperature": True, "user": "x"}, contract)
    ['missing', 'token_budget', 'type', 'unknown_field']
    """
    if not isinstance(req, Mapping):
        raise ValueError(f"req must be a dict, got {req!r}")
    fields, ctx = _rules(contract)
    codes = set()
    for name, rule in fields.items():
        if name not in req:
            if rule.get("required", False):
                codes.add("missing")
        elif not _has_type(req[name], rule["type"]):
            codes.add("type")
        elif not _in_range(req[name], rule, f"contract['fields'][{name!r}]"):
            codes.add("range")
    if not set(req) <= set(fields):
        codes.add("unknown_field")
    tokens = (req.get("prompt_tokens", 0), req.get("max_new_tokens", 0))
    if sum(int(n) for n in tokens if _is_int(n)) > ctx:
        codes.add("token_budget")
    return sorted(codes)
