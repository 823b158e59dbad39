"""Interactive labs: engines without widgets, and the wiring that shows them.

A lab is four layers, each usable without the one after it:

- an engine (`kv_wall`, `queueing`): pure functions from settings to numbers and texts;
- `lock` and `session`: questions, predictions and the state of a learner's run, immutable;
- `ledger`: what a run leaves behind, in a file that two labs and a teaching assistant share;
- `chrome` and the views: ipywidgets that show a session and pass on what the learner does.

Importing this package loads none of them; a notebook imports the view that it shows.
"""

from __future__ import annotations

__all__: list[str] = []
