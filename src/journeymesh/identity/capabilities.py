"""One table of capabilities. The examples, Cedar's schema and the reference are generated from it (`make reference`).

Providers are asked about these and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from journeymesh.identity.identity import PLATFORM

JOURNEYS: Final = "journeys"
"""The id of the data product of journeys and summaries."""


@dataclass(frozen=True, slots=True)
class Capability:
    """A thing one may do with a product, ``journeys:read``.

    ``personal``: what it gives out or takes in is personal data, so that a purpose has to be named and approved.
    ``roles`` of the realm in deploy/keycloak and ``people`` of the example access file have it: names, by spaces.
    """

    name: str
    product: str
    personal: bool
    meaning: str
    roles: str = ""
    people: str = ""

    @property
    def resource(self) -> str:
        """What it is done to: ``journeys`` of ``journeys:read``."""
        return self.name.partition(":")[0]

    @property
    def verb(self) -> str:
        """What is done: ``read`` of ``journeys:read``."""
        return self.name.partition(":")[2]


CAPABILITIES: Final = (
    Capability("product:read", JOURNEYS, False, "see the product: contract, freshness, quality",
        roles="analyst investigator ingest approver auditor operator", people="analyst claims-handler privacy-officer"),
    Capability("journeys:read", JOURNEYS, True, "read a policy's journeys",
        roles="analyst investigator", people="analyst claims-handler"),
    Capability("summaries:read", JOURNEYS, True, "read a policy's summaries",
        roles="analyst investigator", people="analyst claims-handler"),
    Capability("tracks:read", JOURNEYS, True, "read where a journey went, fix by fix",
        roles="investigator", people="claims-handler"),
    Capability("journeys:export", JOURNEYS, True, "take a policy's journeys away as Arrow, Parquet or CSV",
        roles="investigator", people="analyst"),
    Capability("fixes:write", JOURNEYS, True, "hand in fixes",
        roles="ingest", people="recorder-gateway"),
    Capability("purposes:read", PLATFORM, False, "see the purposes that data can be used for",
        roles="analyst investigator approver auditor", people="analyst claims-handler privacy-officer"),
    Capability("approvals:read", PLATFORM, False, "see who was approved for which purpose",
        roles="analyst investigator approver auditor",
        people="analyst claims-handler recorder-gateway privacy-officer"),
    Capability("approvals:request", PLATFORM, False, "ask for the approval of a purpose on a product",
        roles="analyst investigator", people="analyst claims-handler recorder-gateway"),
    Capability("approvals:decide", PLATFORM, False, "approve, reject or revoke, where the contract names one approver",
        roles="approver", people="privacy-officer"),
    Capability("decisions:make", PLATFORM, False, "ask for decisions about others, as a service or gateway does",
        roles="gateway"),
    Capability("decisions:explain", PLATFORM, False, "read why a decision was made",
        roles="auditor operator", people="privacy-officer"),
    Capability("audit:read", PLATFORM, False, "query the audit, as far as it is about one's own tenant",
        roles="auditor", people="privacy-officer"),
    Capability("audit:operate", PLATFORM, False, "checkpoint and verify the audit of all tenants, as its operator",
        roles="operator", people="operator"),
    Capability("providers:read", PLATFORM, False, "see the identity providers and their state",
        roles="operator", people="privacy-officer operator"),
)  # fmt: skip

BY_NAME: Final = {(capability.product, capability.name): capability for capability in CAPABILITIES}


def capability(product: str, name: str) -> Capability | None:
    """The capability of this product with this name; None: there is none, so nobody has it."""
    return BY_NAME.get((product, name))


def of_product(product: str) -> tuple[Capability, ...]:
    """The product's capabilities."""
    return tuple(each for each in CAPABILITIES if each.product == product)
