"""A Python process with journeymesh imported and its kernels loaded, from which others are forked.

``python -m tests.support.program_template SOCKET``, by ``tests.support.programs``: the descriptor of a socket, on
which a message asks for each process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import io
import json
import os
import runpy
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, NoReturn

MESSAGE_BYTES: Final = 1 << 20
"""A command, its environment and where it runs, as one message."""
LOADED: Final = (
    "journeymesh.cli.main",
    "journeymesh.services.identityapi.app",
    "journeymesh.services.journeyapi.app",
    "journeymesh.services.opening",
    "journeymesh.stores.sql",
    "journeymesh.strangler.feeder",
    "journeymesh.wiring",
    "alembic.command",
    "granian.server.embed",
    "psycopg",
)


@dataclass(frozen=True, slots=True)
class Command:
    """What a process runs: the arguments behind Python's own, from ``-m`` or ``-c`` on."""

    arguments: list[str]
    cwd: str | None
    environment: dict[str, str]
    new_session: bool


def load() -> None:
    """Import what commands and services import, and so load every kernel."""
    from journeymesh.cli.warm import warm

    with contextlib.redirect_stdout(io.StringIO()):
        warm()
    for name in LOADED:
        import_module(name)
    import typer.main

    from journeymesh.cli.main import app

    # The tree of commands, which each process would build alike.
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(app)


def require_one_thread() -> None:
    """A fork takes one thread along: what others hold would be held for ever."""
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"the template has {len(threads)} threads"


def next_command(asked: socket.socket) -> Command:
    """Give each message's process its id, until this one is such a process: then what it runs.

    Its standard streams are those that came with the message. Ends where nobody asks any more.
    """
    while True:
        content, descriptors, _, _ = socket.recv_fds(asked, MESSAGE_BYTES, 3)
        if not content:
            raise SystemExit(0)
        require_one_thread()
        # The one between ends at once, so that the process becomes a child of who asked, who can wait for it.
        between = os.fork()
        if between == 0:
            child = os.fork()
            if child == 0:
                asked.close()
                return _begun(Command(**json.loads(content)), descriptors)
            asked.sendall(str(child).encode())
            os._exit(0)
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)
        asked.sendall(b"begun")


def _begun(command: Command, descriptors: list[int]) -> Command:
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
    for descriptor in descriptors:
        if descriptor > 2:
            os.close(descriptor)
    if command.new_session:
        os.setsid()
    if command.cwd is not None:
        os.chdir(command.cwd)
    os.environ.clear()
    os.environ.update(command.environment)
    for standard, name in enumerate(("stdin", "stdout", "stderr")):
        _open_standard(standard, name)
    tempfile.tempdir = None  # it is found by the environment
    return command


def _open_standard(descriptor: int, name: str) -> None:
    """What Python opens as it starts: how it buffers depends on what stands behind the descriptor."""
    former = getattr(sys, f"__{name}__")
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED")) and name != "stdin"
    how = {"mode": "rb" if name == "stdin" else "wb", "buffering": 0 if unbuffered else -1}
    binary: Any = open(descriptor, closefd=False, **how)  # type: ignore[call-overload]  # noqa: SIM115 - it stays open
    stream = io.TextIOWrapper(
        binary, encoding=former.encoding, errors=former.errors, newline=None if name == "stdin" else "\n",
        line_buffering=not unbuffered and (name == "stderr" or binary.isatty()), write_through=unbuffered,
    )  # fmt: skip
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def end(main: Callable[[], None]) -> NoReturn:
    """Run it and end as Python does: exit code, traceback, threads waited for, what is registered at exit, streams.

    What a process then still does, take apart every module that is loaded, takes 0.2 s of CPU and shows nothing.
    """
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if code and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    os._exit(code & 0xFF)


def run(command: Command) -> None:
    """What ``python ARGUMENTS`` does, in this process."""
    option, what, *rest = command.arguments
    if option == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = [what, *rest]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    sys.path[0] = ""
    sys.argv = ["-c", *rest]
    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    load()
    require_one_thread()
    gc.collect()
    gc.freeze()
    end(lambda: run(next_command(socket.socket(fileno=int(sys.argv[1])))))
