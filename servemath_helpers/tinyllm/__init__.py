"""A small language model server to read, to run, and to measure; no use as a language model.

`transformer` computes tokens, `engine` decides who is computed when, `http` answers requests,
`machine` says what this computer can do at best. ``python -m servemath_helpers.tinyllm``
serves. Importing this package loads none of them.
"""

from __future__ import annotations

__all__: list[str] = []
