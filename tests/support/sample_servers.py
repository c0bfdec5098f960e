"""The samples, built and run on this machine with the compilers that are here."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.trees import REPOSITORY

NEEDED = {"python": "python3", "node": "node", "java": "javac", "go": "go"}
"""The languages that can be built here, by the program it takes."""


@dataclass
class Running:
    language: str
    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told_to_end(self) -> tuple[int, str]:
        """Its exit code and what it said, once it got SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=20)
        return self.process.returncode, said


@contextmanager
def running(language: str, work: Path) -> Iterator[Running]:
    """The sample of this language, answering."""
    if shutil.which(NEEDED[language]) is None:
        pytest.skip(f"{NEEDED[language]} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        _command(language, REPOSITORY / "examples" / "workloads" / language, work),
        env={"PATH": os.environ["PATH"], "PORT": str(port), "NAME": "hello"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _wait_for(port, process)
        yield Running(language, process, port)
    finally:
        process.kill()
        process.wait()


def _command(language: str, source: Path, work: Path) -> list[str]:
    match language:
        case "python":
            return ["python3", "-u", str(source / "main.py")]
        case "node":
            return ["node", str(source / "server.js")]
        case "java":
            subprocess.run(["javac", "-d", str(work), str(source / "Main.java")], check=True)
            return ["java", "-cp", str(work), "Main"]
        case _:
            build = ["go", "build", "-buildvcs=false", "-o", str(work / "server"), "."]
            subprocess.run(build, cwd=source, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
            return [str(work / "server")]


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"it does not answer on {port}; exit code {process.poll()}")
