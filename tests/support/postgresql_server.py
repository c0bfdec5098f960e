"""A PostgreSQL server of a test's own, that can be stopped and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


class PostgresqlServer:
    """An empty cluster and its server, at a free port. ``close`` leaves nothing of it."""

    def __init__(self, *, durable: bool = False) -> None:
        """Starts it. Skips the test where no server is installed, or none may be started.

        ``durable``: what is committed is on the disk, as a server comes.
        """
        pytest.importorskip("psycopg", reason="psycopg is not installed (the postgres extra)")
        programs = _programs()
        if programs is None:
            pytest.skip("no PostgreSQL server is installed")
        self._programs, self._durable = programs, durable
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            known = subprocess.run(["id", "postgres"], check=False, capture_output=True)
            if not shutil.which("runuser") or known.returncode:
                pytest.skip("running as root without a postgres user to start PostgreSQL as")
            self._as_user = ["runuser", "-u", "postgres", "--"]
        self._folder = Path(tempfile.mkdtemp(prefix="jm-pg-"))
        if self._as_user:
            shutil.chown(self._folder, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"postgresql://journeymesh@127.0.0.1:{self.port}/postgres"
        try:
            self._run(
                "initdb",
                "-U",
                "journeymesh",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                *([] if self._durable else ["-N"]),
            )
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        settings = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self._folder}"
        if not self._durable:
            settings += " -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", settings, "start")

    @property
    def pid(self) -> int:
        """The server's process, whose children serve connections."""
        return int(Path(self._folder, "cluster", "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """End it at once, as a crash does: connections break, the next start recovers."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def close(self) -> None:
        """Stop it where it runs, and remove its files."""
        self._run("pg_ctl", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        command = [*self._as_user, str(self._programs / program), "-D", str(self._folder / "cluster"), *arguments]
        # Not captured: the server would inherit the pipe, and reading it would wait for the server's end.
        subprocess.run(command, check=check, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _programs() -> Path | None:
    """The folder of the newest PostgreSQL server: on the path, or where Debian keeps it."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: int(path.parent.name), default=None)
