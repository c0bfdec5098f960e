"""The table of people's sessions in a SQL database. Migrations create it; a test compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import Schema, SqlDatabase

SCHEMA: Final = Schema(
    head="0001",
    version_table="sessions_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x7365_7373_696F_6E73,  # "sessions"
)
WAITS_S: Final = 2.0


class SessionDatabase(SqlDatabase):
    """Transactions on the table of sessions; other rooms' tables may be in the same database.

    Somebody waits for each of them: a server that does not answer is given up soon.
    """

    connect_timeout_s = 2

    def __init__(self, url: str) -> None:
        todo = "make it with: journeymesh access migrate"
        super().__init__(url, SCHEMA, kind="sessions", todo=todo, busy_timeout_s=WAITS_S)
        if not self.is_sqlite and "tcp_user_timeout" not in self._address.query:
            self._address = self._address.update_query_dict({"tcp_user_timeout": str(int(WAITS_S * 1000))})


metadata = sa.MetaData()

sessions = sa.Table(
    "console_sessions",
    metadata,
    sa.Column("name", sa.LargeBinary(), primary_key=True),  # a digest of the session's id, which is not here
    sa.Column("person", sa.LargeBinary(), nullable=False),  # keyed digests, for bounds and for logout by the provider
    sa.Column("subject", sa.LargeBinary()),
    sa.Column("sid", sa.LargeBinary()),
    sa.Column("seen_us", sa.BigInteger(), nullable=False),
    sa.Column("ends_us", sa.BigInteger(), nullable=False),
    sa.Column("generation", sa.Integer(), nullable=False),  # grows with each renewal of the tokens
    sa.Column("renewing_until_us", sa.BigInteger(), nullable=False),  # until then one replica renews them; 0: none
    sa.Column("content", sa.LargeBinary(), nullable=False),  # sealed by a key that the session's id gives
    sa.Index("console_sessions_by_person", "person", "seen_us"),
    sa.Index("console_sessions_by_subject", "subject"),
    sa.Index("console_sessions_by_sid", "sid"),
    sa.Index("console_sessions_by_use", "seen_us"),
    sa.Index("console_sessions_by_end", "ends_us"),
)
