"""Write the ledger that the labs of this version keep.

``python -m tests.helpers.labs.ledgers.make``: a run of every variant, won by the settings of
`test_missions`. Done when a version is released; the ledgers of those before it stay as they are.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from servemath_helpers.labs.frame.ledger import SCHEMA_VERSION, Ledger

from ..test_all_labs import RUNS, unlock
from ..test_missions import win

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.json", clock=lambda: "2026-03-01T09:00:00+00:00")
        for kind, variant in RUNS:
            lab = kind(f"learner_{variant}", variant, ledger)
            for number, part in enumerate(lab.session.parts):
                unlock(lab, part.key, right=number == 0)
                lab.attempt(part.key)
                lab.adjust(part.key, **win(kind, variant, part))
                lab.attempt(part.key)
                for asked in part.reflections:
                    lab.reflect(part.key, asked.key, asked.options[0].key)
            lab.write("Measured, then bought.")
        records = ledger.read()[0]
    rows = [f"{json.dumps(key)}: {json.dumps(records[key], sort_keys=True)}" for key in records]
    told = f'{{"schema_version": {SCHEMA_VERSION}, "records": {{\n' + ",\n".join(rows) + "\n}}\n"
    path = Path(__file__).with_name(f"{version('servemath')}.json")
    path.write_text(told, encoding="utf-8")
