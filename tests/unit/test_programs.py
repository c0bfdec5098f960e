"""Processes that tests fork in place of starting them are as those that are started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs

SHOWN = """
import atexit, os, sys, threading
print(sys.argv, sys.path[0], __name__, os.getcwd(), sorted(os.environ), sys.stdin.read(), flush=True)
print(sys.stdout.encoding, sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdin.encoding)
atexit.register(print, "at exit")
threading.Thread(target=print, args=("in a thread",)).start()
print("said", file=sys.stderr)
"""


def both(arguments: list[str], **options: Any) -> list[tuple[int, Any, Any]]:
    """Exit code and streams of a process that is forked, and of one that is started."""
    command = [sys.executable, *arguments]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 240, **options}
    ended = [programs.run(command, **given), subprocess.run(command, check=False, **given)]
    return [(each.returncode, each.stdout, each.stderr) for each in ended]


@pytest.mark.parametrize(
    "script",
    [
        SHOWN,
        "raise SystemExit(7)",
        "raise SystemExit('why')",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    ],
)
def test_a_forked_process_shows_what_a_started_one_does(script: str, tmp_path: Path) -> None:
    env = {"PATH": "/bin", "COLOUR": "grün", **programs.read_at_start(os.environ)}
    forked, started = both(["-c", script, "a", "b c"], cwd=tmp_path, env=env, input=b"given")
    assert forked == started


def test_a_fault_ends_a_forked_process_with_1_and_its_last_line() -> None:
    forked, started = both(["-c", "print('before'); 1 / 0"])
    assert forked[:2] == started[:2] == (1, b"before\n")
    assert forked[2].splitlines()[-1] == started[2].splitlines()[-1] == b"ZeroDivisionError: division by zero"


def test_an_output_that_is_full_at_the_end_is_120() -> None:
    with Path("/dev/full").open("wb") as full:
        forked, started = both(
            ["-c", "import sys; sys.stdout = open(1, 'w', 999, closefd=False); print('x')"], stdout=full
        )
    assert forked[0] == started[0] == 120


def test_the_command_line_is_the_same() -> None:
    forked, started = both(["-m", "journeymesh", "no-such-command"])
    assert forked == started
    assert forked[0] == 2


def test_a_forked_process_is_a_child_that_can_be_killed() -> None:
    with programs.Popen([sys.executable, "-c", "print('here', flush=True); input()"], stdin=-1, stdout=-1) as process:
        assert process.stdout.readline() == b"here\n"
        assert process.poll() is None
        parent = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) == os.getpid()
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL


def test_what_is_read_at_the_start_alone_starts_a_process() -> None:
    script = ["-c", "import sys; print(sys.stdout.encoding)"]
    forked, started = both(script, env={"PYTHONIOENCODING": "ascii"})
    assert forked == started == (0, b"ascii\n", b"")
