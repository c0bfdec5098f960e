"""What each reason of a decision means and what to do about it, once for answers, explanations and the reference."""

from __future__ import annotations

from typing import Final, NamedTuple

from journeymesh.wire.identity import Reason


class ReasonText(NamedTuple):
    """A reason in words: ``what`` it means, ``todo`` for whoever asked."""

    what: str
    todo: str


REASONS: Final = {
    Reason.ALLOWED: ReasonText("every guard let it pass", "meet the obligations, then answer"),
    Reason.TOKEN_MISSING: ReasonText("no token came with the request", "send one: Authorization: Bearer …"),
    Reason.TOKEN_REFUSED: ReasonText(
        "the token is malformed, expired, withdrawn, of an unknown issuer, or its signature does not hold",
        "ask the identity provider for a new token",
    ),
    Reason.CAPABILITY_UNKNOWN: ReasonText(
        "the product has no capability of that name", "use one that the product lists"
    ),
    Reason.CAPABILITY_MISSING: ReasonText(
        "the identity does not have the capability",
        "ask whoever runs the identity provider for the capability",
    ),
    Reason.PURPOSE_MISSING: ReasonText(
        "personal data was requested without a purpose", "name the purpose in the Data-Purpose header"
    ),
    Reason.PURPOSE_UNKNOWN: ReasonText(
        "the purpose is not in the catalogue, or the product's contract does not admit it",
        "name one of the purposes that the contract admits",
    ),
    Reason.APPROVAL_MISSING: ReasonText(
        "no approval in force covers this purpose, on this major version of the product, for one of the identity's "
        "domains",
        "request the approval of the purpose, or wait for its owner to decide",
    ),
    Reason.POLICY_FORBIDS: ReasonText(
        "a Cedar policy forbids it, or none permits it", "the determining policies say which; ask those who keep them"
    ),
    Reason.FAULT: ReasonText("something that the decision depends on failed, so it was denied", "try again later"),
}
"""Every reason, in the order in which they are looked for."""
