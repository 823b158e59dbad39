"""Trace loaders: good rows to the digit, bad rows by their number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from servemath_helpers.sim import load_azure, load_burstgpt, load_mooncake, read_azure

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
    with pytest.raises(ValueError, match="row 4 must have 3 columns as the first row has, got 1"):
        load_azure(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "must have the columns TIMESTAMP, ContextTokens, GeneratedTokens, got ''"),
        (["a,b,GeneratedTokens"], "must have the columns TIMESTAMP, ContextTokens, got 'a,b,Gen"),
        ([HEADER], "source must hold at least one row"),
        ([HEADER, "2023-11-16 18:15:46,1"], "row 2 must have 3 columns"),
        ([HEADER, "yesterday,1,1"], "row 2: TIMESTAMP must be a time such as"),
        ([HEADER, "2023-11-16 18:15:46.,1,1"], "row 2: TIMESTAMP must be a time such as"),
        ([HEADER, GOOD, "2023-11-16 18:15:45,1,1"], "row 3: TIMESTAMP must not be before"),
        ([HEADER, "2023-11-16 18:15:46,-1,1"], "row 2: ContextTokens must be a whole number of"),
        ([HEADER, "2023-11-16 18:15:46,1,x"], "row 2: GeneratedTokens must be a whole number"),
        ([HEADER, "2023-11-16 18:15:46,1,0"], "row 2: GeneratedTokens must be a whole number"),
        ([HEADER, "2023-11-16 18:15:46,nan,1"], "row 2: ContextTokens must be a whole"),
        ([HEADER, "2023-11-16 18:15:46,374.5,1"], "row 2: ContextTokens must be a whole"),
        ([HEADER, "2023-11-16 18:15:46,,1"], "row 2: ContextTokens must be a whole number"),
        ([HEADER, '"2023-11-16\n', '18:15:46",0,1'], "row 3: ContextTokens must be a whole"),
        (["", HEADER, GOOD, GOOD, "16/11/2023 18:15,1,1"], "row 5: TIMESTAMP must be a time"),
    ],
)
def test_bad_azure_rows_are_named(lines, message):
    with pytest.raises(ValueError) as error:
        load_azure(lines)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "lines",
    [
        [
            '"TIMESTAMP","ContextTokens","GeneratedTokens"',
            '"2023-11-16 18:15:46.6805900","374","44"',
        ],
        [",TIMESTAMP,ContextTokens,GeneratedTokens", f"17,{GOOD}"],
        ["GeneratedTokens,TIMESTAMP,ContextTokens", "44,2023-11-16 18:15:46.6805900,374"],
        [f"{HEADER},note", f'{GOOD},"said ""so"", twice"'],
        [HEADER, "2023-11-16 18:15:46.6805900,374.0,4.4e1"],
        [HEADER.replace(",", ";"), GOOD.replace(",", ";")],
        [HEADER.replace(",", "\t"), GOOD.replace(",", "\t")],
        ["\ufeff timestamp , Context_Tokens , generated tokens ", "2023-11-16T18:15:46Z, 374 , 44"],
    ],
    ids=["quoted", "index", "reordered", "extra", "floats", "semicolons", "tabs", "spelling"],
)
def test_azure_files_saved_again_by_other_programs_are_read(lines, tmp_path):
    path = tmp_path / "again.csv"
    path.write_text("\r\n".join(lines) + "\r\n", newline="")
    for source in (lines, path):
        requests = load_azure(source)
        assert requests.prompt_tokens.tolist() == [374]
        assert requests.output_tokens.tolist() == [44]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_encodings_and_gzip_are_recognised(encoding, pack, tmp_path):
    path = tmp_path / "trace"
    path.write_bytes(pack(f"{HEADER}\n{GOOD}\n".encode(encoding)))
    assert load_azure(path).prompt_tokens.tolist() == [374]


def test_bytes_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_bytes(f"{HEADER}\n".encode() + b"\x96\n")
    with pytest.raises(ValueError, match=r"must be text in UTF-8 or UTF-16.*the byte 0x96"):
        load_azure(path)
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode())[:-20])
    with pytest.raises(ValueError, match="must be a whole gzip file"):
        load_azure(path)


BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
)


def test_burstgpt_leaves_failed_requests_out():
    lines = [
        BURST,
        "19440110.0,a,43,GPT-4,906,446,1352,Conversation log",
        "19440110.5,b,2,ChatGPT,36,0,36,API log",
        "19440192.25,c,8,GPT-4,1779,123,1902,Conversation log",
    ]
    requests = load_burstgpt(lines)
    assert requests.arrival_s.tolist() == [0.0, 82.25]
    assert requests.prompt_tokens.tolist() == [906, 1779]
    assert requests.output_tokens.tolist() == [446, 123]
    assert len(load_burstgpt(lines, limit=1)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,1,1", "row 2: Timestamp must be a number of seconds"),
        ("-1,1,1", "row 2: Timestamp must be a number of seconds of at least 0, got '-1'"),
        ("1/0,1,1", "row 2: Timestamp must be a number of seconds"),
        ("5,0,1", "row 2: Request tokens must be a whole number of at least 1"),
        ("5,1,-1", "row 2: Response tokens must be a whole number of at least 0"),
        ("5,1,1\n4,1,1", "row 3: Timestamp must not be before the row above, got '4'"),
        ("5,1,0", "source must hold at least one row"),
    ],
)
def test_bad_burstgpt_rows_are_named(row, message):
    with pytest.raises(ValueError) as error:
        load_burstgpt(["Timestamp,Request tokens,Response tokens", *row.split("\n")])
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


def test_mooncake_rows_of_other_tools_are_read():
    bare = '{"input_length": 600, "output_length": 52}'
    requests = load_mooncake([bare, bare])
    assert requests.block_hashes is None
    assert requests.arrival_s.tolist() == [0.0, 0.0]
    some = load_mooncake([mooncake(), mooncake(hash_ids=None)])
    assert some.block_hashes == ((0, 9), ())
    fine = load_mooncake([mooncake(hash_ids=[*range(38)])], block_tokens=16)
    assert (len(fine.block_hashes[0]), fine.hash_block_tokens) == (38, 16)
    timed = load_mooncake(
        [mooncake(timestamp=0.25, output_length=None)], seconds_per_unit=1, output_tokens=7
    )
    assert (timed.arrival_s.tolist(), timed.output_tokens.tolist()) == ([0.25], [7])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "source must hold at least one row"),
        (["{"], "row 1 must be a JSON object, got '{'"),
        (["[1]"], "row 1 must be a JSON object, got '[1]'"),
        ([mooncake(), mooncake(timestamp=None)], "row 2 lacks timestamp"),
        ([mooncake(input_length=None, output_length=None)], "row 1 lacks input_length, output"),
        ([mooncake(output_length=None)], "row 1 lacks output_length; pass output_tokens"),
        ([mooncake(hash_ids=[*range(38)])], "got 38 of them; block_tokens=16 would fit"),
        ([mooncake(hash_ids=[*range(37)])], "at most 2, got 37 of them"),
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
