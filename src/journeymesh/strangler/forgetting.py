"""Forgetting treated terms in the control database: rows that name their policies, vehicles or devices."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from journeymesh.instants import to_us
from journeymesh.journeys.policies import END_OF_TIME_US, Policy
from journeymesh.strangler.accepted import content_of, fixes_in
from journeymesh.strangler.control import (
    Control,
    accepted_writes,
    document_index,
    mismatches,
    reconciliations,
    refused_documents,
    shadow_coverage,
)


class ControlForgetting:
    """See ``Forgetting`` of the room ``privacy``."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def forget(self, policies: Sequence[Policy]) -> int:
        """Forget what names these terms, in one transaction; returns how many rows went. Idempotent.

        Fixes that the door accepted go where a term covers them, those that wait to be delivered as well. Mismatches
        and coverage go by the policy's number, another tenant's too: they are made again by the next comparison.
        """
        numbers = sorted({policy.number for policy in policies})
        names = sorted({name for policy in policies for name in (policy.vehicle, policy.device) if name is not None})
        gone = 0
        with self._control.writing() as connection:
            for at in range(0, max(len(numbers), len(names)), _AT_ONCE):
                some_numbers, some_names = numbers[at : at + _AT_ONCE], names[at : at + _AT_ONCE]
                for column, some in (
                    (mismatches.c.policy, some_numbers),
                    (shadow_coverage.c.policy, some_numbers),
                    (refused_documents.c.vehicle, some_names),
                ):
                    gone += connection.execute(sa.delete(column.table).where(column.in_(some))).rowcount
                finished = sa.and_(reconciliations.c.resume.in_(some_names), reconciliations.c.finished_us.is_not(None))
                connection.execute(sa.update(reconciliations).where(finished).values(resume=None))
            gone += _forget_documents(connection, policies)
            gone += _forget_accepted(connection, policies, names)
        return gone


def _forget_documents(connection: sa.Connection, policies: Sequence[Policy]) -> int:
    """Those that have fixes within a term. A successor's stay: what is deleted of them in legacy has to be found."""
    gone, at = 0, document_index.c
    for policy in policies:
        since, until = _bounds(policy)
        names = [name for name in (policy.vehicle, policy.device) if name is not None]
        of_term = sa.and_(at.vehicle.in_(names), at.first_us < until, at.last_us >= since)
        gone += connection.execute(sa.delete(document_index).where(of_term)).rowcount
    return gone


def _bounds(policy: Policy) -> tuple[int, int]:
    return to_us(policy.valid_from), int(END_OF_TIME_US) if policy.valid_to is None else to_us(policy.valid_to)


def _forget_accepted(connection: sa.Connection, policies: Sequence[Policy], names: Sequence[str]) -> int:
    gone = 0
    for row in connection.execute(sa.select(accepted_writes.c.key, accepted_writes.c.content)).all():
        fixes = fixes_in(row.content)
        if not set(names) & set(fixes.vehicles):
            continue
        kept = fixes.fixed_at_us == fixes.fixed_at_us
        for policy in policies:
            since, until = _bounds(policy)
            within = (fixes.fixed_at_us >= since) & (fixes.fixed_at_us < until)
            for code, name in enumerate(fixes.vehicles):
                if name in (policy.vehicle, policy.device):
                    kept &= ~(within & (fixes.vehicle == code))
        if kept.all():
            continue
        gone += 1
        this = accepted_writes.c.key == row.key
        if kept.any():
            connection.execute(sa.update(accepted_writes).where(this).values(content=content_of(fixes.take(kept))))
        else:
            connection.execute(sa.delete(accepted_writes).where(this))
    return gone


_AT_ONCE = 500
