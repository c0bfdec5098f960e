"""Processes of Python, as ``subprocess`` starts them, forked from one that has journeymesh loaded.

``python -m journeymesh --version`` takes 0.5 s of CPU, and one that is forked 0.04 s. It is a real process, a child of
the test's: with its own memory, environment, working directory, standard streams, signals and exit code. What a fork
would not show, as what a start costs, what it imports, how much memory it takes, is tried with ``subprocess`` itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.program_template import MESSAGE_BYTES

_ROOT: Final = Path(__file__).parents[2]
_READ_AT_START: Final = (
    *("PYTHON", "NUMBA", "LD_", "LC_", "LANG", "TZ"),
    *("MALLOC", "MIMALLOC", "JE_", "OPENBLAS", "OMP", "ARROW"),
)
"""Environment that takes effect only as a process starts, or as modules are imported."""
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""For the template, or nothing could be forked. A forked process does not see it."""
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>
_libc = ctypes.CDLL(None, use_errno=True)


class Template:
    """The process that others are forked from: one for each process that runs tests, begun at the first fork."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._started_with: dict[str, str] = {}

    def fork(self, command: dict[str, Any], streams: tuple[int, int, int]) -> int:
        """The id of a new child of this process that runs the command with these standard streams."""
        message = json.dumps(command).encode()
        with self._asking:
            asking = self._begun()
            _become_reaper(True)
            try:
                socket.send_fds(asking, [message], list(streams))
                answers = [asking.recv(64), asking.recv(64)]
            except BaseException:  # it ended, or the test's time is over: the next one gets another
                self.close()
                raise
            finally:
                _become_reaper(False)
        answers.remove(b"begun")
        return int(answers[0])

    def can_fork(self, command: dict[str, Any]) -> bool:
        """Whether a forked process would be as a started one: not where the environment has what is read at start."""
        with self._asking:
            self._begun()
            started_with = read_at_start(self._started_with)
        return len(json.dumps(command)) < MESSAGE_BYTES and read_at_start(command["environment"]) == started_with

    def close(self) -> None:
        """End it. Processes that it forked go on."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
            self._socket = self._process = None

    def _begun(self) -> socket.socket:
        if self._socket is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)
            self._started_with = dict(os.environ)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.program_template", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    cwd=_ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, **_ONE_THREAD},
                )
            self._socket = ours
        return self._socket


TEMPLATE: Final = Template()


class Popen(subprocess.Popen[Any]):
    """``subprocess.Popen`` of ``[sys.executable, "-m" or "-c", …]``, forked where that shows the same."""

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any,
        env: Any, startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int,
        c2pread: int, c2pwrite: int, errread: int, errwrite: int, restore_signals: Any,
        gid: Any, gids: Any, uid: Any, umask: int, start_new_session: bool, *rest: Any,
    ) -> None:  # fmt: skip
        command: dict[str, Any] = {
            "arguments": [os.fspath(argument) for argument in args[1:]],
            "cwd": None if cwd is None else os.fspath(cwd),
            "environment": dict(os.environ if env is None else env),
            "new_session": bool(start_new_session),
        }
        command["cwd"] = os.path.abspath(command["cwd"] or os.getcwd())
        plain = not (executable or preexec_fn or pass_fds or shell or gid or gids or uid) and close_fds and umask < 0
        is_ours = args[0] == sys.executable and command["arguments"][:1] in (["-m"], ["-c"])
        if not (sys.platform == "linux" and plain and is_ours and TEMPLATE.can_fork(command)):
            super()._execute_child(  # type: ignore[misc]
                args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
                p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids, uid, umask,
                start_new_session, *rest,
            )  # fmt: skip
            return
        streams = (p2cread, c2pwrite, errwrite)
        self.pid = TEMPLATE.fork(command, tuple(at if given < 0 else given for at, given in enumerate(streams)))  # type: ignore[arg-type]
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def run(command: list[str], *, check: bool = False, timeout: float | None = None, capture_output: bool = False,
        input: Any = None, **options: Any) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """``subprocess.run`` with such a process."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """What of this environment takes effect only as a process starts, or as modules are imported."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START) and value}


def _become_reaper(is_one: bool) -> None:
    """Whether orphans below this process become its children: the process whose parent between has ended."""
    if _libc.prctl(_SUBREAPER, int(is_one), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process cannot become the parent of what is forked for it")
