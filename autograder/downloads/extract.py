"""Sorting a platform's download into one folder a student, before nbgrader collects it."""

from __future__ import annotations

import contextlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from nbgrader.plugins import ExtractorPlugin
from traitlets import Unicode

from autograder.downloads.names import Upload, meant, upload_of
from autograder.downloads.people import Roster, addresses_in
from autograder.exports.mapping import ExportError
from autograder.files import write_atomically
from autograder.grading.engine.codec import printable
from autograder.late import stamp
from autograder.wording import few

#: Bytes that one file of a download may have.
MOST_BYTES = 100_000_000

#: What operating systems and Jupyter leave in archives.
_LEFT_OVER = ("__MACOSX", ".DS_Store", ".ipynb_checkpoints", "Thumbs.db")


_ZIP = re.compile(r"\.zip$", re.IGNORECASE)

#: What reading a damaged, encrypted or oddly packed zip raises.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
)

#: Why a file is left out that has a name of another kind.
STRANGE = "not named as Canvas or Moodle names"


@dataclass(frozen=True)
class Entry:
    """A file of a download: the parts of its path, its size in bytes, and how to read it."""

    parts: tuple[str, ...]
    size: int
    read: Callable[[], bytes]

    @property
    def is_harmless(self) -> bool:
        """Whether its path stays below the folder it is put into, and can be written."""
        return all(
            part not in ("", ".", "..") and part.isprintable() and len(part.encode()) < 250
            for part in self.parts
        )


def name_in(member: zipfile.ZipInfo) -> str:
    """Return a name as it was meant: many programs write UTF-8 and do not say so."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def entries_of_zip(archive: zipfile.ZipFile, above: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield the files of a zip; of a platform's, those of learners' own zips in it as well.

    Parameters
    ----------
    archive : ZipFile
        To be kept open while entries are read.
    above : tuple of str
        The path of a learner's zip in the download, empty for the platform's.
    """
    for member in archive.infolist():
        parts = (*above, *name_in(member).replace("\\", "/").removesuffix("/").split("/"))
        if member.is_dir() or _is_left_over(parts):
            continue
        entry = Entry(parts, member.file_size, partial(archive.read, member))
        if not above and _is_learners_zip(entry):
            yield from _unpacked(entry)
        else:
            yield entry


def _is_left_over(parts: Iterable[str]) -> bool:
    return any(part in _LEFT_OVER or part.startswith("._") for part in parts)


def _is_learners_zip(entry: Entry) -> bool:
    is_zip = entry.parts[-1].lower().endswith(".zip") and entry.size <= MOST_BYTES
    return is_zip and upload_of(entry.parts) is not None


def _unpacked(entry: Entry) -> Iterator[Entry]:
    """Yield what is in a learner's zip; one that is damaged is a file like another."""
    try:
        inner = zipfile.ZipFile(io.BytesIO(entry.read()))
    except UNREADABLE:
        yield entry
    else:
        yield from entries_of_zip(inner, entry.parts)


def entries_of_files(
    folder: Path, paths: Iterable[Path], opened: contextlib.ExitStack
) -> Iterator[Entry]:
    """Yield the files of a download: of a platform's zips, and what was unpacked already.

    Parameters
    ----------
    folder : Path
        The folder of the download.
    paths : iterable of Path
        What lies in it, at any depth.
    opened : ExitStack
        Closes the zips, to be left when entries have been read.

    Raises
    ------
    zipfile.BadZipFile
        If a platform's zip cannot be read.
    """
    for path in paths:
        parts = path.relative_to(folder).parts
        if path.is_symlink() or not path.is_file() or _is_left_over(parts):
            continue
        entry = Entry(parts, path.stat().st_size, path.read_bytes)
        if _is_learners_zip(entry):
            yield from _unpacked(entry)
        elif path.suffix.lower() == ".zip":
            yield from entries_of_zip(opened.enter_context(zipfile.ZipFile(path)))
        elif path.suffix.lower() != ".csv" or len(parts) > 1:  # Moodle's grading worksheet
            yield entry


def brought_up(
    uploads: Iterable[tuple[Upload, Entry]], notebooks: Iterable[str]
) -> list[tuple[Upload, Entry]]:
    """Return uploads with their files where the uppermost notebook of each zip or person lies."""
    together: dict[tuple[str, ...], list[tuple[Upload, Entry]]] = {}
    for upload, entry in uploads:
        parts = upload.file.parts
        depth = next((at for at, part in enumerate(parts[:-1], 1) if _ZIP.search(part)), 0)
        inside = replace(upload, file=PurePosixPath(*parts[depth:]))
        outside = entry.parts[: len(entry.parts) - len(parts) + depth] if depth else ()
        key = (upload.platform, upload.number, *outside)
        together.setdefault(key, []).append((inside, entry))
    placed = []
    for files in together.values():
        found = [one.file for one, _ in files if meant(one.file, notebooks)[0].name in notebooks]
        home = min((file.parent for file in found), key=lambda at: len(at.parts), default=None)
        for upload, entry in files:
            if home is not None and upload.file.is_relative_to(home):
                upload = replace(upload, file=upload.file.relative_to(home))
            placed.append((upload, entry))
    return placed


def uploads_among(
    entries: Iterable[Entry],
) -> tuple[list[tuple[Upload, Entry]], dict[str, str]]:
    """Return what learners uploaded, and what is left out: paths, and why."""
    kept: list[tuple[Upload, Entry]] = []
    left_out: dict[str, str] = {}
    for entry in entries:
        upload, path = upload_of(entry.parts), "/".join(entry.parts)
        if upload is None:
            left_out[path] = STRANGE
        elif upload.kind != "file":
            left_out[path] = f"{upload.name} answered with {upload.kind}, not a file"
        elif not entry.is_harmless or entry.size > MOST_BYTES:
            left_out[path] = "for its name or its size"
        elif upload.file.name == stamp.NAME:
            left_out[path] = "as a learner may write anything there"
        else:
            kept.append((upload, entry))
    return kept, left_out


def last_of_each(
    uploads: Iterable[tuple[Upload, Entry]],
    students: Mapping[tuple[str, str], str],
    notebooks: Iterable[str],
) -> dict[str, dict[PurePosixPath, tuple[Upload, Entry, int]]]:
    """Return the last upload of each file of each student, and of how many it is the last."""
    chosen: dict[str, dict[PurePosixPath, tuple[tuple[int, int], Upload, Entry, int]]] = {}
    for upload, entry in uploads:
        file, times = meant(upload.file, notebooks)
        files = chosen.setdefault(students[upload.platform, upload.number], {})
        rank, count = (upload.order, times), 1
        if (last := files.get(file)) is not None:
            count += last[-1]
            if last[0] > rank:
                rank, upload, entry = last[:-1]
        files[file] = rank, upload, entry, count
    return {
        student: {file: found[1:] for file, found in files.items()}
        for student, files in chosen.items()
    }


class PlatformExtractor(ExtractorPlugin):
    """Sort what Canvas or Moodle let graders download into one folder a student.

    Zips and unpacked folders are taken alike. Of several uploads of one notebook the last
    counts. What Canvas marks LATE gets a ``timestamp.txt`` that says so.
    """

    mapping = Unicode(
        "students.csv",
        help="CSV file that says which student is who on the platform, as for exports; "
        "without it people go by their number (Canvas) or name (Moodle)",
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        archive = Path(self.parent._format_collect_path(self.parent.archive_directory))
        if not archive.is_dir() or not any(archive.iterdir()):
            self._end(f"put what the platform lets you download into {archive}")

    def _end(self, why: str) -> NoReturn:
        """End the command with exit code 1."""
        self.parent.fail("Nothing was collected: %s", why)
        raise AssertionError("nbgrader's commands end when they fail")

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Sort the files below `archive_path` into `extracted_path`."""
        if self.config.FileNameCollectorPlugin.get("named_regexp"):
            super().extract(archive_path, extracted_path)
            return
        archive = Path(archive_path)
        addresses: dict[str, str] = {}
        for worksheet in sorted(archive.glob("*.csv")):
            addresses |= addresses_in(worksheet)
        try:
            roster = Roster(Path(self.parent.coursedir.root, self.mapping), addresses)
            with contextlib.ExitStack() as opened:
                entries = entries_of_files(archive, sorted(archive.rglob("*")), opened)
                uploads = self._uploads(list(entries), archive)
                self._sort(uploads, roster, Path(extracted_path))
        except ExportError as error:
            self._end("; ".join(error.problems))
        except zipfile.BadZipFile as error:
            self._end(f"a zip in {archive} cannot be unpacked ({error})")

    def _notebooks(self) -> list[str]:
        """Return the names of the assignment's notebooks."""
        coursedir = self.parent.coursedir
        for step in (coursedir.release_directory, coursedir.source_directory):
            folder = Path(coursedir.format_path(step, ".", coursedir.assignment_id))
            if found := sorted(path.name for path in folder.glob("*.ipynb")):
                return found
        return []

    def _uploads(self, entries: list[Entry], archive: Path) -> list[tuple[Upload, Entry]]:
        """Return what learners uploaded; say what is left out, and why."""
        kept, left_out = uploads_among(entries)
        for path, why in left_out.items():
            if why != STRANGE:
                self.log.warning("Left out, %s: %s", why, printable(path, 200))
        strange = [path for path, why in left_out.items() if why == STRANGE]
        if strange:
            self.log.warning("Left out, %s: %s", STRANGE, few(strange, 5))
        if not kept:
            self._end(
                f"of {len(entries)} files in {archive} none is an upload as Canvas or Moodle names "
                "it; for other names set c.FileNameCollectorPlugin.named_regexp"
            )
        return brought_up(kept, self._notebooks())

    def _sort(self, uploads: list[tuple[Upload, Entry]], roster: Roster, folder: Path) -> None:
        """Write the last upload of each file into a folder a student."""
        students = roster.students(upload for upload, _ in uploads)
        for student, files in last_of_each(uploads, students, self._notebooks()).items():
            for file, (upload, entry, count) in files.items():
                if count > 1:
                    taken = "/".join(entry.parts)
                    self.log.warning(
                        "%s: of several uploads of %s, %s is taken", student, file, taken
                    )
                if not roster.knows(student):
                    self.log.warning("%s (%s) has no row in %s", student, upload.name, self.mapping)
                try:
                    write_atomically(folder / student / file, entry.read())
                    if upload.late:
                        write_atomically(folder / student / stamp.NAME, f"{stamp.LATE_MARK}\n")
                except (OSError, *UNREADABLE) as error:
                    self.log.error("%s of %s could not be written: %s", file, student, error)
