import json
import os
import threading
from pathlib import Path

import pytest

from servemath_helpers import _files
from servemath_helpers.labs.frame import ledger as module
from servemath_helpers.labs.frame.ledger import (
    SCHEMA_VERSION,
    Ledger,
    LedgerError,
    collect,
    default_path,
)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "deep" / "ledger.json", clock=lambda: "2030-01-01T00:00:00+00:00")


def test_saving_again_replaces_the_record_and_keeps_the_others(ledger):
    ledger.save("lab3", "ada", {"users": 371})
    ledger.save("lab4", "ada", {"L": 80})
    ledger.save("lab4", "bob", {"L": 1})
    saved = ledger.save("lab4", "ada", {"L": 160}, version="1.13")
    assert saved.key == "servemath/lab4/ada"
    records, messages = ledger.read()
    assert messages == () and len(records) == 3
    assert ledger.load("lab4", "ada")["L"] == 160
    assert sorted(ledger.of_learner("ada")) == ["lab3", "lab4"]
    assert records["servemath/lab4/ada"]["record_version"] == "1.13"


def test_the_clock_is_utc():
    assert module._now().endswith("+00:00")


def test_records_of_another_course_are_left_alone(ledger):
    ledger.save("lab4", "ada", {"L": 1})
    content = json.loads(ledger.path.read_text())
    other = {"course": "other", "learner": "ada", "lab": "lab4"}
    content["records"]["other/lab4/ada"] = other
    ledger.path.write_text(json.dumps(content))
    ledger.save("lab4", "ada", {"L": 2})
    assert ledger.read()[0]["other/lab4/ada"] == other
    assert ledger.of_learner("ada")["lab4"]["L"] == 2


def test_a_missing_file_is_an_empty_ledger(ledger):
    assert ledger.read() == ({}, ())
    assert ledger.load("lab4", "ada") is None


@pytest.mark.parametrize(
    "content",
    [
        b"{half of a file",
        b"[]",
        b'{"records": {}}',
        b'{"schema_version": "one", "records": {}}',
        b'{"schema_version": 1, "records": {"a": 3}}',
        b'{"schema_version": 1, "records": []}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_file_is_kept_aside_and_reported(ledger, content):
    ledger.path.parent.mkdir()
    for number in (1, 2):
        ledger.path.write_bytes(content)
        saved = ledger.save("lab4", "ada", {"L": 80})
        aside = ledger.path.with_name(f"ledger.damaged-{number}.json")
        assert aside.read_bytes() == content
        assert aside.name in saved.messages[0]
    assert ledger.load("lab4", "ada")["L"] == 80


def test_a_damaged_file_that_cannot_be_moved_is_left_and_reported(ledger, monkeypatch):
    ledger.path.parent.mkdir()
    ledger.path.write_text("{")

    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(LedgerError, match="cannot be moved aside: Permission denied"):
        ledger.save("lab4", "ada", {})
    assert ledger.path.read_text() == "{"


def test_a_newer_layout_is_never_overwritten(ledger):
    ledger.path.parent.mkdir()
    newer = json.dumps({"schema_version": SCHEMA_VERSION + 1, "records": {}})
    ledger.path.write_text(newer)
    with pytest.raises(LedgerError, match="newer version of the course"):
        ledger.save("lab4", "ada", {})
    assert ledger.path.read_text() == newer


@pytest.mark.parametrize("bad", ["", "  ", "a/b", None])
def test_names_that_would_break_the_key_are_refused(bad):
    with pytest.raises(LedgerError, match="learner must be text"):
        Ledger.key("lab4", bad)
    with pytest.raises(LedgerError, match="lab must be text"):
        Ledger.key(bad, "ada")


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(ledger, monkeypatch):
    ledger.save("lab4", "ada", {"L": 80})
    before = ledger.path.read_text()

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(LedgerError, match="No space left"):
        ledger.save("lab4", "ada", {"L": 160})
    assert ledger.path.read_text() == before
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.json"]


@pytest.mark.parametrize("record", [{"bad": {1, 2}}, {"bad": float("inf")}])
def test_what_json_cannot_hold_is_refused(ledger, record):
    with pytest.raises(LedgerError, match="cannot be kept as JSON"):
        ledger.save("lab4", "ada", record)
    assert not ledger.path.exists()


def test_a_folder_in_the_way_is_reported(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(LedgerError, match="cannot read"):
        ledger.read()


def test_two_notebooks_that_save_at_once_lose_nothing(ledger):
    def work(name):
        for n in range(10):
            Ledger(ledger.path).save(f"lab{n}", name, {})

    threads = [threading.Thread(target=work, args=(f"learner{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.read()[0]) == 40


def test_a_lock_left_by_a_crash_does_not_block_for_ever(ledger, monkeypatch):
    monkeypatch.setattr(_files, "STALE_S", 0.05)
    ledger.path.parent.mkdir()
    ledger.path.with_suffix(".json.lock").touch()
    ledger.save("lab4", "ada", {"L": 80})
    assert ledger.load("lab4", "ada")["L"] == 80


def test_the_place_of_the_ledger_can_be_said(monkeypatch, tmp_path):
    monkeypatch.setenv("SERVEMATH_LEDGER", str(tmp_path / "mine.json"))
    assert Ledger().path == tmp_path / "mine.json"
    monkeypatch.delenv("SERVEMATH_LEDGER")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".servemath" / "ledger.json"


def test_an_export_holds_one_learner_and_can_be_collected(ledger, tmp_path):
    ledger.save("lab4", "ada lovelace", {"L": 80})
    ledger.save("lab4", "bob", {"L": 1})
    path = ledger.export("ada lovelace", tmp_path)
    assert path.name == "servemath-ledger-ada_lovelace.json"
    newer = Ledger(tmp_path / "newer.json", clock=lambda: "2031-01-01")
    newer.save("lab4", "ada lovelace", {"L": 160})
    (tmp_path / "broken.json").write_text("[")
    records, messages = collect([path, newer.path, ledger.path, tmp_path / "broken.json"])
    assert [(record["learner"], record["L"]) for record in records] == [
        ("ada lovelace", 160),
        ("bob", 1),
    ]
    assert len(messages) == 1 and messages[0].startswith("broken.json: ")


def test_an_export_needs_a_run_and_a_folder(ledger, tmp_path):
    with pytest.raises(LedgerError, match="holds no run of 'ada'; save a lab first"):
        ledger.export("ada", tmp_path)
    ledger.save("lab4", "ada", {})
    with pytest.raises(LedgerError, match="cannot write"):
        ledger.export("ada", tmp_path / "missing")
