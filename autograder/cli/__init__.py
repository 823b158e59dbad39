"""``servemath``: what staff do, from text to grades, in one program."""

from __future__ import annotations


def main() -> None:
    """Run the program on the arguments of this process and end it with an exit code."""
    from autograder.cli.app import app

    app(prog_name="servemath")
