"""A copy of a store's vehicles that follows its change feed, as a backfill or a live sync keeps one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store
from tests.support.records import DAY, NOON


def contents_of(store: Store, vehicles: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Everything that the store says of these vehicles."""
    names = list(vehicles)
    contents: dict[str, dict[str, Any]] = {name: {"journeys": [], "refusals": [], "fixes": []} for name in names}
    for row in store.journeys(JourneyQuery()).to_pylist() if names else ():
        if row["vehicle"] in contents:
            contents[row["vehicle"]]["journeys"].append(row)
    for key, refused in store.refusals(RefusalQuery()) if names else ():
        if refused.vehicle in contents:
            contents[refused.vehicle]["refusals"].append(key)
    for name in names:
        kept = store.fixes(name, NOON - 1000 * DAY, NOON + 1000 * DAY)
        contents[name]["fixes"] = list(zip(kept.fixed_at_us.tolist(), kept.lat_deg.tolist(), strict=True))
    return contents


class Follower:
    """Copies whatever the feed names, from where it stopped last."""

    def __init__(self) -> None:
        self.position: str | None = None
        self.copied: dict[str, dict[str, Any]] = {}

    def follow(self, store: Store, limit: int = 1000) -> None:
        """Read the feed to its present end."""
        while True:
            page = store.changes(self.position, limit)
            self.copied |= contents_of(store, page.vehicles)
            self.position = page.position
            if page.complete:
                return

    def differences(self, store: Store) -> list[str]:
        """Vehicles whose copy is not what the store says."""
        held = contents_of(store, {*self.copied, *store.vehicles_after(None, 1_000_000)})
        return sorted(name for name, content in held.items() if self.copied.get(name) != content)
