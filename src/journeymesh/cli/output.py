"""Standard output and standard error as they are: closed, of another encoding, or at their end."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import IO, Any, Final, NoReturn

from journeymesh.safe_text import json_on_terminal, on_terminal

EXIT_PIPE_CLOSED: Final = 141
"""The reader of a pipe went away, as ``| head`` does: 128 and the number of SIGPIPE, as shells have it."""


def prepare_output() -> None:
    """Make standard output and error fit to be written to: what their encoding lacks is written as JSON has it
    (``\\u00b2``), and a closed one says so when it is written to."""
    codecs.register_error("json_escape", _escaped)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="json_escape")


def say(text: str = "", *, end: str = "\n", file: IO[str] | None = None, flush: bool = False) -> None:
    """Print lines for people: what a terminal would obey is written as escapes."""
    print(on_terminal(text, lines=True), end=end, file=file or sys.stdout, flush=flush)


def say_json(text: str) -> None:
    """Print JSON: on a terminal, what it would obey is written as JSON's own escapes."""
    print(json_on_terminal(text) if sys.stdout.isatty() else text)


def drop_output() -> None:
    """What is still buffered goes nowhere, without a complaint at exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Closed(io.TextIOBase):
    """Standard output that was closed before the program began."""

    encoding = "utf-8"

    def write(self, text: str) -> NoReturn:  # noqa: ARG002
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    @property
    def buffer(self) -> Any:
        """As of a text stream: there is none."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    return "".join(f"\\u{pair}" for pair in pairs), error.end
