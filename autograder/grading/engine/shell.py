"""An IPython shell without a kernel: cells in, what Jupyter would show out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import comm
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

#: Receives one output as a dict: see `judge.Outputs.take`.
Sink = Callable[[dict[str, Any]], None]


class CellStopped(BaseException):
    """A test cell is stopped; no `except Exception` of a test may swallow it."""


_DESCRIPTORS = {"stdout": 1, "stderr": 2}

#: Cells that IPython may rewrite: of one line, with other ends of lines, indented, with lines of
#: blanks, prompts, magics, commands or questions.
_REWRITTEN = re.compile(
    r"\A\s|\A[^\n]*\n?\Z|[\r\v\f\x1c-\x1e\x85\u2028\u2029]|^[^\S\n]+$"
    r"|^\s*(?:[!?%,;/]|>>>|\.\.\.|In \[|\[nav|\[ins)|=\s*[!%]|\?\s*$",
    re.MULTILINE,
)


def _steps(manager: TransformerManager) -> list[int]:
    """Return how many steps a cell is taken through; learner code may add its own."""
    return [
        len(manager.cleanup_transforms),
        len(manager.line_transforms),
        len(manager.token_transformers),
    ]


_OWN_STEPS = _steps(TransformerManager())


class Stream:
    """Stands for `sys.stdout` or `sys.stderr`: what is written becomes an output."""

    encoding = "utf-8"
    errors = "strict"
    closed = False

    def __init__(self, name: str) -> None:
        self.name = f"<{name}>"
        self._stream = name
        self.sink: Sink | None = None

    def write(self, text: str) -> int:
        """Send text on; empty text is nothing."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text and self.sink is not None:
            self.sink({"type": "stream", "name": self._stream, "text": text})
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Send each line on."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        """No terminal is there."""
        return False

    def readable(self) -> bool:
        """Nothing can be read."""
        return False

    def writable(self) -> bool:
        """Text can be written."""
        return True

    def fileno(self) -> int:
        """Return the descriptor, for programs that the cell starts."""
        return _DESCRIPTORS[self._stream]


class _Hook(DisplayHook):
    """Sends the value of a cell's last expression."""

    shell: CellShell

    def start_displayhook(self) -> None:
        self._data: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}

    def write_output_prompt(self) -> None:
        """Leave the prompt to the front end."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self._data, self._metadata = format_dict, md_dict or {}

    def finish_displayhook(self) -> None:
        if self._data:
            self.shell.put(
                {
                    "type": "execute_result",
                    "data": self._data,
                    "metadata": self._metadata,
                    "count": self.prompt_count,
                }
            )


class _Publisher(DisplayPublisher):
    """Sends rich output."""

    shell: CellShell

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_ignored: Any,
    ) -> None:
        self.shell.put(
            {
                "type": "update_display_data" if update else "display_data",
                "data": data,
                "metadata": metadata or {},
                "display_id": (transient or {}).get("display_id"),
            }
        )

    def clear_output(self, wait: bool = False) -> None:
        self.shell.put({"type": "clear_output", "wait": bool(wait)})


class CellShell(InteractiveShell):
    """Runs cells and hands every output to `sink`."""

    displayhook_class = Type(_Hook)
    display_pub_class = Type(_Publisher)
    sink: Sink | None = None
    asked_to_exit = False
    #: The value of the last cell's last expression, None if it had none.
    last_value: Any = None
    #: Called after each statement of a cell.
    after_statement: Callable[[], None] | None = None

    async def run_code(self, code_obj: Any, result: Any = None, *, async_: bool = False) -> bool:
        """Run one statement."""
        failed: bool = await super().run_code(code_obj, result, async_=async_)
        if self.after_statement is not None:
            self.after_statement()
        return failed

    def put(self, output: dict[str, Any]) -> None:
        """Hand one output on."""
        if self.sink is not None:
            self.sink(output)

    def ask_exit(self) -> None:
        """`quit()` and `exit()`: a kernel would end after the cell."""
        self.asked_to_exit = True

    def enable_gui(self, gui: Any = None) -> None:
        """No event loop runs here."""

    def show_errors_in_brief(self) -> None:
        """Show where an error passed as Python does, a line of code a place.

        IPython's way, each place with the code around it in colours, costs the processor tens of
        milliseconds an error: more than all that a failing test asks.
        """
        self.InteractiveTB.set_mode("Plain")

    def _format_exception_for_storage(self, *_error: Any, **_how: Any) -> dict[str, Any]:
        """Keep no second copy of a traceback: this shell has no history to keep it in."""
        return {}

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        if etype is CellStopped:
            return  # whoever stopped the cell says why
        try:
            message = str(evalue)
        except Exception:
            message = "(an exception whose message cannot be shown)"
        self.put(
            {
                "type": "error",
                "ename": str(getattr(etype, "__name__", etype)),
                "evalue": message,
                "traceback": [str(part) for part in stb],
            }
        )

    def transform_cell(self, raw_cell: str) -> str:
        """Return a cell as Python; its tokens are read only where something may be rewritten."""
        if _REWRITTEN.search(raw_cell) or _steps(self.input_transformer_manager) != _OWN_STEPS:
            return str(super().transform_cell(raw_cell))
        return raw_cell if raw_cell.endswith("\n") else raw_cell + "\n"

    def run(self, source: str, count: int) -> bool:
        """Run a cell as number `count`; tell whether it ended without an error."""
        self.execution_count, self.last_value = count, None
        result = self.run_cell(source, store_history=True)
        self.last_value = result.result
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return bool(result.success)


def _no_input(*_prompt: object) -> NoReturn:
    raise StdinNotImplementedError(
        "raw_input was called, but this frontend does not support input requests."
    )


def make_shell(profile_folder: str) -> CellShell:
    """Create the process's one shell; done before forking, since it takes a while."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "linux"
    config.InteractiveShell.banner1 = ""
    config.InteractiveShell.cache_size = 0
    shell: CellShell = CellShell.instance(
        config=config, ipython_dir=profile_folder, user_ns={"__name__": "__main__"}
    )
    import builtins

    builtins.input = _no_input
    comm.create_comm = comm.DummyComm
    return shell
