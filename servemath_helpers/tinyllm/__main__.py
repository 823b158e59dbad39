"""``python -m servemath_helpers.tinyllm``: serve until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from servemath_helpers.tinyllm.engine import Engine
from servemath_helpers.tinyllm.http import MODEL_NAME, Server
from servemath_helpers.tinyllm.transformer import SMALL, TINY, Transformer

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, wait: Callable[[], object] | None = None) -> int:
    """Serve until somebody presses Ctrl-C, or `wait` returns.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the command line if not given.
    wait : callable, optional
        Returns when the server is to end; never, if not given.

    Returns
    -------
    int
        Exit code: 0, or 1 if the port cannot be had, which raises no error.

    Examples
    --------
    >>> main(["--tiny"], wait=lambda: None)  # doctest: +ELLIPSIS
    tinyllm answers at http://127.0.0.1:... until Ctrl-C
    0
    """
    parser = argparse.ArgumentParser(
        prog="python -m servemath_helpers.tinyllm",
        description="Serve a language model with random weights on this computer.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--max-batch", type=int, default=8, help="sequences at a time")
    parser.add_argument("--kv-tokens", type=int, help="tokens that the KV cache holds")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--tiny", action="store_true", help="a model that takes no time")
    asked = parser.parse_args(argv)
    model = Transformer(TINY if asked.tiny else SMALL, asked.seed)
    engine = Engine(model, max_batch=asked.max_batch, kv_tokens=asked.kv_tokens)
    try:
        server = Server(engine, asked.port)
    except OSError as error:
        print(f"port {asked.port} cannot be had: {error.strerror}", file=sys.stderr)
        return 1
    with server, suppress(KeyboardInterrupt):
        print(f"{MODEL_NAME} answers at {server.url} until Ctrl-C", flush=True)
        (wait or threading.Event().wait)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
