"""A PostgreSQL server for one benchmark, with the settings it comes with: what is committed is on the disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environments import NotBuilt


@contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """(the URL of an empty database, the process id of its server, whose children serve connections).

    Raises:
        NotBuilt: no server is installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parents[1].name))
    programs = Path(shutil.which("initdb") or (found[-1] if found else "")).parent
    if not (programs / "initdb").exists():
        raise NotBuilt("no PostgreSQL server is installed")
    root = os.geteuid() == 0
    as_user = ["runuser", "-u", "postgres", "--"] if root else []  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="jm-bench-pg-"))
    if root:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = str(folder / "cluster")
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    try:
        initdb = [
            str(programs / "initdb"),
            "-D",
            cluster,
            "-U",
            "journeymesh",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd=folder)
        start = [str(programs / "pg_ctl"), "-D", cluster, "-w", "-l", str(folder / "log"), "-o", settings, "start"]
        subprocess.run([*as_user, *start], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        server = int(Path(cluster, "postmaster.pid").read_text().split()[0])
        yield f"postgresql://journeymesh@127.0.0.1:{port}/postgres", server
    finally:
        stop = [str(programs / "pg_ctl"), "-D", cluster, "-m", "fast", "stop"]
        subprocess.run([*as_user, *stop], check=False, capture_output=True, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)
