"""The program itself: runs a command, tells what went wrong in one line, ends with a code."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from autograder import NAME
from autograder.cli.frame.exits import Exit, Told
from autograder.wording import first_line

#: Errors of the operating system that say something about the machine, not about us.
_MACHINE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE)


@dataclass
class Session:
    """What was said before the command: which course, and whether to show tracebacks."""

    course: Path | None = None
    debug: bool = False


def tell(message: str) -> None:
    """Print a message for a person to stderr, under the program's name."""
    typer.echo(f"{NAME}: {message}", err=True)


def _usage_error(error: typer.TyperException) -> int:
    """Tell what was wrong with the arguments and where help is; return the exit code."""
    message = error.format_message()
    if message:  # empty where help was printed in its place
        context = getattr(error, "ctx", None)
        command = context.command_path if context else NAME
        tell(f"{message}\nTry '{command} --help'.")
    return error.exit_code


def _where(error: BaseException) -> str:
    """Return the last place in our own code that an error went through."""
    house = Path(__file__).resolve().parents[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(house) and path != Path(__file__).resolve():
            return f" ({path.relative_to(house.parent)}:{frame.lineno})"
    return ""


def _unexpected(error: Exception, arguments: Sequence[str]) -> int:
    """Tell about an error that nobody foresaw; return the exit code."""
    if isinstance(error, OSError) and error.errno in _MACHINE:
        name = f"{error.filename}: " if error.filename else ""
        tell(f"{name}{os.strerror(error.errno)}")
        return Exit.NOT_HERE
    tell(
        f"this is a mistake of ours: {type(error).__name__}: {first_line(error)}{_where(error)}\n"
        f"For the traceback: {shlex.join([NAME, '--debug', *arguments])}"
    )
    return Exit.BUG


class Program(TyperGroup):
    """All commands; errors end in a line for a person and an exit code that means something."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that `args` name, by default those of the process, and exit."""
        arguments = list(sys.argv[1:] if args is None else args)
        session = Session()
        try:
            code = super().main(
                args=arguments,
                prog_name=NAME,
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                obj=session,
                **extra,
            )
        except typer.TyperException as error:
            code = _usage_error(error)
        except typer.Abort:
            typer.echo(err=True)
            tell("stopped before anything was written")
            sys.exit(Exit.STOPPED)
        except Told as error:
            if session.debug:
                traceback.print_exc()
            tell(str(error))
            code = error.code
        except Exception as error:
            if session.debug:
                traceback.print_exc()
                code = Exit.BUG
            else:
                code = _unexpected(error, arguments)
        if code == Exit.STOPPED:
            tell("stopped")
        sys.exit(int(code or Exit.DONE))
