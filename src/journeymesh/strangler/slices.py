"""A slice: a set of policies that moves as one. Sets are described, not listed, so that they need no upkeep."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import msgspec

from journeymesh.journeys.policies import Policy

HASH_STEPS: Final = 10_000
"""A policy number's hash falls on one of so many steps, so that a percentage has two decimals."""


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Which policies: those that meet every condition given. No condition means every policy.

    ``hash_percent`` is a half-open range of [0, 100) over a hash of the policy's number: ``[0, 10]`` is a tenth of
    the policies, and stays the same tenth.
    """

    tenant: str | None = None
    product: str | None = None
    hash_percent: tuple[float, float] | None = None
    numbers: tuple[str, ...] | None = None

    def holds(self, policy: Policy) -> bool:
        """Whether the policy is one of them."""
        if self.tenant is not None and policy.tenant != self.tenant:
            return False
        if self.product is not None and policy.product != self.product:
            return False
        if self.numbers is not None and policy.number not in self.numbers:
            return False
        if self.hash_percent is not None:
            low, high = self.hash_percent
            return low <= percent_of(policy.number) < high
        return True

    def fault(self) -> str | None:
        """What is wrong with the description itself."""
        if self.numbers is not None and not self.numbers:
            return "numbers is empty"
        if self.numbers is not None and len(set(self.numbers)) != len(self.numbers):
            return "numbers names a policy twice"
        if self.hash_percent is not None:
            low, high = self.hash_percent
            if not 0 <= low < high <= 100:
                return f"hash_percent [{low:g}, {high:g}] is not a range within 0 and 100"
        return None

    @property
    def digest(self) -> str:
        """Equal descriptions give equal digests."""
        return hashlib.blake2b(msgspec.json.encode(self, order="sorted"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Slice:
    """A named set of policies."""

    name: str
    selector: Selector


def percent_of(number: str) -> float:
    """Where the policy's number falls in [0, 100): the same on every machine, for ever."""
    step = int.from_bytes(hashlib.blake2b(number.encode(), digest_size=8).digest(), "big") % HASH_STEPS
    return step * 100 / HASH_STEPS


def overlaps(slices: Sequence[Slice], policies: Iterable[Policy]) -> list[tuple[str, str, str]]:
    """Pairs of slices that share a policy, each with what they share.

    Two slices described without a list overlap where no condition tells them apart, whether or not such a policy
    exists today; a list is checked against the policies there are.
    """
    listed = {number for each in slices for number in each.selector.numbers or ()}
    known = [policy for policy in policies if policy.number in listed]
    found = []
    for one, other in combinations(slices, 2):
        if one.selector.numbers is None and other.selector.numbers is None:
            if not _told_apart(one.selector, other.selector):
                found.append((one.name, other.name, "no condition tells them apart"))
            continue
        shared = [p.number for p in known if one.selector.holds(p) and other.selector.holds(p)]
        if shared:
            found.append((one.name, other.name, f"policy {shared[0]} is in both"))
    return found


def slice_of(policy: Policy, slices: Iterable[Slice]) -> list[Slice]:
    """The slices that hold the policy: none or one, unless the plan has been outrun by the policies."""
    return [each for each in slices if each.selector.holds(policy)]


def _told_apart(one: Selector, other: Selector) -> bool:
    for name in ("tenant", "product"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine is not None and theirs is not None and mine != theirs:
            return True
    if one.hash_percent is not None and other.hash_percent is not None:
        return one.hash_percent[1] <= other.hash_percent[0] or other.hash_percent[1] <= one.hash_percent[0]
    return False
