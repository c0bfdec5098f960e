from __future__ import annotations

from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.keys.port import KeyStore
from tests.ports.key_store_suite import KeyStoreSuite


class TestMemoryKeyStore(KeyStoreSuite):
    def make_store(self) -> KeyStore:
        return MemoryKeyStore()
