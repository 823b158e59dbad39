"""``python -m servemath_helpers.measure``: a load test from a shell.

Exit codes: 0 all answered, 1 some not (what was measured is saved), 2 a wrong option, 130 cut
short (what was measured is saved); where nothing could be measured, those of `endpoint.KINDS`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np

from servemath_helpers._validate import finite_non_negative, finite_positive, whole
from servemath_helpers.measure.answers import Answer, save_csv
from servemath_helpers.measure.driving import drive, prompt_of
from servemath_helpers.measure.endpoint import KINDS, Endpoint, MeasureError, Streamed
from servemath_helpers.measure.summary import Summary
from servemath_helpers.sim import arrivals
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.workloads import ClosedLoop

__all__ = ["KEY_VARIABLE", "main"]

#: Where a key is looked for unless --key-env names another variable.
KEY_VARIABLE = "SERVEMATH_API_KEY"
_SOME_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_PAUSE_S = 0.5


def _lengths(text: str) -> tuple[int, int]:
    """Return the ends of a range such as "64" or "16:64"."""
    low, _, high = text.partition(":")
    ends = whole("tokens", int(low), 1), whole("tokens", int(high or low), 1)
    if ends[0] > ends[1]:
        raise ValueError(f"tokens must be from low to high, got {text!r}")
    return ends


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m servemath_helpers.measure",
        description="Measure a server that speaks as OpenAI does (vLLM, SGLang, llama.cpp ...).",
        epilog=f"A key is read from the environment variable {KEY_VARIABLE}, or the one that "
        "--key-env names; it is written nowhere.",
    )
    add = parser.add_argument
    add("--url", required=True, help="its address, such as http://127.0.0.1:8000")
    add("--model", required=True, help="which of its models")
    loop = parser.add_mutually_exclusive_group(required=True)
    loop.add_argument("--rate", type=float, metavar="RPS", help="open loop: Poisson arrivals")
    loop.add_argument("--users", type=int, metavar="N", help="closed loop: users who wait")
    add("--think", type=float, default=0.0, metavar="S", help="pause of a user (closed loop)")
    add("--requests", type=int, default=100, metavar="N", help="how many (%(default)s)")
    add("--prompt-tokens", type=_lengths, default=(128, 128), metavar="N|LOW:HIGH",
        help="words of a prompt, about as many tokens (128)")  # fmt: skip
    add("--output-tokens", type=_lengths, default=(64, 64), metavar="N|LOW:HIGH",
        help="tokens of an answer (64)")  # fmt: skip
    add("--chat", action="store_true", help="ask /v1/chat/completions")
    add("--eos", action="store_true", help="let answers end early; do not send ignore_eos")
    add("--ttft", type=float, metavar="S", help="promised time to first token")
    add("--tpot", type=float, metavar="S", help="promised time per output token")
    add("--timeout", type=float, default=300.0, metavar="S", help="of an answer (%(default)s)")
    add("--wait", type=float, default=0.0, metavar="S", help="for a server that is starting")
    add("--seed", type=int, default=0, help="of arrivals, lengths and prompts")
    add("--key-env", default=KEY_VARIABLE, metavar="NAME", help="variable that holds a key")
    add("--out", type=Path, default=Path("measurement.csv"), metavar="FILE",
        help="what was measured (%(default)s)")  # fmt: skip
    return parser


def _workload(asked: argparse.Namespace) -> Requests | ClosedLoop:
    rng = np.random.default_rng(whole("seed", asked.seed))
    n = whole("requests", asked.requests, 1)
    prompt, output = (
        rng.integers(low, high, n, endpoint=True)
        for low, high in (asked.prompt_tokens, asked.output_tokens)
    )
    if asked.rate is None:
        return ClosedLoop(asked.users, prompt, output, finite_non_negative("think", asked.think))
    return Requests(arrivals.poisson(n, asked.rate, rng), prompt, output)


class _Progress:
    """How far the run is: one line that is written over, or ten where nobody looks."""

    def __init__(self, n: int, to: TextIO) -> None:
        self.n, self.to, self.live = n, to, to.isatty()
        self.done = self.failed = 0

    def __call__(self, answer: Answer) -> None:
        before = 10 * self.done // self.n
        self.done += 1
        self.failed += not answer.ok
        if self.live or 10 * self.done // self.n > before:
            failed = f", {self.failed} failed" if self.failed else ""
            text = f"{self.done} of {self.n} requests{failed}"
            end = "\r" if self.live and self.done < self.n else "\n"
            print(text, end=end, file=self.to, flush=True)


async def _first(endpoint: Endpoint, tokens: tuple[int, int], wait_s: float) -> Streamed:
    """Ask once, not counted: what is wrong with the server shows here, and it is warm after."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            async with endpoint.client() as client:
                answer = await endpoint.ask(client, prompt_of(0, 8, 1), tokens[1], time.monotonic)
            break
        except MeasureError as error:
            if error.kind not in ("connection", "busy") or time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE_S)
    if len(answer.token_s) == 1 and (answer.output_tokens or 1) > 1:
        raise MeasureError(
            "not streamed",
            f"the server does not stream: {answer.output_tokens} tokens came in one piece",
        )
    return answer


def _key(variable: str, environment: Mapping[str, str]) -> str | None:
    if variable not in environment:
        if variable != KEY_VARIABLE:
            raise ValueError(f"key-env must name a variable that is set, got {variable!r}")
        return None
    return environment[variable]


def main(argv: Sequence[str] | None = None, err: TextIO | None = None) -> int:
    """Measure a server.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the command line if not given.
    err : text file, optional
        Where progress and errors go; the standard error if not given.

    Returns
    -------
    int
        Exit code, see the module. What goes wrong raises no error.

    Examples
    --------
    >>> import sys
    >>> main("--url http://127.0.0.1:9 --model m --rate 2".split(), err=sys.stdout)
    error: cannot connect to http://127.0.0.1:9: All connection attempts failed
    3
    """
    err = sys.stderr if err is None else err
    asked = _parser().parse_args(argv)
    try:
        work = _workload(asked)
        endpoint = Endpoint(
            url=asked.url,
            model=asked.model,
            chat=asked.chat,
            timeout_s=asked.timeout,
            ignore_eos=not asked.eos,
            key=_key(asked.key_env, os.environ),
        )
        for name in ("ttft", "tpot"):
            if getattr(asked, name) is not None:
                finite_positive(name, getattr(asked, name))
        finite_non_negative("wait", asked.wait)
        if not asked.out.parent.is_dir():
            raise ValueError(f"out must lie in a folder that exists, got {str(asked.out)!r}")
    except ValueError as error:
        print(f"error: {error}", file=err)
        return _USAGE
    answers: list[Answer] = []
    progress = _Progress(len(work), err)
    code = _code(lambda: asyncio.run(_run(endpoint, work, asked, answers, progress)), err)
    return _report(asked, answers, err, code) if answers else code


def _code(run: Callable[[], None], err: TextIO) -> int:
    """Run, and return the exit code for what went wrong, which is told in a line."""
    try:
        run()
    except MeasureError as error:
        print(f"error: {error}", file=err)
        return KINDS[error.kind]
    except ModuleNotFoundError as error:
        print(f"error: needs {error.name}: pip install {error.name}", file=err)
        return _USAGE
    except KeyboardInterrupt:
        print("cut short", file=err)
        return _INTERRUPTED
    return 0


async def _run(
    endpoint: Endpoint,
    work: Requests | ClosedLoop,
    asked: argparse.Namespace,
    answers: list[Answer],
    progress: _Progress,
) -> None:
    await _first(endpoint, asked.output_tokens, asked.wait)
    await drive(work, endpoint, answers=answers, seed=asked.seed, progress=progress)


def _report(asked: argparse.Namespace, answers: list[Answer], err: TextIO, code: int) -> int:
    """Save and sum up what came."""
    try:
        save_csv(answers, asked.out)
    except OSError as error:
        print(f"error: cannot write {asked.out}: {error.strerror}", file=err)
        return _USAGE
    found = Summary(
        answers,
        interval_s=None if asked.rate is None else 1 / asked.rate,
        ttft_slo_s=asked.ttft,
        tpot_slo_s=asked.tpot,
    )
    print(found.text())
    print(f"saved: {asked.out}")
    return code or (_SOME_FAILED if found.errors else 0)


if __name__ == "__main__":
    sys.exit(main())
