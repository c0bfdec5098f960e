"""The kinds of rows in which a store keeps what is sealed, and which columns stay in clear.

A protected row has a stored id made from its owner's secret, an ``owner``: the handle that leads to the owner's keys,
and a ``token`` of the key under which callers know it. A vehicle is a pseudonym that its owner gives it for a month.
What is not named here as clear is sealed together in one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from journeymesh.journeys.fields import SORTS
from journeymesh.stores.rows import COLUMNS

_HIDDEN_OF_JOURNEYS: Final = (
    "journey_id", "vehicle", "policy", "tenant", "product", "policy_from_us", "zone", "start_lat_deg",
    "start_lon_deg", "end_lat_deg", "end_lon_deg", "harsh_events",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProtectedKind:
    """How rows of a kind are kept.

    - ``clear``: columns that have the same name and value in both
    - ``derived``: columns that follow from the owner of a row, where its owner is a term
    - ``sealed``: columns that are sealed together, in this order; ``derived`` ones as well where they do not follow
    - ``added``: what a protected row has besides, before its clear columns
    - ``id``: the column that identifies it
    """

    name: str
    clear: tuple[str, ...]
    derived: tuple[str, ...]
    sealed: tuple[str, ...]
    added: tuple[str, ...] = ("stored_id", "token", "owner")

    @property
    def columns(self) -> tuple[str, ...]:
        """In the order of a row's values."""
        return (*self.added, *self.clear, *(("sealed",) if self.sealed else ()))

    @property
    def id(self) -> str:
        """The column by which a row is identified."""
        return self.added[0] if self.added else self.clear[0]


_POLICY_OF_JOURNEY: Final = ("policy", "tenant", "policy_from_us")

PROTECTED: Final = {
    "journeys": ProtectedKind(
        "protected_journeys",
        tuple(name for name in COLUMNS if name not in _HIDDEN_OF_JOURNEYS),
        _POLICY_OF_JOURNEY,
        tuple(name for name in _HIDDEN_OF_JOURNEYS if name not in _POLICY_OF_JOURNEY),
        ("stored_id", "token", "owner", "attributed", "vehicle", "tenant", "product"),
    ),
    "history": ProtectedKind(
        "protected_history", ("superseded_at_us", "position", "latest"), (),
        ("entry_id", "journey_id", "successor_id", "content"),
    ),
    "refusals": ProtectedKind(
        "protected_refusals", ("reason", "fixed_at_us"), (),
        ("refusal_id", "vehicle", "lat_deg", "lon_deg", "origin", "detail", "content"),
        ("stored_id", "token", "owner", "vehicle"),
    ),
    "policies": ProtectedKind(
        "protected_policies", (), ("number", "tenant", "valid_from_us"),
        ("valid_to_us", "zone", "device", "vehicle", "product", "status", "declared_annual_distance_m"),
        ("stored_id", "owner"),
    ),
    "runs": ProtectedKind(
        "protected_runs", ("run_id", "rules_version", "started_at_us", "finished_at_us", "counts"), (),
        ("source", "resume"), (),
    ),
    "blocks": ProtectedKind(
        "protected_blocks", ("day", "first_us", "last_us", "fixes"), (), ("vehicle", "content"),
        ("stored_id", "token", "owner", "vehicle"),
    ),
    "changes": ProtectedKind("protected_changes", ("position",), (), (), ("token",)),
    "figures": ProtectedKind(
        "protected_figures", ("period", *SORTS), ("number", "tenant", "valid_from_us"), ("content",),
        ("stored_id", "owner", "tenant"),
    ),
}  # fmt: skip
"""By kind in clear. Rules of journeys are no personal data and stay as they are."""
INDEX: Final = "protected_index"
"""By token of a number or a vehicle: its name and where it is, sealed by the index key."""
STATE: Final = "protected_state"
"""By which keys a store is protected."""
