"""SQLAlchemy engines of ours: how a SQLite file and a PostgreSQL server are opened."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from journeymesh.errors import ExtraMissing

WRITING: dict[str, Any] = {"journeymesh_begin": "BEGIN IMMEDIATE"}
"""Execution options of a transaction that writes to SQLite: it takes its turn at once, not at its first write."""


def sqlite_engine(address: sa.URL, *, busy_timeout_s: float, pragmas: Sequence[str]) -> sa.Engine:
    """An engine whose transactions begin as their execution options say; ``pragmas`` are set on each connection."""
    engine = sa.create_engine(
        address, connect_args={"timeout": busy_timeout_s, "isolation_level": None, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("journeymesh_begin", "BEGIN"))

    return engine


def set_in_file(engine: sa.Engine, *pragmas: str) -> None:
    """Set what a SQLite file remembers, outside of any transaction."""
    raw = engine.raw_connection()
    try:
        for pragma in pragmas:
            raw.cursor().execute(f"PRAGMA {pragma}").fetchall()
    finally:
        raw.close()


def postgresql_engine(address: sa.URL, *, connect_timeout_s: int) -> sa.Engine:
    """An engine by psycopg; the URL's own ``connect_timeout`` wins.

    Raises:
        ExtraMissing: psycopg is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise ExtraMissing("psycopg", "postgres")
    waits = {} if "connect_timeout" in address.query else {"connect_timeout": connect_timeout_s}
    return sa.create_engine(
        address.set(drivername="postgresql+psycopg"),
        connect_args={"application_name": "journeymesh", "client_encoding": "utf8", **waits},
        pool_pre_ping=True,
    )
