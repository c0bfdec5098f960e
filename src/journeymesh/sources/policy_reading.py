"""Policies out of documents and rows, as a mapping's ``policies`` section says: one reading for every source.

One that cannot be used is refused with its reason, as a fix is, and the others are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import bson
import numpy as np
from bson.datetime_ms import DatetimeMS

from journeymesh.errors import PoliciesInvalid
from journeymesh.instants import from_us
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.policy_conflicts import without_conflicts
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.blame import paths_of_field
from journeymesh.sources.clocks import LAST_US, clock_us_at, counted_us, is_number, joined
from journeymesh.sources.conversions import Unconvertible, identifier, kind_of, number, shown
from journeymesh.sources.field_tally import FieldCount
from journeymesh.sources.mapping import ClockField, PolicyMappings, PolicyText, TextField
from journeymesh.sources.paths import reach
from journeymesh.sources.zones import iana_name

LAST_YEAR: Final = 9999
"""What ends in this year or later has no end: it is how databases without a word for it say so."""
_LATER_YEAR: Final = re.compile(r"\s*(?:\+?0*[1-9]\d{4,}|9999)-")
_TEXTS: Final = ("device", "vehicle", "zone", "tenant", "product", "status")
_SHOWN_VALUES: Final = 5
_MOST_CHARACTERS: Final = 256
"""PostgreSQL's indexes hold keys of 2.7 kB at most; a policy's has two texts."""


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """A document or row that is to be a policy, and where it is; ``key`` tells it from others where that does not."""

    held: Any
    origin: str
    content: str | None
    key: str | None = None
    untyped: bool = False
    """Its source has texts only."""

    def refused(self, reason: Reason, detail: str) -> Refusal:
        """Its refusal."""
        return Refusal(reason.code, self.origin, detail, content=self.content, input_key=self.key)


class Unreadable(Unconvertible):
    """An input that is no policy. ``reason`` says why without any of its values, ``number`` is the policy's where that
    can be read."""

    def __init__(self, detail: str, *, reason: str, number: str | None = None) -> None:
        super().__init__(detail)
        self.reason, self.number = reason, number


@dataclass(frozen=True, slots=True)
class UnusablePolicy:
    """A policy that cannot be used, for those who may know no more of it than its number.

    ``number`` None: it has none that can be read. ``refusal_id`` is what the quarantine, which has all of it, knows it
    by.
    """

    number: str | None
    reason: str
    refusal_id: str


@dataclass(frozen=True, slots=True)
class PolicyField:
    """One field of the mapping's policies over all that were read; ``first`` is where the first unreadable one is."""

    count: FieldCount
    first: str | None = None


class UsablePolicies(list[Policy]):
    """The policies that can be used, by number, and the refusals of others; ``fields``: what was found of each one.

    ``unusable`` are those that were refused, in the order of ``refusals``.
    """

    def __init__(
        self,
        policies: Iterable[Policy] = (),
        refusals: Sequence[Refusal] = (),
        fields: Sequence[PolicyField] = (),
        unusable: Sequence[UnusablePolicy] = (),
    ) -> None:
        super().__init__(policies)
        self.refusals = tuple(refusals)
        self.fields = tuple(fields)
        self.unusable = tuple(unusable)


def usable(
    inputs: Iterable[PolicyInput], read: Callable[[PolicyInput], Policy], fields: Sequence[PolicyField] = ()
) -> UsablePolicies:
    """The policies of these inputs. ``read`` raises ``PoliciesInvalid`` or ``Unconvertible`` for one that is none."""
    refused: list[tuple[Refusal, UnusablePolicy]] = []

    def refuse(one: PolicyInput, why: Reason, detail: str, reason: str, number: str | None) -> None:
        refusal = one.refused(why, detail)
        refused.append((refusal, UnusablePolicy(number, reason, refusal.refusal_id)))

    found: dict[Policy, PolicyInput] = {}
    for one in inputs:
        try:
            found.setdefault(read(one), one)
        except PoliciesInvalid as error:
            refuse(one, Reason.POLICY_UNUSABLE, error.what, error.reason, None)
        except Unreadable as error:
            refuse(one, Reason.POLICY_UNUSABLE, str(error), error.reason, error.number)
        except Unconvertible as error:
            refuse(one, Reason.POLICY_UNUSABLE, str(error), "it cannot be read", None)
    used, contradicting = without_conflicts(found)
    for policy, detail, reason in contradicting:
        refuse(found[policy], Reason.POLICY_CONTRADICTS, detail, reason, policy.number)
    used.sort(key=lambda policy: (policy.number, policy.valid_from))
    return UsablePolicies(used, [refusal for refusal, _ in refused], fields, [told for _, told in refused])


def policy_text(name: str, value: object, untyped: bool) -> str | None:
    """The text of this field of a policy; None where there is none.

    Raises:
        Unconvertible: it is none, or so long that not every store could keep the policy by it.
    """
    text = identifier(value, untyped=untyped)
    if name == "zone" and text is not None:
        return iana_name(text)
    if text is not None and len(text) > _MOST_CHARACTERS:
        raise Unconvertible(f"{shown(text)} has {len(text)} characters, {_MOST_CHARACTERS} at most")
    return text


def mapped_policies(inputs: Iterable[PolicyInput], mapping: PolicyMappings) -> UsablePolicies:
    """The policies of these documents or rows."""
    reader = _Reader(mapping)
    found = usable(inputs, reader.policy)
    found.fields = tuple(PolicyField(count, reader.first.get(count.name)) for count in reader.counts.values())
    return found


class _Reader:
    """Reads one input after the other, and counts what it finds by field."""

    def __init__(self, mapping: PolicyMappings) -> None:
        self._mapping = mapping
        named = {name: getattr(mapping, name) for name in PolicyMappings.__struct_fields__ if name != "collection"}
        self.counts = {
            name: FieldCount(f"policies.{name}", "+".join(paths_of_field(part)))
            for name, part in named.items()
            if part is not None and getattr(part, "path", "") is not None
        }
        self.first: dict[str, str] = {}

    def policy(self, one: PolicyInput) -> Policy:
        """The policy. Every field is looked at, so that each fault is counted; the first one is told."""
        if one.held is None:
            raise Unreadable("the document cannot be decoded", reason="its document cannot be decoded")
        mapping, faults = self._mapping, list[tuple[str, str]]()

        def value_of(name: str, convert: Callable[[], Any], *, optional: bool = False) -> Any:
            try:
                value = convert()
            except Unconvertible as error:
                at = "+".join(paths_of_field(getattr(mapping, name)))
                self._count(name, one, f"{at}: {error}")
                if not optional:
                    faults.append((f"{at}: {error}", f"its {name} cannot be read (field {at})"))
                return None
            self._count(name, one, None, value)
            return value

        texts = {name: value_of(name, lambda name=name: self._text(one, name)) for name in _TEXTS}  # type: ignore[misc]
        policy_number = value_of("number", lambda: self._text(one, "number"))
        valid_from = value_of("valid_from", lambda: _instant(one.held, mapping.valid_from))
        valid_to = value_of("valid_to", lambda: _end(one.held, mapping.valid_to))
        declared_m = value_of("declared_annual_distance", lambda: self._declared_m(one.held), optional=True)
        if faults:
            raise Unreadable(faults[0][0], reason=faults[0][1], number=policy_number)
        if policy_number is None:
            raise Unreadable(f"{mapping.number.path}: the policy has no number", reason="it has no number")
        if valid_from is None:
            why = f"{'+'.join(mapping.valid_from.all_paths)}: the policy has no beginning"
            raise Unreadable(why, reason="it has no beginning", number=policy_number)
        for name in _TEXTS:
            part = getattr(mapping, name)
            if texts[name] is None and part is not None:
                texts[name] = part.default
        try:
            return Policy(
                number=policy_number,
                valid_from=valid_from,
                valid_to=valid_to,
                declared_annual_distance_m=declared_m,
                **{name: text for name, text in texts.items() if text is not None},
            )
        except PoliciesInvalid as error:
            raise Unreadable(error.what, reason=error.reason, number=policy_number) from error

    def _text(self, one: PolicyInput, name: str) -> str | None:
        part: PolicyText | TextField | None = getattr(self._mapping, name)
        if part is None or part.path is None:
            return None
        return policy_text(name, _plain(reach(one.held, part.path)), one.untyped)

    def _declared_m(self, held: Any) -> float | None:
        part = self._mapping.declared_annual_distance
        value = float("nan") if part is None else number(_plain(reach(held, part.path)))
        return value * part.to_si if part is not None and value == value else None  # noqa: PLR0124 - NaN: missing

    def _count(self, name: str, one: PolicyInput, fault: str | None, value: Any = None) -> None:
        count = self.counts.get(name)
        if count is None:
            return
        count.rows += 1
        if fault is not None:
            count.unreadable += 1
            if count.first_unreadable is None:
                count.first_unreadable = (-1, fault)
                self.first[count.name] = one.origin
        elif value is not None or (name == "valid_to" and self._has_end(one.held)):
            count.found += 1
        if value is not None and len(count.values) < _SHOWN_VALUES:
            shown = value.isoformat() if isinstance(value, datetime) else str(value)
            count.values = tuple(dict.fromkeys((*count.values, shown)))
        for path in paths_of_field(getattr(self._mapping, name))[:1]:
            found = reach(one.held, path)
            if found is not None:
                count.kinds[kind_of(_plain(found))] += 1

    def _has_end(self, held: Any) -> bool:
        clock = self._mapping.valid_to
        return clock is not None and any(reach(held, path) is not None for path in clock.all_paths)


def _instant(held: Any, clock: ClockField) -> datetime | None:
    us = clock_us_at(lambda path: _plain(reach(held, path)), clock)
    return None if us is None else from_us(us)


def _end(held: Any, clock: ClockField | None) -> datetime | None:
    """When it ends; None where it has no end, which some databases write as the last instant that they know."""
    if clock is None or is_without_end(joined([_plain(reach(held, path)) for path in clock.all_paths]), clock):
        return None
    end = _instant(held, clock)
    return None if end is not None and end.year >= LAST_YEAR else end


def is_without_end(value: object, clock: ClockField | None = None) -> bool:
    """Whether an end lies beyond every calendar, or in its last year."""
    match value:
        case DatetimeMS():
            return int(value) * 1000 > LAST_US
        case date():
            return value.year >= LAST_YEAR
        case str():
            return _LATER_YEAR.match(value) is not None
        case bool():
            return False
        case int() | float() if clock is not None and is_number(clock):
            return bool(counted_us(np.float64(value), clock) > LAST_US)  # type: ignore[arg-type]
    return False


def _plain(value: Any) -> Any:
    match value:
        case bson.Decimal128():
            return value.to_decimal()
        case bson.Timestamp():
            return value.as_datetime()
    return value
