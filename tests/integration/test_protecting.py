"""What a protected store leaves on disk, and what is left of a term whose secret was destroyed."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.ports.figure_suite import PLAIN, random_batches
from tests.ports.test_key_providers import SOFTHSM, softhsm
from tests.support.records import BEGIN, DAY, NOON, fixes, journey, journeys, policy, refusal, run

from journeymesh.errors import StoreUnavailable
from journeymesh.instants import to_us
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.derivations import SealBroken
from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.keys.port import KeyProvider, KeyStore, VehicleMonth, month_of
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.providers.pkcs11 import Pkcs11Provider
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import KeyStoreDatabase
from journeymesh.stores import protecting
from journeymesh.stores.erasing import Erasure, interval_of
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store, StoreBatch, Superseded
from journeymesh.stores.protected_kinds import INDEX, PROTECTED
from journeymesh.stores.protected_store import ProtectedStore
from journeymesh.stores.protecting import clear_rows, protect
from journeymesh.stores.sql import SqlStore

__all__ = ["softhsm"]

LAT_DEG, LON_DEG = 51.49871234, -0.17654321
_NAMES = ("VEHICLE-7731", "POLICY-5521", "DEVICE-99120", "TENANT-OF-5521", "zone/unlikely")


def _batches(tag: str) -> Iterator[StoreBatch]:
    vehicle, number, device, tenant = (f"{name}{tag}" for name in _NAMES[:4])
    whose = {"policy": number, "tenant": tenant, "start_lat_deg": LAT_DEG, "end_lon_deg": LON_DEG}
    first = journey(vehicle, **whose)
    changed = {**first, "distance_m": 77.0}
    terms = [policy(number, tenant=tenant, vehicle=vehicle, device=device)]
    yield StoreBatch(policies=terms, run=run(f"run{tag}", resume=vehicle, source=f"dump of {vehicle}"))
    kept = fixes(vehicle, NOON, NOON + timedelta(hours=30), lat_deg=LAT_DEG)
    wrong = refusal(reason="position_spike", vehicle=vehicle, fixed_at=NOON, content=vehicle, origin=f"from {vehicle}")
    yield StoreBatch(journeys=journeys(first, journey(vehicle, NOON + 40 * DAY, **whose)), fixes=kept, refusals=[wrong])
    same = [Superseded(first["journey_id"], first["journey_id"])]
    yield StoreBatch(journeys=journeys(changed), superseded=same)
    yield StoreBatch(journeys=journeys(journey(f"{vehicle}-free", policy=None, tenant=None, policy_from=None)))


def _needles(tag: str) -> dict[str, bytes]:
    vehicle, number, device, tenant = (f"{name}{tag}" for name in _NAMES[:4])
    needles = {name: name.encode() for name in (vehicle, number, device, tenant)}
    needles |= {f"id of {name}": journey(name)["journey_id"].encode() for name in (vehicle, f"{vehicle}-free")}
    needles["id of the refusal"] = refusal(reason="position_spike", origin=f"from {vehicle}").refusal_id.encode()
    for degrees in (LAT_DEG, LON_DEG):
        needles |= {f"{degrees} as text": str(degrees).encode(), f"{degrees} <": struct.pack("<d", degrees)}
        needles[f"{degrees} >"] = struct.pack(">d", degrees)
    return needles


def _found(folder: Path, tag: str) -> set[str]:
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    return {name for name, needle in _needles(tag).items() if needle in content}


def _opened(folder: Path) -> SqlStore:
    folder.mkdir(exist_ok=True)
    store = SqlStore.connect(f"sqlite:///{folder}/journeys.db")
    store.migrate()
    return store


def test_nothing_that_identifies_anybody_is_in_the_bytes_of_a_protected_store(tmp_path: Path) -> None:
    keys = MemoryKeyStore()
    with closing(_opened(tmp_path / "clear")) as clear, closing(_opened(tmp_path / "sealed")) as inner:
        protected = ProtectedStore(inner, keys)
        for batch in _batches("-a"):
            clear.write(batch)
            protected.write(batch)
        assert protected.digest() == clear.digest()
        assert (tmp_path / "sealed" / "journeys.db-wal").stat().st_size > 0
        sealed = _found(tmp_path / "sealed", "-a")
        assert sealed == set()
        assert len(_found(tmp_path / "clear", "-a")) >= 9


def _answers(store: Store) -> object:
    query = FiguresQuery("default", "term", None, "journeys", limit=100)
    figures = store.figures(query, PLAIN)
    ids = store.journeys(JourneyQuery())["journey_id"].to_pylist()
    return (
        store.digest(), store.journeys(JourneyQuery()), store.policies(), store.rules(), store.runs(),
        sorted(key for key, _ in store.refusals(RefusalQuery())), None if figures is None else figures.to_pylist(),
        [store.history(each) for each in ids], store.changes(None),
    )  # fmt: skip


@pytest.mark.parametrize("stops_after", [None, 0, 1, 3, 7])
def test_a_store_in_clear_is_protected_and_goes_on_where_the_job_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_after: int | None
) -> None:
    keys = MemoryKeyStore()
    monkeypatch.setattr(protecting, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(protecting, "_BLOCKS_AT_ONCE", 2)
    with closing(_opened(tmp_path / "store")) as inner:
        for batch in (*random_batches(5, 4), *_batches("-b")):
            inner.write(batch)
        before = _answers(inner)
        protected = ProtectedStore(inner, keys)
        with pytest.raises(StoreUnavailable, match="holds rows in clear"):
            protected.digest()
        if stops_after is not None:
            calls, convert = iter(range(1_000)), protecting._convert

            def stopped(*given: object) -> int:
                if next(calls) >= stops_after:
                    raise KeyboardInterrupt
                return convert(*given)  # type: ignore[arg-type]

            with monkeypatch.context() as patch:
                patch.setattr(protecting, "_convert", stopped)
                with pytest.raises(KeyboardInterrupt):
                    protect(inner, keys)
            with pytest.raises(StoreUnavailable, match="is being protected"):
                protected.digest()
        protect(inner, keys)
        assert not any(clear_rows(inner).values())
        with pytest.raises(StoreUnavailable, match="set sealed = true"):
            inner.write(StoreBatch())
        assert _answers(protected) == before
        assert protect(inner, keys).rows == {}


@pytest.fixture(params=["memory", "local file", "SoftHSM"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    """A key store by each kind of provider that destroys its keys for good."""
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    provider: KeyProvider = LocalFileProvider(tmp_path / "provider.keys")
    if request.param == "SoftHSM":
        provider = Pkcs11Provider(str(SOFTHSM), request.getfixturevalue("softhsm"), lambda: "1234")
    store = SqlKeyStore(KeyStoreDatabase(f"sqlite:///{tmp_path}/keys.db"), provider)
    store.migrate()
    yield store
    store.close()


def test_of_a_shredded_term_nothing_decrypts_and_all_others_read_back_whole(tmp_path: Path, keys: KeyStore) -> None:
    gone, stays = "-gone", "-stays"
    with closing(_opened(tmp_path / "store")) as inner, closing(_opened(tmp_path / "twin")) as twin:
        protected = ProtectedStore(inner, keys)
        for batch in _batches(gone):
            protected.write(replace(batch, run=None))
        for batch in _batches(stays):
            protected.write(batch)
            twin.write(batch)
    shutil.copytree(tmp_path / "store", tmp_path / "backup")
    term = PolicyTerm(f"POLICY-5521{gone}", f"TENANT-OF-5521{gone}", BEGIN)
    theirs = [each for each in keys.subjects() if each == term or f"7731{gone}" in str(each)]
    (former,) = keys.keys_of([term]).values()
    handles = {former.handle(month) for month in (None, *range(600, 720))}
    assert keys.shred(theirs) == len(theirs) == 2
    keys.begin_rotation()
    keys.finish_rotation("treatment-1")

    with closing(_opened(tmp_path / "backup")) as inner:
        everybody = list(keys.keys_of(keys.subjects()).values())
        with inner._reading() as rows:
            tried = opened = 0
            for kind in PROTECTED.values():
                if "owner" not in kind.added or not kind.sealed:
                    continue
                for row in rows.select(kind.name):
                    values = dict(zip(kind.columns, row, strict=True))
                    if values["owner"] in handles:
                        tried += 1
                        opened += sum(_opens(each, values["sealed"], kind.name, row[0]) for each in everybody)
            for token, sealed in rows.select(INDEX):
                opened += sum(_opens(each, sealed, INDEX, token) for each in (*everybody, keys.index_key()))
        print(f"shred_decrypted_values {opened} of {tried}, by {len(everybody)} living keys")
        assert tried >= 8
        assert opened == 0
        sealed = _sealed_rows(inner)
        assert everybody
        assert all(_opens_some(each, sealed) for each in everybody)
        restored = ProtectedStore(inner, keys)
        with pytest.raises(StoreUnavailable, match="former index key"):
            restored.digest()
        done = protect(inner, keys)
        assert done.unreadable >= tried
        with closing(_opened(tmp_path / "twin")) as twin:
            assert restored.digest() == twin.digest()
            assert restored.policies() == twin.policies()
            for vehicle in (f"VEHICLE-7731{stays}", f"VEHICLE-7731{gone}"):
                span = vehicle, NOON, NOON + 2 * DAY
                assert restored.fixes(*span).fixed_at_us.tolist() == twin.fixes(*span).fixed_at_us.tolist()
            ids = twin.journeys(JourneyQuery())["journey_id"].to_pylist()
            for each in ids:
                former_contents = [[entry.journey for entry in store.history(each)] for store in (restored, twin)]
                assert former_contents[0] == former_contents[1]
        assert restored.vehicles_after(None, 10) == [f"VEHICLE-7731{stays}", f"VEHICLE-7731{stays}-free"]
        assert restored.journeys(JourneyQuery(policy=term.number)).num_rows == 0


def _sealed_rows(store: SqlStore) -> list[tuple[str, str, bytes]]:
    """(kind, stored id, sealed value) of every row that has an owner."""
    with store._reading() as rows:
        kinds = [kind for kind in PROTECTED.values() if "owner" in kind.added and kind.sealed]
        return [
            (kind.name, stored_id, sealed)
            for kind in kinds
            for stored_id, sealed in rows.select(kind.name, columns=("stored_id", "sealed"))
        ]


def _opens_some(keys: object, rows: list[tuple[str, str, bytes]]) -> bool:
    return any(_opens(keys, sealed, kind, stored_id) for kind, stored_id, sealed in rows)


def _opens(keys: object, sealed: bytes, kind: str, row_id: str) -> bool:
    try:
        keys.unseal(bytes(sealed), kind=kind, stored_id=row_id)  # type: ignore[attr-defined]
    except SealBroken:
        return False
    return True


@pytest.mark.parametrize("inner", ["memory", "sqlite"])
def test_what_is_erased_is_gone_as_from_a_store_in_clear(tmp_path: Path, inner: str) -> None:
    below = MemoryStore() if inner == "memory" else _opened(tmp_path / "store")
    with closing(ProtectedStore(below, MemoryKeyStore())) as protected, closing(_opened(tmp_path / "twin")) as twin:
        for batch in (*_batches("-gone"), *_batches("-stays")):
            protected.write(batch)
            twin.write(batch)
        (term,) = twin.policies("POLICY-5521-gone")
        until = to_us(NOON + 900 * DAY)
        erasure = Erasure(term, ("VEHICLE-7731-gone",), (to_us(term.valid_from), until))
        erased = twin.erase(erasure)
        assert min(erased.journeys, erased.history, erased.refusals, erased.fixes, erased.policies) > 0
        assert protected.erase(erasure) == erased
        assert protected.digest() == twin.digest()
        assert protected.vehicles_after(None, 10) == twin.vehicles_after(None, 10)
        assert protected.changes(None) == twin.changes(None)
        with below._reading() as rows:
            assert rows.count(PROTECTED["history"].name) == 1
        assert protected.erase(erasure).is_nothing


def test_a_day_on_which_a_term_begins_is_kept_by_two_owners_and_read_as_one(tmp_path: Path) -> None:
    keys, at = MemoryKeyStore(), NOON + timedelta(hours=2)
    with closing(_opened(tmp_path / "store")) as inner, closing(_opened(tmp_path / "twin")) as twin:
        protected = ProtectedStore(inner, keys)
        kept = fixes("car-1", *(NOON + timedelta(hours=hour) for hour in range(5)))
        for store in (protected, twin):
            store.write(StoreBatch(policies=[policy(valid_from=at)]))
            store.write(StoreBatch(fixes=kept))
        with inner._reading() as rows:
            parts = list(rows.select(PROTECTED["blocks"].name, columns=("owner", "first_us", "fixes")))
        assert len({owner for owner, *_ in parts}) == 2
        assert sorted(part[1:] for part in parts) == [(to_us(NOON), 2), (to_us(at), 3)]
        assert protected.digest() == twin.digest()
        assert protected.fixes("car-1", NOON, NOON + DAY).fixed_at_us.tolist() == kept.fixed_at_us.tolist()
        (term,) = (each for each in keys.subjects() if isinstance(each, PolicyTerm))
        keys.shred([term])
        assert protected.fixes("car-1", NOON, NOON + DAY).fixed_at_us.tolist() == kept.fixed_at_us.tolist()[:2]


_CHANGE = BEGIN + 5 * DAY + timedelta(hours=7)
_LATER = [_CHANGE + timedelta(hours=5 * step) for step in range(1, 30)]


def _backdated(store: Store) -> None:
    """The former term has no end yet while its successor's fixes come."""
    store.write(StoreBatch(policies=[policy("GONE-1", vehicle="car-1")]))
    store.write(StoreBatch(fixes=fixes("car-1", BEGIN + DAY, _CHANGE - DAY / 24), refusals=_refused()))
    store.write(StoreBatch(fixes=fixes("car-1", *_LATER)))
    store.write(StoreBatch(policies=[policy("GONE-1", valid_to=_CHANGE)]))
    store.write(StoreBatch(policies=[policy("STAYS-1", valid_from=_CHANGE)]))


def _policy_comes_last(store: Store) -> None:
    """The successor's fixes come before its policy does, in a month that the former term touches."""
    store.write(StoreBatch(policies=[policy("GONE-1", valid_to=_CHANGE)]))
    store.write(StoreBatch(fixes=fixes("car-1", BEGIN + DAY, _CHANGE - DAY / 24, *_LATER), refusals=_refused()))
    store.write(StoreBatch(policies=[policy("STAYS-1", valid_from=_CHANGE)]))


def _policy_comes_within(store: Store) -> None:
    """Fixes of one day are sealed by two secrets, and a third owner has them all."""
    store.write(StoreBatch(policies=[policy("GONE-1", valid_to=_LATER[3])]))
    store.write(StoreBatch(fixes=fixes("car-1", BEGIN + DAY, *_LATER), refusals=_refused()))
    store.write(StoreBatch(policies=[policy("STAYS-1", valid_from=_CHANGE)]))
    store.write(StoreBatch(policies=[policy("GONE-1", valid_to=_CHANGE)]))


def _refused() -> list[Refusal]:
    at = (BEGIN + DAY, NOON, NOON + DAY)
    return [refusal(number, reason="position_spike", vehicle="car-1", fixed_at=each) for number, each in enumerate(at)]


@pytest.mark.parametrize("comes", [_backdated, _policy_comes_last, _policy_comes_within])
def test_what_a_term_that_goes_had_sealed_of_its_successor_outlives_its_secret(
    tmp_path: Path, keys: KeyStore, comes: Callable[[Store], None]
) -> None:
    gone = policy("GONE-1", valid_to=_CHANGE)
    with closing(_opened(tmp_path / "store")) as inner, closing(_opened(tmp_path / "twin")) as twin:
        protected = ProtectedStore(inner, keys)
        for store in (protected, twin):
            comes(store)
            store.erase(Erasure(gone, ("car-1",), interval_of(gone)))
        before = twin.digest()
        assert protected.digest() == before
        keys.shred([gone.term, VehicleMonth("car-1", month_of(to_us(BEGIN)))])
        assert protected.digest() == before
        assert len(protected.fixes("car-1", BEGIN, BEGIN + 99 * DAY)) == len(_LATER)
        assert len(list(protected.refusals(RefusalQuery()))) == 2


def test_rows_stand_in_no_order_of_vehicles_or_numbers(tmp_path: Path) -> None:
    names = [f"car-{number:02}" for number in range(40)]
    with closing(_opened(tmp_path / "sealed")) as inner:
        protected = ProtectedStore(inner, MemoryKeyStore())
        protected.write(StoreBatch(policies=[policy(f"P-{name}", vehicle=name) for name in names]))
        protected.write(StoreBatch(journeys=journeys(*(journey(name, policy=f"P-{name}") for name in names))))
        with inner._sql.reading() as connection:
            for kind in ("policies", "journeys", "figures"):
                asked = f"SELECT stored_id FROM {PROTECTED[kind].name} ORDER BY rowid"
                stand = [stored_id for (stored_id,) in connection.exec_driver_sql(asked)]
                assert len(stand) >= len(names)
                assert stand == sorted(stand), kind
