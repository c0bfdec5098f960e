"""The memory twin."""

from __future__ import annotations

import pytest

from journeymesh.stores import memory
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import Store

from .figure_suite import FigureSuite
from .journey_store_suite import JourneyStoreSuite


def _fail(*_: object) -> None:
    raise RuntimeError("injected")


class TestMemoryStore(FigureSuite, JourneyStoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        store = MemoryStore.connect("memory://")
        store.migrate()
        return store

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory._MemoryRows, "advance", _fail)
