"""What must be done to data before it leaves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

from journeymesh.governance.derivations import covered
from journeymesh.journeys.policies import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPredicate:
    """Which insurance policies' rows may leave; None: whatever the value."""

    tenants: frozenset[str] | None = None
    products: frozenset[str] | None = None
    statuses: frozenset[str] | None = None

    def admits(self, policy: Policy) -> bool:
        """Whether rows of this policy may leave."""
        return (
            (self.tenants is None or policy.tenant in self.tenants)
            and (self.products is None or policy.product in self.products)
            and (self.statuses is None or policy.status in self.statuses)
        )


@dataclass(frozen=True, kw_only=True)
class Obligations:
    """What must be done to data before it leaves.

    - ``rows``: which policies' rows may leave
    - ``mask``: names of fields whose values do not leave; ``hidden`` has them and what they could be derived from
    - ``minimum_group_size``: answers about fewer policies than these do not leave; 1: a single policy's may
    - ``retention_days``: what began longer ago does not leave; None: however old
    """

    rows: RowPredicate = RowPredicate()
    mask: frozenset[str] = frozenset()
    minimum_group_size: int = 1
    retention_days: int | None = None

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The fields that are null in the answer: the masked ones, and those that would tell of them."""
        return covered(self.mask)

    @cached_property
    def digest(self) -> str:
        """Equal obligations, equal digest: a part of every ETag, so that none outlives the obligations it met."""
        parts: list[object] = [sorted(self.hidden), self.minimum_group_size, self.retention_days]
        for field in fields(self.rows):
            held = getattr(self.rows, field.name)
            parts.append(None if held is None else sorted(held))
        return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)  # which is made once: they are looked up in every request


NO_OBLIGATIONS: Final = Obligations()
"""All may leave as it is."""
