"""A PostgreSQL server for one benchmark, with the settings it comes with: what is committed is on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.support.postgresql_server import PostgresqlServer

from benchmarks.environments import NotBuilt


@contextmanager
def postgresql() -> Iterator[tuple[str, int]]:
    """(the URL of an empty database, the process id of its server, whose children serve connections).

    Raises:
        NotBuilt: no server is installed, or none may be started.
    """
    try:
        started = PostgresqlServer(durable=True)
    except pytest.skip.Exception as error:
        raise NotBuilt(str(error)) from error
    with closing(started) as server:
        yield server.url, server.pid
