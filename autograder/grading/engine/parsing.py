"""Parsing Python in one thread at a time.

Before 3.11.8 and 3.12.2, Python counts the depth of syntax trees for all threads together:
while one thread makes a tree, another one's may end in a SystemError (cpython issue 106905).
"""

from __future__ import annotations

import ast
import threading

_ONE = threading.RLock()


def parse(source: str) -> ast.Module:
    """Return the syntax tree of `source`, as `ast.parse` does.

    Raises
    ------
    SyntaxError, ValueError, MemoryError, RecursionError
        As `ast.parse` does.

    Examples
    --------
    >>> len(parse("a = 1; b = 2").body)
    2
    """
    with _ONE:
        return ast.parse(source)
