"""Submissions in a folder of downloads from Canvas or Moodle, zips or what was unpacked of them.

What a person has in one download, as `nbgrader zip_collect` would take it, is a submission:
known by what is in it, so that it is one in however many downloads it comes again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from autograder.downloads.extract import (
    STRANGE,
    UNREADABLE,
    Entry,
    brought_up,
    entries_of_files,
    last_of_each,
    uploads_among,
)
from autograder.downloads.names import Upload, upload_of
from autograder.downloads.people import Roster, addresses_in
from autograder.exports.mapping import ExportError
from autograder.files import write_atomically
from autograder.late import stamp
from autograder.watch.arrivals import SETTLE_S, Arrival
from autograder.watch.copying import MOST_FILES, TooMuch
from autograder.watch.exchange import SECRET, is_plain_name
from autograder.wording import few, first_line

#: How names end that browsers and copying programs give to what is not whole yet.
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp", ".filepart")

#: A path, its bytes and the times of its last changes.
_Seen = tuple[str, int, int, int]


@dataclass(frozen=True)
class Uploaded(Arrival):
    """What somebody has in a download; `files` says what of it is which file, and its digest."""

    files: tuple[tuple[PurePosixPath, tuple[str, ...], str], ...] = field(default=())

    def copy_to(self, target: Path, *, most_bytes: int, only: Collection[str] = ()) -> list[str]:
        """Write its files into a new folder; return what was left out."""
        target.mkdir(parents=True)
        if self.late:
            write_atomically(target / stamp.NAME, f"{stamp.LATE_MARK}\n")
        if only:
            return []
        with contextlib.ExitStack() as opened:
            entries = {entry.parts: entry for entry in _entries(self.path, opened)}
            if not all(parts in entries for _, parts, _ in self.files):
                raise OSError(f"{self.path.name} has changed while it was taken")
            if len(self.files) > MOST_FILES:
                raise TooMuch(f"more than {MOST_FILES:,} files were handed in")
            if sum(entries[parts].size for _, parts, _ in self.files) > most_bytes:
                raise TooMuch("more bytes were handed in than the course takes")
            left_out = []
            for file, parts, digest in self.files:
                data = entries[parts].read()
                if _digest(data) != digest:
                    raise OSError(f"{self.path.name} has changed while it was taken")
                try:
                    write_atomically(target / file, data)
                except (FileExistsError, IsADirectoryError, NotADirectoryError):
                    left_out.append(f"{file} (a file and a folder have its name)")
            return left_out


@dataclass
class _Download:
    """What is in a zip, or in the files beside zips; `since` is when it was first seen so."""

    seen: tuple[_Seen, ...]
    since: float
    read: list[tuple[Upload, Entry, str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    is_readable: bool = True


class UploadsFolder:
    """A folder into which somebody puts what a platform lets graders download.

    Parameters
    ----------
    folder : Path
        Zips, and files as the platform names them, in any folders below it; and Moodle's
        grading worksheet (CSV).
    assignment : str
        What all of it is handed in for.
    notebooks : sequence of str
        File names of its notebooks, those that carry points first.
    mapping : Path
        Who is who, as for exports.
    monotonic : callable
        Seconds.
    """

    def __init__(
        self,
        folder: Path,
        assignment: str,
        notebooks: Sequence[str],
        mapping: Path,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._assignment = folder, assignment
        self._notebooks, self._mapping = notebooks, mapping
        self._monotonic = monotonic
        self._downloads: dict[Path, _Download] = {}
        #: What is not taken, and why.
        self.refused: dict[str, str] = {}

    @property
    def may_get_better(self) -> bool:
        """Whether something cannot be read that may still be on its way."""
        return any(
            not one.is_readable and not self._is_settled(one) for one in self._downloads.values()
        )

    def _is_settled(self, download: _Download) -> bool:
        return self._monotonic() - download.since >= SETTLE_S

    def arrivals(self) -> list[Arrival]:
        """Return what is there, known or not."""
        if not self._folder.is_dir():
            raise OSError(f"there is no folder {self._folder}")
        found: dict[Path, list[Path]] = {}
        worksheets = []
        for path in _files_below(self._folder):
            if path.suffix.lower() == ".csv" and path.parent == self._folder:
                worksheets.append(path)
            elif _is_download(path, self._folder):
                found[path] = [path]
            else:
                found.setdefault(self._folder, []).append(path)
        self._downloads = {at: self._looked_at(at, files) for at, files in found.items()}
        try:
            addresses: dict[str, str] = {}
            for worksheet in worksheets:
                addresses |= addresses_in(worksheet)
            roster = Roster(self._mapping, addresses)
        except ExportError as error:
            raise OSError("; ".join(error.problems)) from error
        self.refused = {}
        arrivals: dict[tuple[str, str], Arrival] = {}
        for at, download in self._downloads.items():
            if not download.is_readable and not self._is_settled(download):
                continue
            self.refused |= {self._shown(at, name): why for name, why in download.refused.items()}
            for one in self._arrivals_in(at, download, roster):
                arrivals.setdefault((one.student, one.name), one)
        return list(arrivals.values())

    def _shown(self, at: Path, name: str) -> str:
        where = "" if at == self._folder else str(at.relative_to(self._folder))
        return ": ".join(filter(None, [where, name]))

    def _looked_at(self, at: Path, files: Iterable[Path]) -> _Download:
        """Read a download, if it is another than it was."""
        seen = tuple(map(_seen, files))
        before = self._downloads.get(at)
        if before is not None and before.seen == seen:
            if before.is_readable or self._is_settled(before):
                return before
            since = before.since
        else:
            since = self._monotonic()
        download = _Download(seen, since)
        try:
            with contextlib.ExitStack() as opened:
                kept, left_out = uploads_among(_entries(at, opened))
                strange = [path for path, why in left_out.items() if why == STRANGE]
                download.refused = {few(strange, 5): STRANGE} if strange else {}
                download.refused |= {path: why for path, why in left_out.items() if why != STRANGE}
                broken = set()
                for upload, entry in brought_up(kept, self._notebooks):
                    if upload.file.name == SECRET:
                        continue
                    try:
                        download.read.append((upload, entry, _digest(entry.read())))
                    except (OSError, *UNREADABLE) as error:
                        broken.add((upload.platform, upload.number))
                        path = "/".join(entry.parts)
                        download.refused[path] = f"it cannot be read ({first_line(error)})"
                download.is_readable = not broken
                # Half of what somebody handed in is not what was handed in.
                download.read = [
                    one for one in download.read if (one[0].platform, one[0].number) not in broken
                ]
        except (OSError, *UNREADABLE) as error:
            download.refused = {"": f"it cannot be unpacked ({first_line(error)})"}
            download.is_readable = False
        return download

    def _arrivals_in(self, at: Path, download: _Download, roster: Roster) -> Iterator[Arrival]:
        students = roster.students(upload for upload, _, _ in download.read)
        digests = {entry.parts: digest for _, entry, digest in download.read}
        uploads = [(upload, entry) for upload, entry, _ in download.read]
        for student, files in last_of_each(uploads, students, self._notebooks).items():
            if not is_plain_name(student):
                self.refused[self._shown(at, student)] = "its name can be no folder's"
                continue
            several = [str(file) for file, (_, _, count) in files.items() if count > 1]
            graded = sorted(files, key=lambda file: _rank(file, self._notebooks))
            first = files[graded[0]][0]
            whole = hashlib.sha256(f"{first.platform} {first.number}\n".encode())
            for file in sorted(files):
                upload, entry, _ = files[file]
                whole.update(f"{file} {upload.order} {digests[entry.parts]}\n".encode())
            remarks = [
                f"of several uploads of {few(several)} the last is taken" if several else "",
                "" if roster.knows(student) else f"no row in {self._mapping.name}",
            ]
            yield Uploaded(
                student,
                self._assignment,
                name=f"upload {whole.hexdigest()[:24]}",
                path=at,
                said=datetime.fromtimestamp(max(one[2] for one in download.seen) / 1e9, UTC),
                remark="; ".join(filter(None, remarks)),
                late=any(upload.late for upload, _, _ in files.values()),
                returned_as=first.prefix,
                files=tuple(
                    (file, entry.parts, digests[entry.parts])
                    for file, (_, entry, _) in files.items()
                ),
            )

    def is_whole(self, arrival: Arrival) -> bool:
        """Tell whether all of it has come: a zip says so by its end and its check sums."""
        return arrival.path != self._folder

    def signature(self, arrival: Arrival) -> object:
        """Return something that changes with any of the files beside zips.

        What is in a person's own files is in the arrival's name.
        """
        return arrival.name


def _rank(file: PurePosixPath, notebooks: Sequence[str]) -> tuple[int, str]:
    return (notebooks.index(file.name) if file.name in notebooks else len(notebooks), str(file))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield files in it that are not hidden, not links, and not on their way by their names."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or name.lower().endswith(UNFINISHED) or path.is_symlink():
                continue
            if path.is_file():
                yield path


def _is_download(path: Path, folder: Path) -> bool:
    """Tell whether a file is a platform's zip, not a learner's own."""
    return path.suffix.lower() == ".zip" and upload_of(path.relative_to(folder).parts) is None


def _seen(path: Path) -> _Seen:
    about = path.stat()
    return str(path), about.st_size, about.st_mtime_ns, about.st_ctime_ns


def _entries(at: Path, opened: contextlib.ExitStack) -> Iterator[Entry]:
    """Return the files of a download: of a zip, or of a folder those beside zips."""
    if not at.is_dir():
        return entries_of_files(at.parent, [at], opened)
    loose = (path for path in _files_below(at) if not _is_download(path, at))
    return entries_of_files(at, loose, opened)
