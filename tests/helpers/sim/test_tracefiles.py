"""Trace loaders: good rows to the digit, bad rows by their number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servemath_helpers.sim import load_azure, load_mooncake, read_azure

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
GOOD = "2023-11-16 18:15:46.6805900,374,44"


def mooncake(**changes):
    row = {"timestamp": 0, "input_length": 600, "output_length": 52, "hash_ids": [0, 9]}
    row.update(changes)
    return json.dumps({key: value for key, value in row.items() if value is not None})


def test_azure_rows_keep_all_seven_decimals():
    rows = list(read_azure([HEADER, GOOD, "", "2023-11-16 18:15:46.6805901,1,2"]))
    assert rows[0].arrival_s == 0.0
    assert rows[1].arrival_s == pytest.approx(1e-7, rel=1e-9)
    assert (rows[1].prompt_tokens, rows[1].output_tokens) == (1, 2)
    assert rows[0].block_hashes is None


def test_azure_rows_may_have_a_zone_and_no_decimals():
    rows = list(
        read_azure(
            [
                HEADER + "\n",
                "2024-05-10 00:00:00+00:00,1,1\n",
                "2024-05-10 00:00:01.5+00:00,2,2\n",
                "2024-05-10 02:00:02.250000+02:00,3,3\n",
            ]
        )
    )
    assert [row.arrival_s for row in rows] == [0.0, 1.5, 2.25]


def test_azure_files_are_read_as_far_as_asked(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("\ufeff" + "\n".join([HEADER, GOOD, "2023-11-16 18:15:47.6805900,9,9", "oops"]))
    requests = load_azure(path, limit=2)
    assert requests.arrival_s.tolist() == [0.0, 1.0]
    assert requests.prompt_tokens.tolist() == [374, 9]
    assert load_azure(str(path), limit=1).output_tokens.tolist() == [44]
    with pytest.raises(ValueError, match="row 4 must have 3 columns, got 'oops'"):
        load_azure(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "source must begin with the columns TIMESTAMP,ContextTokens,GeneratedTokens, got ''"),
        (["a,b,c"], "source must begin with the columns"),
        ([HEADER], "source must hold at least one row"),
        ([HEADER, "2023-11-16 18:15:46,1"], "row 2 must have 3 columns"),
        ([HEADER, "yesterday,1,1"], "row 2: TIMESTAMP must be a time such as"),
        ([HEADER, "2023-11-16 18:15:46.,1,1"], "row 2: TIMESTAMP must be a time such as"),
        ([HEADER, GOOD, "2023-11-16 18:15:45,1,1"], "row 3: TIMESTAMP must not be before"),
        ([HEADER, "2023-11-16 18:15:46,-1,1"], "row 2: ContextTokens must be a whole number of"),
        ([HEADER, "2023-11-16 18:15:46,1,x"], "row 2: GeneratedTokens must be a whole number"),
        ([HEADER, "2023-11-16 18:15:46,1,0"], "row 2: GeneratedTokens must be a whole number"),
        ([HEADER, "2023-11-16 18:15:46,nan,1"], "row 2: ContextTokens must be a whole"),
    ],
)
def test_bad_azure_rows_are_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_azure(lines)
    assert message in str(error.value)


def test_reading_stops_at_the_bad_row_and_gives_those_before_it():
    rows = read_azure([HEADER, GOOD, "bad"])
    assert next(rows).prompt_tokens == 374
    with pytest.raises(ValueError, match="row 3"):
        next(rows)


def test_mooncake_rows_have_hashes_and_seconds(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(mooncake() + "\n\n" + mooncake(timestamp=27482, hash_ids=[0, 7]) + "\n")
    requests = load_mooncake(path)
    assert requests.arrival_s.tolist() == [0.0, 27.482]
    assert requests.block_hashes == ((0, 9), (0, 7))
    assert requests.hash_block_tokens == 512
    assert load_mooncake([mooncake(hash_ids=[])]).block_hashes == ((),)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "source must hold at least one row"),
        (["{"], "row 1 must be a JSON object, got '{'"),
        (["[1]"], "row 1 must be a JSON object, got '[1]'"),
        ([mooncake(hash_ids=None, timestamp=None)], "row 1 lacks hash_ids, timestamp"),
        ([mooncake(timestamp=-1)], "row 1: timestamp must be"),
        ([mooncake(timestamp="0")], "row 1: timestamp must be"),
        ([mooncake(timestamp=5), mooncake()], "row 2: timestamp must not be before"),
        ([mooncake(input_length=0)], "row 1: input_length must be"),
        ([mooncake(output_length=1.5)], "row 1: output_length must be"),
        ([mooncake(hash_ids=7)], "row 1: hash_ids must be a list"),
        ([mooncake(hash_ids=[1, 2, 3])], "row 1: hash_ids must be a list with one number for"),
        ([mooncake(hash_ids=[1, -2])], "row 1: hash_ids[1] must be"),
    ],
)
def test_bad_mooncake_rows_are_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_mooncake(lines)
    assert message in str(error.value)


def test_limit_is_checked():
    with pytest.raises(ValueError, match="limit must be"):
        load_azure([HEADER, GOOD], limit=0)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_azure(Path(tmp_path) / "nowhere.csv")
