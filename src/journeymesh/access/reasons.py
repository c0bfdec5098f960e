"""What each reason of a decision means and what to do about it, once for answers, explanations and the reference."""

from __future__ import annotations

from typing import Final, NamedTuple

from journeymesh.access.decision import Reason


class Told(NamedTuple):
    """A reason in words: ``what`` it means, ``todo`` for whoever asked."""

    what: str
    todo: str


REASONS: Final = {
    Reason.ALLOWED: Told("every guard let it pass", "meet the obligations, then answer"),
    Reason.TOKEN_MISSING: Told("no token came with the request", "send one: Authorization: Bearer …"),
    Reason.TOKEN_REFUSED: Told(
        "the token is malformed, expired, withdrawn, of an unknown issuer, or its signature does not hold",
        "ask the identity provider for a new token",
    ),
    Reason.CAPABILITY_UNKNOWN: Told(
        "the product has no capability of that name, so nobody has it", "use one that the product lists"
    ),
    Reason.CAPABILITY_MISSING: Told(
        "the identity's provider does not say that it has the capability",
        "have the capability given by those who keep the identity provider",
    ),
    Reason.PURPOSE_MISSING: Told(
        "personal data was asked for without saying why", "name the purpose in the Data-Purpose header"
    ),
    Reason.PURPOSE_UNKNOWN: Told(
        "the purpose is not in the catalogue, or the product's contract does not admit it",
        "name one of the purposes that the contract admits",
    ),
    Reason.APPROVAL_MISSING: Told(
        "no approval in force covers this purpose, on this major version of the product, for one of the identity's "
        "domains",
        "request the approval of the purpose, or wait for its owner to decide",
    ),
    Reason.POLICY_FORBIDS: Told(
        "a Cedar policy forbids it, or none permits it", "the determining policies say which; ask those who keep them"
    ),
    Reason.FAULT: Told("something that the decision needs does not work, and any fault denies", "try again later"),
}
"""Every reason, in the order in which they are looked for."""
