"""The static provider as an identity provider."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from journeymesh.identity.identity import IdentityProvider
from journeymesh.identity.static import StaticProvider, StaticSettings, create_key
from tests.ports.identity_provider_suite import ANALYST, INGEST, IdentityProviderSuite


def person(domains: list[str], capabilities: dict[str, set[str]]) -> dict[str, object]:
    return {
        "tenant": "northgate",
        "domains": domains,
        "capabilities": {product: sorted(names) for product, names in capabilities.items()},
    }


class StaticWorld:
    """People in a file, and a key beside it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "people.yaml"
        self.key = folder / "key.pem"
        self.people = {
            "analyst": person(["pricing"], ANALYST),
            "ingest": person(["telematics"], INGEST),
            "guest": person([], {}),
        }
        self.write()
        create_key(self.key)
        self.provider: IdentityProvider = self.opened()

    def opened(self) -> StaticProvider:
        return StaticProvider("static", StaticSettings(people=self.file, key=self.key))

    def write(self) -> None:
        self.file.write_text(yaml.safe_dump({"people": self.people}))

    def token(self, name: str) -> str:
        return self.opened().mint(name)

    def token_for_others(self, name: str) -> str:
        return self.opened().mint(name, audience="somebody-else")

    def take_capabilities(self, name: str) -> None:
        self.people[name]["capabilities"] = {}
        self.write()

    def revoke(self, name: str) -> None:
        del self.people[name]
        self.write()

    def unreachable(self) -> IdentityProvider:
        cut_off = self.opened()
        self.file.unlink()
        return cut_off


class TestStaticProvider(IdentityProviderSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> StaticWorld:
        return StaticWorld(tmp_path)
