"""What identityapi gives of the audit, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from journeymesh.ledger.checkpoints import Checkpoint
from journeymesh.ledger.port import AuditRecord
from journeymesh.ledger.verification import Verification
from journeymesh.services.identityapi.answers import instant_of


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A record of one writer's chain. ``previous`` and ``digest`` are hexadecimal."""

    writer: str
    number: int
    at: datetime
    kind: str
    key: str | None
    body: dict[str, Any]
    previous: str
    digest: str

    @classmethod
    def of(cls, held: AuditRecord) -> AuditEntry:
        """The record."""
        return cls(
            writer=held.writer, number=held.number, at=instant_of(held.at_us), kind=held.kind, key=held.key,
            body=dict(held.body), previous=held.previous.hex(), digest=held.digest.hex(),
        )  # fmt: skip


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records by instant. ``next``: the cursor of the page behind them; null: that was all."""

    items: list[AuditEntry]
    next: str | None


class HeadGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of a chain."""

    writer: str
    number: int
    digest: str


class CheckpointGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The signed heads of all chains, kept elsewhere under ``name``."""

    name: str
    at: datetime
    heads: list[HeadGiven]

    @classmethod
    def of(cls, held: Checkpoint) -> CheckpointGiven:
        """The checkpoint."""
        return cls(
            name=held.name,
            at=instant_of(held.at_us),
            heads=[HeadGiven(writer=each.writer, number=each.number, digest=each.digest.hex()) for each in held.heads],
        )


class FindingGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written, in records ``number`` to ``last_number`` of a writer's chain."""

    writer: str
    number: int
    last_number: int
    what: str


class VerificationGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. ``unsigned``: records that no checkpoint covers yet."""

    holds: bool
    records: int
    chains: int
    checkpoints: int
    unsigned: int
    findings: list[FindingGiven]

    @classmethod
    def of(cls, held: Verification) -> VerificationGiven:
        """The verification; each chain's first bad record is named."""
        return cls(
            holds=held.holds, records=held.records, chains=held.chains, checkpoints=held.checkpoints,
            unsigned=held.unsigned,
            findings=[
                FindingGiven(writer=each.writer, number=each.number, last_number=each.last_number, what=each.what)
                for each in held.findings
            ],
        )  # fmt: skip
