"""Servers that the tests of the stores run against."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.postgresql_server import PostgresqlServer


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL database to test in: ``JOURNEYMESH_TEST_POSTGRES``, or a server of our own for this session."""
    if given := os.environ.get("JOURNEYMESH_TEST_POSTGRES"):
        yield given
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
