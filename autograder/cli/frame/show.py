"""Findings on the screen: for a person, or as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

import typer

from autograder.cli.frame.bar import progress
from autograder.cli.frame.exits import Exit
from autograder.findings import Finding, all_well

_COLOURS = {"ok": typer.colors.GREEN, "note": typer.colors.YELLOW, "fault": typer.colors.RED}


def as_text(findings: Iterable[Finding]) -> str:
    """Return findings as lines: state, subject, what was found, what to do.

    States are coloured; a stream that is no terminal loses the colours.
    """
    findings = list(findings)
    width = max((len(finding.subject) for finding in findings), default=0)
    lines = []
    for finding in findings:
        state = typer.style(f"{finding.state:<5}", fg=_COLOURS[finding.state])
        lines.append(f"{state}  {finding.subject:<{width}}  {finding.found}")
        if finding.advice:
            lines.append(f"{'':<5}  {'':<{width}}  what to do: {finding.advice}")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """Return findings as one JSON object: `ok`, and `findings` in order."""
    whole = {"ok": all_well(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(whole, indent=1)


def look_and_show(
    label: str, looks: Sequence[tuple[str, Callable[[], Finding]]], in_json: bool
) -> None:
    """Look at everything, print what was found, and end with 1 if there is a fault."""
    findings = []
    with progress(label, len(looks)) as advance:
        for name, look in looks:
            findings.append(look())
            advance(name)
    typer.echo(as_json(findings) if in_json else as_text(findings))
    if not all_well(findings):
        raise typer.Exit(Exit.NEEDS_A_LOOK)
