"""The tables of a key store in a SQL database. Migrations create them; a test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import KEY, Schema, SqlDatabase
from journeymesh.errors import StoreUnavailable

SCHEMA: Final = Schema(
    head="0002",
    version_table="key_store_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x6B657973_74303031,  # "keyst001"
)
MIGRATE: Final = "make it with: journeymesh privacy migrate"
_RUN_LOCK: Final = 0x6B657973_72756E31
"""PostgreSQL's advisory lock of a run on a key store: "keysrun1"."""


class CheckedDatabase(SqlDatabase):
    """A database whose tables are looked for before the first transaction, so that their absence is said by name."""

    _is_checked = False

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state throughout."""
        self._check_once()
        with super().reading() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[sa.Connection]:
        """A transaction that is the only writer's; commits at the end, rolls back on any fault."""
        self._check_once()
        with super().writing(alone=alone) as connection:
            yield connection

    def _check_once(self) -> None:
        if not self._is_checked:
            self.require_schema()
            self._is_checked = True


class KeyStoreDatabase(CheckedDatabase):
    """Transactions on a key store's tables. What is deleted is overwritten in a file of SQLite."""

    pragmas = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    upgrading = "upgrade its tables with: journeymesh privacy migrate"

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Nobody else does this on this database meanwhile, by a lock that ends with its process.

        Raises:
            StoreUnavailable: somebody does.
        """
        busy = StoreUnavailable(f"{self.kind} {self.shown}: another {what} is under way", todo="wait for its end")
        with ExitStack() as held:
            if self.is_sqlite:
                import fcntl

                with self.faults():
                    file = held.enter_context(open(f"{self._address.database}.run", "ab"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise busy from None
            else:
                with self.faults():
                    connection = held.enter_context(closing(self.engine().connect()))
                    connection.detach()  # closed at the end, not given to others with its lock
                    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_RUN_LOCK})").scalar():
                        raise busy
                    connection.commit()
            yield

    def __init__(self, url: str) -> None:
        super().__init__(url, SCHEMA, kind="key store", todo=MIGRATE)


metadata = sa.MetaData()

state = sa.Table(
    "key_store_state",
    metadata,
    sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),  # always 1
    sa.Column("store_id", KEY, nullable=False),
    sa.Column("generation", sa.BigInteger(), nullable=False),
)
"""What a key store is called in the contexts of what it has wrapped, and how often it shredded or rotated."""

intermediate_keys = sa.Table(
    "key_store_intermediate_keys",
    metadata,
    sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("provider_key", KEY, nullable=False),
    sa.Column("wrapped", sa.LargeBinary()),  # by the provider's key; NULL: retired
    sa.Column("gone_at_us", sa.BigInteger()),  # when the provider's key is gone; NULL: it is to be kept or destroyed
)
common_keys = sa.Table(
    "key_store_common_keys",
    metadata,
    sa.Column("kind", KEY, primary_key=True),  # index or store
    sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("intermediate", sa.BigInteger(), nullable=False),
    sa.Column("wrapped", sa.LargeBinary(), nullable=False),
)
secrets = sa.Table(
    "key_store_secrets",
    metadata,
    sa.Column("secret_id", KEY, primary_key=True),
    sa.Column("intermediate", sa.BigInteger(), nullable=False),
    sa.Column("wrapped", sa.LargeBinary(), nullable=False),
    sa.Column("subject", sa.LargeBinary(), nullable=False),  # sealed by the intermediate key
    sa.Column("token", KEY, nullable=False),  # of the subject, under the index key of the intermediate key's version
    sa.Column("name_token", KEY),  # of the number or the vehicle, likewise
    sa.Index("key_store_secrets_by_token", "token", unique=True),
    sa.Index("key_store_secrets_by_name", "name_token"),
    sa.Index("key_store_secrets_by_intermediate", "intermediate", "secret_id"),
)
handles = sa.Table(
    "key_store_handles",
    metadata,
    sa.Column("handle", KEY, primary_key=True),
    sa.Column("secret_id", KEY, nullable=False),
    sa.Index("key_store_handles_by_secret", "secret_id"),
)
treatments = sa.Table(
    "key_store_treatments",
    metadata,
    sa.Column("treatment_id", KEY, primary_key=True),
    sa.Column("finished_at_us", sa.BigInteger(), nullable=False),
    sa.Column("gone_at_us", sa.BigInteger()),
)
privacy_records = sa.Table(
    "key_store_privacy_records",
    metadata,
    sa.Column("kind", KEY, primary_key=True),
    sa.Column("token", KEY, primary_key=True),
    sa.Column("index_version", sa.BigInteger(), nullable=False),  # of the index key that seals and finds it
    sa.Column("sealed", sa.LargeBinary(), nullable=False),
)
