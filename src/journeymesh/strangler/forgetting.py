"""Forgetting erased terms in the control database: rows and texts that name their policies, vehicles or devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import sqlalchemy as sa

from journeymesh.instants import to_us
from journeymesh.journeys.policies import END_OF_TIME_US, Policy
from journeymesh.strangler.accepted import content_of, fixes_in
from journeymesh.strangler.control import (
    Control,
    accepted_writes,
    backfills,
    bump,
    document_index,
    feeds,
    history,
    mismatches,
    opinions,
    pending_moves,
    reconciliations,
    refused_documents,
    routes,
    shadow_coverage,
)
from journeymesh.strangler.slices import Selector

ERASED: Final = "[erased]"
"""What stands in a text in place of a name."""
_AT_ONCE: Final = 500
_TEXTS: Final = (
    history.c.why, history.c.detail, routes.c.detail, pending_moves.c.why, feeds.c.fault, backfills.c.detail,
    mismatches.c.reason,
)  # fmt: skip
"""What people and programs wrote in words, which may have a name in it."""


@dataclass(frozen=True, slots=True)
class ControlForgetting:
    """See ``Forgetting`` of the room ``privacy``. ``policies`` are those that stores have, the erased ones among them:
    a number that another of them uses stays in selectors."""

    control: Control
    policies: Callable[[], Iterable[Policy]] = tuple

    def forget(self, policies: Sequence[Policy]) -> int:
        """Forget what names these terms, in one transaction; returns how many rows went or changed. Idempotent.

        Fixes that the door accepted go where a term covers them, those that wait to be delivered as well. Mismatches
        and coverage go by the policy's number, another tenant's too: they are made again by the next comparison.
        """
        numbers = {policy.number for policy in policies}
        names = {name for policy in policies for name in (policy.vehicle, policy.device) if name is not None}
        erased = {policy.term for policy in policies}
        used = [policy for policy in self.policies() if policy.term not in erased]
        with self.control.writing() as connection:
            gone = _forget_comparisons(connection, numbers, names)
            gone += _forget_texts(connection, numbers | names)
            gone += _forget_selected(connection, policies, used)
            gone += _forget_documents(connection, policies)
            return gone + _forget_accepted(connection, policies, names)


def _forget_comparisons(connection: sa.Connection, numbers: set[str], names: set[str]) -> int:
    """Mismatches, coverage, refused documents, and where comparisons were to go on: those begin anew."""
    word, at = _words(numbers | names), mismatches.c
    causes = [
        row.cause
        for row in connection.execute(sa.select(at.cause, at.policy, at.subject, at.source_value, at.target_value))
        if _number_in(row.policy) in numbers
        or row.policy in names
        or word.search(row.subject)
        or any(value is not None and _quotes(value, word) for value in (row.source_value, row.target_value))
    ]
    covered = [
        policy
        for policy in connection.execute(sa.select(shadow_coverage.c.policy).distinct()).scalars()
        if _number_in(policy) in numbers or policy in names
    ]
    gone = 0
    for column, values in (
        (at.cause, causes),
        (shadow_coverage.c.policy, covered),
        (refused_documents.c.vehicle, names),
    ):
        for some in _chunks(values):
            gone += connection.execute(sa.delete(column.table).where(column.in_(some))).rowcount
    for some in _chunks(names):
        of_names = reconciliations.c.resume.in_(some)
        gone += connection.execute(sa.update(reconciliations).where(of_names).values(resume=None)).rowcount
    return gone


def _forget_texts(connection: sa.Connection, names: Collection[str]) -> int:
    word, gone = _words(names), 0
    for column in _TEXTS:
        for text in connection.execute(sa.select(column).where(column.is_not(None)).distinct()).scalars().all():
            without = word.sub(ERASED, text)
            if without != text:
                changed = sa.update(column.table).where(column == text).values({column.name: without})
                gone += connection.execute(changed).rowcount
    return gone


def _forget_selected(connection: sa.Connection, policies: Sequence[Policy], used: Sequence[Policy]) -> int:
    """Take the numbers out of selectors that list them, as whoever writes the plan has to. Opinions stay in force.

    A number stays where a policy of ``used`` has it, or where the selector is another tenant's.
    """
    gone = 0
    for row in connection.execute(sa.select(routes.c.slice, routes.c.selector)).all():
        selector = msgspec.json.decode(row.selector, type=Selector)
        going = _numbers_of(selector, policies) - _numbers_of(selector, used)
        left = tuple(number for number in selector.numbers or () if number not in going)
        if len(left) == len(selector.numbers or ()):
            continue
        after = msgspec.structs.replace(selector, numbers=left)
        content = msgspec.json.encode(after, order="sorted").decode()
        connection.execute(sa.update(routes).where(routes.c.slice == row.slice).values(selector=content))
        same = sa.and_(opinions.c.slice == row.slice, opinions.c.selector == selector.digest)
        connection.execute(sa.update(opinions).where(same).values(selector=after.digest))
        gone += 1
    if gone:
        bump(connection)
    return gone


def _numbers_of(selector: Selector, policies: Iterable[Policy]) -> set[str]:
    return {policy.number for policy in policies if selector.tenant in (None, policy.tenant)}


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


def _forget_accepted(connection: sa.Connection, policies: Sequence[Policy], names: Collection[str]) -> int:
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


def _words(names: Collection[str]) -> re.Pattern[str]:
    """Finds one of the names where no letter or digit adjoins it; the longest of those that begin alike."""
    any_of = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(f"(?<![0-9A-Za-z])(?:{any_of})(?![0-9A-Za-z])")


def _quotes(value: str, word: re.Pattern[str]) -> bool:
    """Whether a compared value, as JSON, has one of the names as a text: a number alone may be a measure."""
    return any(value[found.start() - 1 : found.start()] == '"' for found in word.finditer(value))


def _number_in(policy: str) -> str:
    """The number in a name that comparisons are recorded by; see ``recorded_name``."""
    return policy.partition(" of ")[0]


def _chunks(values: Collection[str]) -> list[list[str]]:
    ordered = sorted(values)
    return [ordered[at : at + _AT_ONCE] for at in range(0, len(ordered), _AT_ONCE)]
