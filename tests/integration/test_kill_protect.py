"""kill -9 at any point of sealing a store loses nothing: run again, the store is as it was, and nothing is in clear."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.test_kill_store import in_child
from tests.ports.figure_suite import random_batches
from tests.support.proving import times
from tests.support.records import NOON, fixes, refusal

from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import KeyStoreDatabase
from journeymesh.stores import protecting
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.protected_store import ProtectedStore
from journeymesh.stores.protecting import clear_rows, protect
from journeymesh.stores.sql import SqlStore

KILLS = times(50, 4)


def _store(folder: Path) -> SqlStore:
    return SqlStore.connect(f"sqlite:///{folder}/journeys.db")


def _keys(folder: Path) -> SqlKeyStore:
    return SqlKeyStore(KeyStoreDatabase(f"sqlite:///{folder}/keys.db"), LocalFileProvider(folder / "provider.keys"))


def _protect(folder: Path) -> None:
    with closing(_store(folder)) as inner, closing(_keys(folder)) as keys:
        protect(inner, keys)


def test_a_store_whose_sealing_is_killed_anywhere_is_sealed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protecting, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(protecting, "_BLOCKS_AT_ONCE", 1)
    clear, at_work, chance = tmp_path / "clear", tmp_path / "work", random.Random(16)
    clear.mkdir()
    with closing(_store(clear)) as store, closing(_keys(clear)) as keys:
        store.migrate()
        keys.migrate()
        for batch in random_batches(5, 4):
            store.write(batch)
        kept = fixes("car-9", *(NOON + day * (NOON - NOON.replace(hour=0)) for day in range(6)))
        store.write(StoreBatch(fixes=kept, refusals=[refusal(each) for each in range(9)]))
        before = store.digest()
    shutil.copytree(clear, at_work)
    began_s = time.monotonic()
    assert in_child(lambda: _protect(at_work))
    whole_s, killed = time.monotonic() - began_s, 0
    for _ in range(KILLS):
        shutil.rmtree(at_work)
        shutil.copytree(clear, at_work)
        while not in_child(lambda: _protect(at_work), kill_after_s=chance.uniform(0.02, 1.2) * whole_s):
            killed += 1
        with closing(_store(at_work)) as inner, closing(_keys(at_work)) as keys:
            assert not any(clear_rows(inner).values())
            assert ProtectedStore(inner, keys).digest() == before
    print(f"killed {killed} times in {KILLS} rounds")
    assert killed
