"""Which student and file each sorted upload is, for nbgrader."""

from __future__ import annotations

from pathlib import Path

from nbgrader.plugins import FileNameCollectorPlugin


class PlatformCollector(FileNameCollectorPlugin):
    """Collect what `PlatformExtractor` sorted: one folder a student, all files in it.

    With ``named_regexp`` set, what it matches, as nbgrader does.
    """

    def collect(self, submitted_file: str) -> dict[str, str] | None:
        """Return whose a file is, and its name in the submission."""
        folder = Path(self.parent._format_collect_path(self.parent.extracted_directory))
        if self.named_regexp:
            return self._matched(submitted_file, folder)
        student, *file = Path(submitted_file).relative_to(folder).parts
        return {"student_id": student, "file_id": "/".join(file)}

    def _matched(self, submitted_file: str, folder: Path) -> dict[str, str] | None:
        """Return what the expression says; end the command if it matches no file at all."""
        found: dict[str, str] | None = super().collect(submitted_file)
        files = [str(path) for path in folder.rglob("*") if path.suffix in self.valid_ext]
        if found is None and not any(map(self._match, files)):
            self.parent.fail(
                "Nothing was collected: named_regexp %r matches none of %d files in %s",
                self.named_regexp,
                len(files),
                folder,
            )
        return found
