"""Each way to break a contract, alone and together, and contracts that are broken themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servemath_helpers import contracts

CONTRACT = {
    "fields": {
        "prompt_tokens": {"type": "int", "required": True, "min": 1, "max": 9000},
        "max_new_tokens": {"type": "int", "required": True, "min": 0},
        "temperature": {"type": "float", "required": False, "min": 0, "max": 2},
        "model": {"type": "str", "required": True},
        "stream": {"type": "bool", "required": False},
    },
    "ctx": 8192,
}
GOOD = {"prompt_tokens": 4096, "max_new_tokens": 4096, "model": "8b"}


def broken(**changes):
    return contracts.validate_request({**GOOD, **changes}, CONTRACT)


def test_a_request_at_every_limit_is_fine():
    assert broken() == []
    assert broken(temperature=0, stream=True) == []
    assert broken(temperature=2.0, stream=np.False_) == []
    assert broken(prompt_tokens=1, max_new_tokens=0) == []
    assert broken(prompt_tokens=np.int64(8192), max_new_tokens=0) == []


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"max_new_tokens": 4097}, ["token_budget"]),
        ({"prompt_tokens": 0}, ["range"]),
        ({"prompt_tokens": 9001}, ["range", "token_budget"]),
        ({"max_new_tokens": -1}, ["range"]),
        ({"temperature": 2.01}, ["range"]),
        ({"temperature": math.nan}, ["range"]),
        ({"temperature": True}, ["type"]),
        ({"temperature": "0.7"}, ["type"]),
        ({"temperature": None}, ["type"]),
        ({"prompt_tokens": True}, ["type"]),
        ({"prompt_tokens": 4096.0}, ["type"]),
        ({"prompt_tokens": np.timedelta64(4, "s")}, ["type"]),
        ({"prompt_tokens": "9999"}, ["type"]),
        ({"stream": 1}, ["type"]),
        ({"model": 8}, ["type"]),
        ({"user": "x"}, ["unknown_field"]),
        ({"user": "x", "temperature": -1, "model": 1}, ["range", "type", "unknown_field"]),
    ],
)
def test_each_breach_has_its_code(changes, codes):
    assert broken(**changes) == codes


def test_missing_fields_count_nothing_in_the_token_budget():
    assert contracts.validate_request({}, CONTRACT) == ["missing"]
    assert contracts.validate_request({"prompt_tokens": 8192, "model": "8b"}, CONTRACT) == [
        "missing"
    ]
    assert contracts.validate_request({"prompt_tokens": 8193, "model": "8b"}, CONTRACT) == [
        "missing",
        "token_budget",
    ]


def test_all_five_codes_at_once_are_sorted_and_distinct():
    request = {"prompt_tokens": 9999, "temperature": "hot", "stream": 3, "a": 1, "b": 2}
    assert contracts.validate_request(request, CONTRACT) == [
        "missing",
        "range",
        "token_budget",
        "type",
        "unknown_field",
    ]


@given(st.integers(1, 9000), st.integers(0, 9000))
def test_the_token_budget_is_a_closed_bound(prompt, new):
    assert ("token_budget" in broken(prompt_tokens=prompt, max_new_tokens=new)) == (
        prompt + new > 8192
    )


def test_bounds_are_for_numbers_and_fields_are_optional_unless_required():
    contract = {"fields": {"tag": {"type": "str", "max": 3}, "on": {"type": "bool", "min": 1}}}
    contract["ctx"] = 0
    assert contracts.validate_request({"tag": "longer", "on": False}, contract) == []
    assert contracts.validate_request({}, contract) == []


def test_neither_request_nor_contract_is_changed():
    request, before = dict(GOOD), dict(GOOD)
    contracts.validate_request(request, CONTRACT)
    assert request == before


@pytest.mark.parametrize(
    ("request_", "contract", "message"),
    [
        ([("prompt_tokens", 1)], CONTRACT, "req must be a dict"),
        ({}, None, "contract must be a dict with fields and ctx"),
        ({}, {"fields": {}}, "contract must be a dict with fields and ctx"),
        ({}, {"fields": [], "ctx": 1}, r"contract\['fields'\] must be a dict"),
        ({}, {"fields": {"a": {}}, "ctx": 1}, r"contract\['fields'\]\['a'\] must be a dict"),
        ({}, {"fields": {"a": "int"}, "ctx": 1}, r"contract\['fields'\]\['a'\] must be a dict"),
        ({}, {"fields": {}, "ctx": -1}, r"contract\['ctx'\] must be a whole number"),
        (
            {"a": 1},
            {"fields": {"a": {"type": "int", "min": "0"}}, "ctx": 1},
            r"contract\['fields'\]\['a'\]\['min'\] must be a number",
        ),
        (
            {"a": 1},
            {"fields": {"a": {"type": "int", "max": math.nan}}, "ctx": 1},
            r"contract\['fields'\]\['a'\]\['max'\] must be a number",
        ),
    ],
)
def test_a_broken_contract_is_the_endpoints_mistake(request_, contract, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        contracts.validate_request(request_, contract)
