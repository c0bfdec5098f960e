"""Servers that the tests of the stores run against."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL server: on the path, or where Debian keeps it."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in folders), key=lambda path: int(path.parent.name), default=None)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL database to test in: ``JOURNEYMESH_TEST_POSTGRES``, or a server of our own for this session."""
    if given := os.environ.get("JOURNEYMESH_TEST_POSTGRES"):
        yield given
        return
    pytest.importorskip("psycopg", reason="psycopg is not installed (the postgres extra)")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("JOURNEYMESH_TEST_POSTGRES is unset and no PostgreSQL server is installed")
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        known = subprocess.run(["id", "postgres"], check=False, capture_output=True)
        if not shutil.which("runuser") or known.returncode:
            pytest.skip("running as root without a postgres user to start PostgreSQL as")
        as_user = ["runuser", "-u", "postgres", "--"]
    folder = Path(tempfile.mkdtemp(prefix="jm-pg-"))
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cluster = str(folder / "cluster")
    settings = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    try:
        initdb = [str(programs / "initdb"), "-D", cluster, "-U", "journeymesh", "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run([*as_user, *initdb, "--no-locale"], check=True, capture_output=True, cwd=folder)
        start = [str(programs / "pg_ctl"), "-D", cluster, "-w", "-l", str(folder / "log"), "-o", settings, "start"]
        subprocess.run([*as_user, *start], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        yield f"postgresql://journeymesh@127.0.0.1:{port}/postgres"
    finally:
        stop = [str(programs / "pg_ctl"), "-D", cluster, "-m", "immediate", "stop"]
        subprocess.run([*as_user, *stop], check=False, capture_output=True, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    """The MongoDB server to test against: ``JOURNEYMESH_TEST_MONGODB``."""
    url = os.environ.get("JOURNEYMESH_TEST_MONGODB")
    if not url:
        pytest.skip("JOURNEYMESH_TEST_MONGODB is unset")
    return url
