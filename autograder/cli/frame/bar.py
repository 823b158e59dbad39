"""Progress of long work: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: In plain lines, one for each of so many parts of the work.
PARTS = 4

#: Called with the name of what was just finished.
Advance = Callable[[str], None]


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show how much of the work is done, on stderr, until the block ends.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        Of how many pieces it consists.

    Yields
    ------
    callable
        To be called with its name each time a piece is finished.
    """
    console = Console(stderr=True)
    with _bar(console, label, total) if console.is_terminal else _lines(label, total) as advance:
        yield advance


@contextlib.contextmanager
def _bar(console: Console, label: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[item]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=total, item="")
        yield lambda item: bar.update(task, advance=1, item=item)


@contextlib.contextmanager
def _lines(label: str, total: int) -> Iterator[Advance]:
    import typer

    done = 0

    def advance(item: str) -> None:
        nonlocal done
        done += 1
        if done == total or done * PARTS // total > (done - 1) * PARTS // total:
            typer.echo(f"{label}: {done} of {total}", err=True)

    typer.echo(f"{label}: 0 of {total}", err=True)
    yield advance
