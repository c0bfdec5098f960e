"""A copy of a store's vehicles that follows its change feed, as a backfill or a live sync keeps one."""

from __future__ import annotations

from typing import Any

from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store
from tests.ports.records import DAY, NOON


def content_of(store: Store, vehicle: str) -> dict[str, Any]:
    """Everything that the store says of a vehicle."""
    kept = store.fixes(vehicle, NOON - 1000 * DAY, NOON + 1000 * DAY)
    return {
        "journeys": store.journeys(JourneyQuery(vehicle=vehicle)).to_pylist(),
        "refusals": sorted(key for key, _ in store.refusals(RefusalQuery(vehicle=vehicle))),
        "fixes": list(zip(kept.fixed_at_us.tolist(), kept.lat_deg.tolist(), strict=True)),
    }


class Follower:
    """Copies whatever the feed names, from where it stopped last."""

    def __init__(self) -> None:
        self.position: str | None = None
        self.copied: dict[str, dict[str, Any]] = {}

    def follow(self, store: Store, limit: int = 1000) -> None:
        """Read the feed to its present end."""
        while True:
            page = store.changes(self.position, limit)
            for vehicle in page.vehicles:
                self.copied[vehicle] = content_of(store, vehicle)
            self.position = page.position
            if page.complete:
                return

    def differences(self, store: Store) -> list[str]:
        """Vehicles whose copy is not what the store says."""
        names = {*self.copied, *store.vehicles_after(None, 1_000_000)}
        return sorted(name for name in names if self.copied.get(name) != content_of(store, name))
