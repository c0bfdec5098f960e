"""A slice: a set of policies that moves as one. Sets are described, not listed, so that they need no upkeep.

The phases of a slice, which side answers in each, and which phase may follow which.

    legacy ⇄ shadow ⇄ target_with_reverse_shadow ⇄ target → retired

Every step but the last can be taken back. A slice moves one step at a time, or from any phase before ``retired``
straight back to ``legacy``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
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

    @property
    def is_nobody(self) -> bool:
        """Whether it lists numbers and none is left: all of them were erased."""
        return self.numbers == ()

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
                found.append((one.name, other.name, "no condition distinguishes them"))
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


@unique
class Phase(StrEnum):
    """How far a slice has come."""

    LEGACY = "legacy"
    """The source answers; nothing is kept elsewhere."""
    SHADOW = "shadow"
    """The source answers; the target is filled, kept up and compared."""
    TARGET_WITH_REVERSE_SHADOW = "target_with_reverse_shadow"
    """The target answers; the source is asked too and compared."""
    TARGET = "target"
    """The target answers and is kept up from legacy."""
    RETIRED = "retired"
    """The target answers; the source no longer has the slice. There is no way back."""


@unique
class SideName(StrEnum):
    """One of the two sides of a slice. The source is legacy, or a store that another one replaces."""

    SOURCE = "source"
    TARGET = "target"


_ORDER: Final = tuple(Phase)
_TARGET_ANSWERS: Final = {Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED}


def following(phase: Phase) -> Phase | None:
    """The next phase; None after the last."""
    at = _ORDER.index(phase) + 1
    return _ORDER[at] if at < len(_ORDER) else None


def may_follow(before: Phase, after: Phase) -> bool:
    """Whether a slice may go from one phase to the other in one step."""
    if before is after or before is Phase.RETIRED:
        return False
    step = _ORDER.index(after) - _ORDER.index(before)
    return step == 1 or step < 0


def answering(phase: Phase, target_is_complete: bool) -> SideName:
    """The side that answers.

    A target that is not complete for the slice (its changes were lost and are being found again) does not answer
    as long as the source can.
    """
    if phase is Phase.RETIRED or (phase in _TARGET_ANSWERS and target_is_complete):
        return SideName.TARGET
    return SideName.SOURCE


def is_shadowed(phase: Phase) -> bool:
    """Whether the side that does not answer is asked too and compared."""
    return phase in (Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW)


def is_fed(phase: Phase) -> bool:
    """Whether the target is kept up from legacy."""
    return phase not in (Phase.LEGACY, Phase.RETIRED)


def needs_gates(before: Phase, after: Phase) -> bool:
    """Whether the step lets the target answer, or takes from legacy the right to: it must be proven first."""
    return _ORDER.index(after) > _ORDER.index(before) and after in _TARGET_ANSWERS
