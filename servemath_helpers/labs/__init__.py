"""Interactive labs: engines without widgets, and the wiring that shows them.

`frame` is what every lab needs and none computes; a lab is a folder beside it, each layer of
it usable without the ones after:

- `model`: pure functions from settings to numbers;
- `story`: who asks, and what can be changed, in the words of ``lab.toml``;
- `mission`: what a setting is held against, and what is said when it fails;
- `questions`, `charts`: what is predicted, with computed answers, and pictures of the numbers;
- `record`: the footer, and what a run leaves in the ledger;
- `view`: the lab on the page.

Importing this package loads none of them; a notebook imports the view that it shows.
"""

from __future__ import annotations

__all__: list[str] = []
