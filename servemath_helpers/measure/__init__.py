"""Load tests of servers that speak as OpenAI does: vLLM, SGLang, llama.cpp's, the lab's own.

`answers` is what came back and how it is kept, `endpoint` asks once, `driving` asks many times,
`summary` says what it means. ``python -m servemath_helpers.measure --help`` does all of it.
Importing this package loads none of them.
"""

from __future__ import annotations

__all__: list[str] = []
