"""The form of a computation: a solution without what can be changed and leave it the same.

Comments, docstrings, layout, text in quotes, annotations and the choice of names go.
"""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
from collections.abc import Iterable

#: What every name of the learner's own becomes.
_OWN_NAME = "n"


class _Form(ast.NodeTransformer):
    """Take out what a learner can change without changing the computation."""

    def __init__(self, handed: frozenset[str]) -> None:
        self._handed = handed

    @staticmethod
    def _name(name: str) -> str:
        return name if hasattr(builtins, name) else _OWN_NAME

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._name(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(_OWN_NAME)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str | bytes) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant("")

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        # A bare value computes nothing: docstrings above all.
        if isinstance(node.value, ast.Constant):
            return None
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        if node.name in self._handed:
            # The header is the course's, not the learner's.
            return node.body
        node.name, node.returns, node.body = _OWN_NAME, None, node.body or [ast.Pass()]
        return node


def tokens(source: str, handed: Iterable[str] = ()) -> tuple[str, ...]:
    r'''Return the form of a solution as tokens.

    Parameters
    ----------
    source : str
        The code.
    handed : iterable of str
        Functions whose headers the learner was handed.

    Examples
    --------
    >>> one = tokens('def f(x):\n    """Half."""\n    half = x / 2\n    return half', ["f"])
    >>> one == tokens("def f(y):  # halve\n    h = y / 2\n    return h", ["f"])
    True
    >>> " ".join(one)
    'n = n / 2 return n'
    '''
    try:
        tree = _Form(frozenset(handed)).visit(ast.parse(source))
        text = ast.unparse(ast.fix_missing_locations(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        text = source  # as it stands; code that does not parse is still code
    return tuple(_lex(text))


def _lex(text: str) -> list[str]:
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING}
    skipped |= {tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in skipped:
                found.append(token.string)
    except (tokenize.TokenError, SyntaxError):
        pass  # what came before the damage is the form
    return found
