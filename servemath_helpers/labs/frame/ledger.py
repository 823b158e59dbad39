"""What a learner's runs leave behind: one JSON file for all labs.

Records are kept under a key of course, lab and learner, so that labs of the same number
in other courses never collide; saving again replaces the record. A write is atomic: either
the old file or the new one is there, never half of one. A file that cannot be read is kept
aside under another name and reported, never overwritten.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from servemath_helpers._files import alone, replace_text
from servemath_helpers.labs.frame.lock import LabError

__all__ = ["SCHEMA_VERSION", "Ledger", "LedgerError", "Saved", "collect", "default_path"]

#: Version of the file's layout; records carry the version of their own lab beside it.
SCHEMA_VERSION = 1
_COURSE = "servemath"


class LedgerError(Exception):
    """The ledger could not be read or written; the text says what to do."""


@dataclass(frozen=True)
class Saved:
    """A successful write, and what else the learner should know, such as a file kept aside."""

    key: str
    path: Path
    saved_at: str
    messages: tuple[str, ...] = ()


def default_path() -> Path:
    """Return where the ledger lies: where SERVEMATH_LEDGER says, else in the home folder."""
    said = os.environ.get("SERVEMATH_LEDGER")
    return Path(said) if said else Path.home() / ".servemath" / "ledger.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """The file with every lab's records.

    Parameters
    ----------
    path : Path or str, optional
        Where it lies; `default_path` if not given.
    clock : callable, optional
        Returns the present time as text; for tests.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> ledger = Ledger(Path(folder.name) / "ledger.json", clock=lambda: "2030-01-01T00:00:00")
    >>> ledger.save("lab4", "ada", {"L": 80}, version="1.13").key
    'servemath/lab4/ada'
    >>> ledger.load("lab4", "ada")["L"]
    80
    >>> folder.cleanup()
    """

    def __init__(self, path: Path | str | None = None, clock: Callable[[], str] = _now) -> None:
        self.path = Path(path) if path is not None else default_path()
        self._clock = clock

    @staticmethod
    def key(lab: str, learner: str) -> str:
        """Return the key of a record: course, lab and learner."""
        for name, value in (("lab", lab), ("learner", learner)):
            if not isinstance(value, str) or not value.strip() or "/" in value:
                raise LedgerError(f"{name} must be text without '/', got {value!r}")
        return f"{_COURSE}/{lab}/{learner}"

    def read(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return all records by key, and messages; a damaged file is moved aside.

        Raises LedgerError if the file cannot be opened, or a newer version wrote it.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}, ()
        except UnicodeDecodeError:
            return {}, (self._keep_aside("it is not text"),)
        except OSError as error:
            raise LedgerError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            content = json.loads(text)
            version, records = content["schema_version"], content["records"]
            if not all(isinstance(record, dict) for record in records.values()):
                raise TypeError("a record is no object")
            if not isinstance(version, int):
                raise TypeError("its version is no number")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            return {}, (self._keep_aside(str(error)),)
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path} was written by a newer version of the course (layout {version}, "
                f"this one knows {SCHEMA_VERSION}); update the course or move the file away"
            )
        return records, ()

    def _keep_aside(self, reason: str) -> str:
        number = 1
        while (aside := self.path.with_suffix(f".damaged-{number}{self.path.suffix}")).exists():
            number += 1
        try:
            self.path.rename(aside)
        except OSError as error:
            raise LedgerError(
                f"{self.path} is damaged ({reason}) and cannot be moved aside: {error.strerror}"
            ) from error
        return f"The ledger was damaged ({reason}). It is kept as {aside.name}; a new one begins."

    def save(self, lab: str, learner: str, record: Mapping[str, Any], version: str = "1") -> Saved:
        """Write a record, replacing an earlier one of the same lab and learner.

        Raises LedgerError, and leaves the file as it was, if it cannot be written.
        """
        return self.update(lab, learner, lambda _: record, version)

    def update(
        self,
        lab: str,
        learner: str,
        change: Callable[[dict[str, Any] | None], Mapping[str, Any]],
        version: str = "1",
    ) -> Saved:
        """Write what `change` makes of the record there is (None if there is none).

        Nobody else writes between reading and writing. What `change` raises leaves the file as it
        was, as does the LedgerError raised if it cannot be written.
        """
        key, saved_at = self.key(lab, learner), self._clock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path):
                records, messages = self.read()
                record = change(records.get(key))
                records[key] = {
                    **record,
                    "course": _COURSE,
                    "lab": lab,
                    "learner": learner,
                    "record_version": version,
                    "saved_at": saved_at,
                }
                _write(self.path, {"schema_version": SCHEMA_VERSION, "records": records})
        except OSError as error:
            raise LedgerError(f"cannot write {self.path}: {error.strerror}") from error
        except LabError:
            raise
        except (TypeError, ValueError) as error:
            raise LedgerError(f"the record cannot be kept as JSON: {error}") from error
        return Saved(key, self.path, saved_at, messages)

    def load(self, lab: str, learner: str) -> dict[str, Any] | None:
        """Return the record of a lab and learner, None if there is none."""
        record: dict[str, Any] | None = self.read()[0].get(self.key(lab, learner))
        return record

    def of_learner(self, learner: str) -> dict[str, dict[str, Any]]:
        """Return the learner's records by lab."""
        return {
            record["lab"]: record
            for record in self.read()[0].values()
            if record.get("learner") == learner and record.get("course") == _COURSE
        }

    def export(self, learner: str, folder: Path | str = ".") -> Path:
        """Write the learner's records to a file of their own, to hand in; return its path.

        Raises LedgerError if there is nothing to export or it cannot be written.
        """
        records = {
            self.key(lab, learner): record for lab, record in self.of_learner(learner).items()
        }
        if not records:
            raise LedgerError(f"{self.path} holds no run of {learner!r}; save a lab first")
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", learner)
        path = Path(folder) / f"servemath-ledger-{name}.json"
        try:
            _write(path, {"schema_version": SCHEMA_VERSION, "records": records})
        except OSError as error:
            raise LedgerError(f"cannot write {path}: {error.strerror}") from error
        return path


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file's content in one step."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, sort_keys=True)
    replace_text(path, text + "\n")


def collect(paths: Iterable[Path | str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Gather exported ledgers, as a teaching assistant does.

    Parameters
    ----------
    paths : iterable of Path or str
        Files written by `Ledger.export`, or whole ledgers.

    Returns
    -------
    records : list of dict
        The newest record of each learner and lab, sorted by learner and lab.
    messages : list of str
        One line for each file that could not be read; those files are left alone.

    Examples
    --------
    >>> collect([])
    ([], [])
    """
    newest: dict[str, dict[str, Any]] = {}
    messages = []
    for path in map(Path, paths):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            for key, record in content["records"].items():
                if key not in newest or record["saved_at"] > newest[key]["saved_at"]:
                    newest[key] = record
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            messages.append(f"{path.name}: {error}")
    ordered = sorted(newest.values(), key=lambda record: (record["learner"], record["lab"]))
    return ordered, messages
