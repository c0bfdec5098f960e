"""The rotation of a key store, step by step: each step is one transaction, and whoever comes after a kill goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.databases.database import now_us, set_in_file
from journeymesh.errors import UsageError
from journeymesh.instants import from_us, to_us
from journeymesh.keys.derivations import SECRET_BYTES, CommonKey
from journeymesh.keys.live_keys import INDEX, STORE, LiveKeys, grow_generation, put_common, put_intermediate
from journeymesh.keys.port import KeyProvider, Treatment
from journeymesh.keys.tables import KeyStoreDatabase, common_keys, intermediate_keys, secrets, state, treatments

AT_ONCE: Final = 1_000
"""Secrets that are wrapped again in one transaction."""
_LIVE: Final = intermediate_keys.c.wrapped.is_not(None)


def begin(database: KeyStoreDatabase, provider: KeyProvider) -> None:
    """Make the new keys, where no rotation is under way. The former ones stay until ``finish``.

    The former index key is not wrapped by the new intermediate key, which lives on: a copy of the key store from
    between the two steps would give it to whoever has that.
    """
    with database.reading() as connection:
        if _under_way(connection):
            return
    provider_key = provider.create()  # a kill behind it leaves a key at the provider that wraps nothing
    with database.writing() as connection:
        if _under_way(connection):
            unused = provider_key
        else:
            unused = None
            ring = LiveKeys.read(connection, provider)
            store_id = str(connection.execute(sa.select(state.c.store_id)).scalar_one())
            version = int(connection.execute(sa.select(sa.func.max(intermediate_keys.c.version))).scalar_one()) + 1
            cipher = put_intermediate(connection, provider, (store_id, version, provider_key))
            index_key = CommonKey(os.urandom(SECRET_BYTES), ring.index_key.version + 1)
            put_common(connection, cipher, index_key, kind=INDEX, intermediate=version)
            put_common(connection, cipher, ring.store_key, kind=STORE, intermediate=version)
            grow_generation(connection)
    if unused is not None:
        provider.destroy(unused)


def rewrap_some(database: KeyStoreDatabase, ring_of: Callable[[sa.Connection], LiveKeys]) -> bool:
    """Wrap some secrets by the newest intermediate key; returns whether there were any."""
    with database.writing() as connection:
        ring = ring_of(connection)
        asked = sa.select(secrets).where(secrets.c.intermediate < ring.newest).order_by(secrets.c.intermediate)
        rows = connection.execute(asked.limit(AT_ONCE)).all()
        if not rows:
            return False
        changed = [ring.row(row.secret_id, ring.secret(row), ring.subject(row)) for row in rows]
        values: dict[str, Any] = {name: sa.bindparam(name) for name in changed[0] if name != "secret_id"}
        statement = sa.update(secrets).where(secrets.c.secret_id == sa.bindparam("this")).values(values)
        connection.execute(statement, [{**row, "this": row.pop("secret_id")} for row in changed])
        return True


def finish(database: KeyStoreDatabase, provider: KeyProvider, treatment_id: str) -> Treatment:
    """Forget the former keys here, then have them destroyed at the provider, then record the treatment.

    Raises:
        UsageError: secrets are still wrapped by a former key: the rotation has not begun, or not gone to its end.
    """
    with database.writing() as connection:
        if (done := _recorded(connection, treatment_id)) is not None:
            return done
        newest = int(connection.execute(sa.select(sa.func.max(intermediate_keys.c.version))).scalar_one())
        if connection.execute(sa.select(secrets.c.secret_id).where(secrets.c.intermediate < newest).limit(1)).first():
            raise UsageError("secrets are still wrapped by a former key", todo="begin the rotation, then finish it")
        index = sa.select(sa.func.max(common_keys.c.version)).where(common_keys.c.kind == INDEX).scalar_subquery()
        connection.execute(sa.delete(common_keys).where(common_keys.c.kind == INDEX, common_keys.c.version < index))
        former = sa.update(intermediate_keys).where(intermediate_keys.c.version < newest)
        connection.execute(former.values(wrapped=None))
        grow_generation(connection)
    if database.is_sqlite:  # what was wrapped stands in no free page and no log
        with database.faults():
            set_in_file(database.engine(), "wal_checkpoint(TRUNCATE)")
    _destroy_former(database, provider)
    with database.writing() as connection:
        if (done := _recorded(connection, treatment_id)) is not None:  # by another process meanwhile
            return done
        gone = connection.execute(sa.select(sa.func.max(intermediate_keys.c.gone_at_us))).scalar()
        at_us = now_us()
        row = {"treatment_id": treatment_id, "finished_at_us": at_us, "gone_at_us": gone}
        connection.execute(sa.insert(treatments).values(row))
        return Treatment(treatment_id, from_us(at_us), None if gone is None else from_us(gone))


def treatment_of(row: Any) -> Treatment:
    """The treatment in this row."""
    gone = None if row.gone_at_us is None else from_us(row.gone_at_us)
    return Treatment(row.treatment_id, from_us(row.finished_at_us), gone)


def _recorded(connection: sa.Connection, treatment_id: str) -> Treatment | None:
    found = connection.execute(sa.select(treatments).where(treatments.c.treatment_id == treatment_id)).first()
    return None if found is None else treatment_of(found)


def _under_way(connection: sa.Connection) -> bool:
    return int(connection.execute(sa.select(sa.func.count()).where(_LIVE)).scalar_one()) > 1


def _destroy_former(database: KeyStoreDatabase, provider: KeyProvider) -> None:
    left = sa.select(intermediate_keys).where(~_LIVE, intermediate_keys.c.gone_at_us.is_(None))
    with database.reading() as connection:
        former = connection.execute(left).all()
    for row in former:
        gone_at = provider.destroy(row.provider_key)
        with database.writing() as connection:
            this = sa.update(intermediate_keys).where(intermediate_keys.c.version == row.version)
            connection.execute(this.values(gone_at_us=to_us(gone_at)))
