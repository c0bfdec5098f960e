"""The key store on both databases, over a provider that is counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.live_keys import LiveKeys
from journeymesh.keys.port import KeyProvider, KeyStore, KeysUnavailable, VehicleMonth
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import SCHEMA, KeyStoreDatabase, common_keys, metadata, secrets
from tests.ports.key_store_suite import MONTH, OTHERS, RENEWED, SUBJECTS, TERM, KeyStoreSuite
from tests.support.rooms_databases import database_url, differences

__all__ = ["database_url"]


class CountedProvider:
    """A provider whose calls are written down."""

    def __init__(self, inner: KeyProvider) -> None:
        self._inner, self.calls, self.url = inner, list[str](), inner.url

    def __getattr__(self, name: str) -> object:
        self.calls.append(name)
        return getattr(self._inner, name)


@pytest.fixture
def provider(tmp_path: Path) -> CountedProvider:
    return CountedProvider(LocalFileProvider(tmp_path / "provider.keys"))


def opened(url: str, provider: CountedProvider, *, kept: int = 20_000) -> SqlKeyStore:
    store = SqlKeyStore(KeyStoreDatabase(url), provider, kept=kept)  # type: ignore[arg-type]
    store.migrate()
    return store


class TestSqlKeyStore(KeyStoreSuite):
    @pytest.fixture(autouse=True)
    def _at(self, database_url: str, provider: CountedProvider) -> Iterator[None]:
        self._made: list[SqlKeyStore] = []
        self._url, self._provider = database_url, provider
        yield
        for store in self._made:
            store.close()

    def make_store(self) -> KeyStore:
        self._made.append(opened(self._url, self._provider))
        return self._made[-1]

    def test_migrations_make_the_tables(self) -> None:
        self.make_store()
        database = KeyStoreDatabase(self._url)
        database.require_schema()
        assert differences(database, SCHEMA, metadata) == []
        database.close()

    def test_another_process_has_the_same_keys(self) -> None:
        store, other = self.make_store(), self.make_store()
        made = store.ensure([(each, 660) for each in SUBJECTS])
        read = other.keys_of(SUBJECTS)
        assert {each: keys.handle(660) for each, keys in read.items()} == {
            each: keys.handle(660) for each, keys in made.items()
        }
        assert other.index_key().token("v", "1") == store.index_key().token("v", "1")
        assert other.store_key().token("v", "1") == store.store_key().token("v", "1")

    def test_another_process_sees_a_shredding_and_a_rotation_at_once(self) -> None:
        store, other = self.make_store(), self.make_store()
        handle = store.ensure([(TERM, 660), (RENEWED, 660)])[TERM].handle(660)
        assert other.by_handles([handle])
        assert list(other.keys_of([TERM])) == [TERM]
        store.shred([TERM])
        assert other.by_handles([handle]) == {}
        assert other.keys_of([TERM]) == {}
        store.begin_rotation()
        other.ensure([(OTHERS, 660)])
        assert set(other.subjects()) == {RENEWED, OTHERS}
        store.finish_rotation("t-1")
        assert set(other.keys_of([RENEWED, OTHERS])) == {RENEWED, OTHERS}
        other.ensure([(MONTH, 660)])
        assert store.months_of_vehicle("truck-7") == [MONTH]

    def test_opening_asks_the_provider_once_whatever_the_number_of_terms(self) -> None:
        many = [(PolicyTerm(f"P-{n}", "acme", datetime(2025, 1, 1, tzinfo=UTC)), 660) for n in range(2_000)]
        handles = [keys.handle(660) for keys in self.make_store().ensure(many).values()]
        self._provider.calls.clear()
        store = self.make_store()
        assert len(store.by_handles(handles)) == 2_000
        assert len(store.keys_of([subject for subject, _ in many])) == 2_000
        assert self._provider.calls == ["unwrap"]

    def test_a_rotation_asks_the_provider_a_few_times(self) -> None:
        store = self.make_store()
        store.ensure([(PolicyTerm(f"P-{n}", "acme", datetime(2025, 1, 1, tzinfo=UTC)), 660) for n in range(2_500)])
        self._provider.calls.clear()
        store.begin_rotation()
        store.finish_rotation("t-1")
        assert sorted(set(self._provider.calls)) == ["create", "destroy", "unwrap", "wrap"]
        assert len(self._provider.calls) <= 8

    def test_few_keys_are_remembered_and_all_are_found(self) -> None:
        many = [(VehicleMonth(f"v-{n}", 660), 660) for n in range(300)]
        store = opened(self._url, self._provider, kept=10)
        self._made.append(store)
        handles = {keys.handle(660): subject for subject, keys in store.ensure(many).items()}
        led = store.by_handles(handles)
        assert {handle: store.subject_of(keys) for handle, keys in led.items()} == handles
        assert len(store._by_secret) <= 10

    def test_nothing_that_identifies_stands_in_the_database(self) -> None:
        self.make_store().ensure([(each, 660) for each in SUBJECTS])
        database = KeyStoreDatabase(self._url)
        with database.reading() as connection:
            rows = [tuple(row) for row in connection.execute(sa.select(secrets))]
        database.close()
        shown = b"".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)
        assert len(rows) == len(SUBJECTS)
        assert not [word for word in (b"P-1", b"acme", b"truck", b"run-1", b"660") if word in shown]

    def test_the_keys_before_a_rotation_open_nothing_after_it(self, tmp_path: Path) -> None:
        store = self.make_store()
        store.ensure([(TERM, 660)])
        file = tmp_path / "provider.keys"
        before = file.read_bytes()
        store.begin_rotation()
        store.finish_rotation("t-1")
        assert not set(_key_ids(before)) & set(_key_ids(file.read_bytes()))
        file.write_bytes(before)
        with pytest.raises(KeysUnavailable):
            self.make_store().keys_of([TERM])

    def test_a_copy_from_within_a_rotation_gives_the_former_index_key_to_no_key_that_lives_on(self) -> None:
        store = self.make_store()
        store.ensure([(TERM, 660)])
        former = store.index_key()
        store.begin_rotation()
        database = KeyStoreDatabase(self._url)
        with database.reading() as connection:
            copied = connection.execute(sa.select(common_keys).where(common_keys.c.version == former.version)).all()
        store.finish_rotation("t-1")
        with database.reading() as connection:
            living = LiveKeys.read(connection, self._provider).ciphers  # type: ignore[arg-type]
        database.close()
        index_keys = [row for row in copied if row.kind == "index"]
        assert len(index_keys) == 1
        assert index_keys[0].intermediate not in living

    def test_one_run_at_a_time_and_the_next_when_it_has_ended(self) -> None:
        self.make_store()
        first, other = KeyStoreDatabase(self._url), KeyStoreDatabase(self._url)
        for _ in range(2):
            busy = pytest.raises(StoreUnavailable, match="another privacy run")
            with first.alone("privacy run"), busy, other.alone("privacy run"):
                pytest.fail("two runs at once")
        with other.alone("privacy run"), first.writing():
            pass
        first.close()
        other.close()

    def test_subjects_stand_in_no_order_in_which_they_were_given(self) -> None:
        many = [(PolicyTerm(f"P-{n:03}", "acme", datetime(2025, 1, 1, tzinfo=UTC)), 660) for n in range(200)]
        made = self.make_store().ensure(many)
        given = [made[subject].secret_id for subject, _ in many]
        database = KeyStoreDatabase(self._url)
        with database.reading() as connection:
            at = "rowid" if database.is_sqlite else "ctid"
            there = list(connection.execute(sa.select(secrets.c.secret_id).order_by(sa.text(at))).scalars())
        database.close()
        assert there == sorted(given)

    def test_a_key_store_whose_provider_has_lost_its_key_answers_nothing(self, tmp_path: Path) -> None:
        self.make_store().ensure([(TERM, 660)])
        (tmp_path / "provider.keys").unlink()
        store = opened(self._url, self._provider)
        self._made.append(store)
        for ask in (lambda: store.keys_of([TERM]), store.check, store.index_key, lambda: store.ensure([(TERM, 1)])):
            with pytest.raises(KeysUnavailable):
                ask()


def _key_ids(content: bytes) -> list[str]:
    import json

    return list(json.loads(content)["keys"])
