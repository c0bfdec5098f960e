"""What a viewer may do, for which purposes, and why not: from what identityapi offers them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from journeymesh.wire.identity import Me, OfferGiven, Offers, PurposeGiven, Reason

WHY: Final = {
    Reason.CAPABILITY_MISSING: "You do not have this capability.",
    Reason.APPROVAL_MISSING: "No domain of yours has a live approval of this purpose.",
    Reason.POLICY_FORBIDS: "An access policy forbids it for this purpose.",
    Reason.PURPOSE_MISSING: "It needs a purpose, and none was named.",
    Reason.PURPOSE_UNKNOWN: "The product's contract does not allow this purpose.",
    Reason.FAULT: "It could not be decided. Try again.",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not offered, and what would change that.

    ``purpose``: None where it is about none. ``requests``: the purposes whose approval would help and which the viewer
    may request, by id with what people call them. ``ask``: whom to ask.
    """

    capability: str
    purpose: str | None
    why: str
    ask: str
    requests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks, and what they are offered. ``purposes``: all that there are, by id; empty where they may see none."""

    me: Me
    journeys: Offers
    platform: Offers
    purposes: dict[str, PurposeGiven]

    @property
    def state(self) -> str:
        """A name of all that is offered."""
        return state_of(self.journeys, self.platform)

    def may(self, capability: str, purpose: str | None = None) -> bool:
        """Whether this would be accepted now; ``purpose`` None: for any."""
        return any(
            each.allowed and each.capability == capability and purpose in (None, each.purpose) for each in self._all()
        )

    def offers_of(self, capability: str) -> list[OfferGiven]:
        """The offers of a capability that would be accepted."""
        return [each for each in self._all() if each.capability == capability and each.allowed]

    def purposes_in_use(self) -> list[str]:
        """The purposes for which anything of the product may be read, in the contract's order."""
        allowed = [each.purpose for each in self.journeys.items if each.allowed and each.purpose is not None]
        return list(dict.fromkeys(allowed))

    def chosen(self, purpose: str | None) -> str | None:
        """The purpose to ask for: the one that was named, or the first that may be used; None: there is none."""
        in_use = self.purposes_in_use()
        return purpose or (in_use[0] if in_use else None)

    def title(self, purpose: str | None) -> str:
        """What people call a purpose."""
        known = self.purposes.get(purpose or "")
        return known.title if known else purpose or "no purpose"

    def requestable(self) -> list[str]:
        """The purposes that the contract allows and that are not approved for the viewer yet."""
        named = dict.fromkeys(each.purpose for each in self.journeys.items if each.purpose is not None)
        in_use = self.purposes_in_use()
        return [each for each in named or self.purposes if each not in in_use]

    def approvers(self) -> list[str]:
        """Who approves the product's purposes."""
        return [approver_in_words(each) for each in self.journeys.approvers]

    def refusal(self, capability: str, purpose: str | None, reason: Reason | None = None) -> Refusal:
        """Why this is not offered. ``reason``: an API's, where it was one that said no."""
        approvers = ", ".join(self.approvers()) or "the product's owner"
        found = reason or self._reason(capability, purpose)
        if found is Reason.CAPABILITY_MISSING:
            ask = f"who administers {self.me.provider}, where your account is kept"
            return Refusal(capability, None, WHY[found], ask)
        needed = found in (Reason.APPROVAL_MISSING, Reason.PURPOSE_MISSING)
        why = "No purpose is approved for you yet." if needed and purpose is None else WHY.get(found, WHY[Reason.FAULT])
        return Refusal(capability, purpose, why, approvers, self._requests(capability, purpose) if needed else ())

    def _requests(self, capability: str, purpose: str | None) -> tuple[tuple[str, str], ...]:
        """The purposes (or this one) whose approval would let the viewer do this, as far as they may request any."""
        if not self.may("approvals:request") or not self.me.domains:
            return ()
        helping = [
            each.purpose
            for each in self.journeys.items
            if each.capability == capability and each.reason is Reason.APPROVAL_MISSING and each.purpose is not None
        ]
        return tuple((each, self.title(each)) for each in helping if purpose in (None, each))

    def _reason(self, capability: str, purpose: str | None) -> Reason:
        """Why this is not offered for the purpose; for none, why it is not for any."""
        of_it = [each for each in self._all() if each.capability == capability]
        named = [each for each in of_it if each.purpose in (None, purpose)]
        if named:
            return named[0].reason
        return Reason.PURPOSE_UNKNOWN if purpose is not None and of_it else Reason.PURPOSE_MISSING

    def _all(self) -> Iterable[OfferGiven]:
        yield from self.journeys.items
        yield from self.platform.items


def state_of(journeys: Offers, platform: Offers) -> str:
    """A name that these offers have and no others."""
    return hashlib.sha256(msgspec.json.encode((journeys, platform))).hexdigest()[:16]


def approver_in_words(approver: str) -> str:
    """``domain:privacy`` as people say it."""
    kind, _, name = approver.partition(":")
    return f"the {name} domain" if kind == "domain" else f"{name} (at {kind})"


def flat(purposes: Iterable[PurposeGiven]) -> dict[str, PurposeGiven]:
    """A tree of purposes by id."""
    found: dict[str, PurposeGiven] = {}
    for each in purposes:
        found[each.id] = each
        found |= flat(each.narrower)
    return found
