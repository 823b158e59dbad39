"""`nbgrader collect` without what was submitted in somebody else's name.

nbgrader warns of it ("cheating attempt?") and collects it, in place of the learner's own if
it is later. One folder with a name that holds no time ends its command for everybody.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from nbgrader.exchange.default.collect import ExchangeCollect

from autograder.grading.engine.codec import printable
from autograder.late.times import TimeNotUnderstood
from autograder.watch.exchange import not_theirs


class CollectTheirOwn(ExchangeCollect):
    """Collect what belongs to the account that it names; say of the rest why not."""

    def _path_to_record(self, path: str) -> dict[str, Any]:
        record: dict[str, Any] = {"username": None, "timestamp": datetime.min}
        try:
            record |= super()._path_to_record(path)
            why = not_theirs(record["username"], Path(path)) if self.check_owner else ""
        except TimeNotUnderstood as error:
            why = str(error)
        if why:
            self.log.error("Not collected: %s: %s", printable(Path(path).name, 200), why)
            record["username"] = None
        return record

    def init_src(self) -> None:
        """List what is to be collected."""
        super().init_src()
        records: list[dict[str, Any]] = self.src_records  # type: ignore[has-type]
        self.src_records = [one for one in records if one["username"] is not None]
