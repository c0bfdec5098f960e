"""Servers that the tests of the stores run against, and what is made once for all tests of a process."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from tests.support.once import commands_built_once, migrations_run_once
from tests.support.postgresql_server import PostgresqlServer
from tests.support.programs import TEMPLATE

# How long one example takes says what else the machine does, or that a kernel is compiled: no test fails by it.
settings.register_profile("journeymesh", deadline=None)
settings.load_profile("journeymesh")

IN_MEMORY = Path("/dev/shm")
IN_MEMORY_BYTES = 4 << 30
"""What must be free there. What a passed test wrote is removed as it ends."""


def _has_memory_to_write_in() -> bool:
    return os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= IN_MEMORY_BYTES


# What tests write waits for no disk, where there is memory for it: every commit of a store and of a lake would.
if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _has_memory_to_write_in():
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(IN_MEMORY)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is loaded stays: the collector of garbage need not look through it at every test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def made_once() -> Iterator[None]:
    """What tests would make anew again and again in the same way."""
    with commands_built_once(), migrations_run_once(), closing(TEMPLATE):
        yield


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL database to test in: ``JOURNEYMESH_TEST_POSTGRES``, or a server of our own for this session. Of
    several workers each has its own, the given one's name with the worker's behind it."""
    if given := os.environ.get("JOURNEYMESH_TEST_POSTGRES"):
        yield _of_worker(given)
        return
    with closing(PostgresqlServer()) as server:
        yield server.url


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    """The MongoDB server to test against: ``JOURNEYMESH_TEST_MONGODB``."""
    url = os.environ.get("JOURNEYMESH_TEST_MONGODB")
    if not url:
        pytest.skip("JOURNEYMESH_TEST_MONGODB is unset")
    return url


def _of_worker(url: str) -> str:
    """The URL of this worker's database on the same server, made anew; the given one where there are no workers."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return url
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (the postgres extra)")
    parts = urlsplit(url)
    name = f"{parts.path.strip('/')}_{worker}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return parts._replace(path=f"/{name}").geturl()
