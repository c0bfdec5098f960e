"""Policies out of the legacy's own documents, as the mapping's ``policies`` section says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import bson

from journeymesh.errors import PoliciesInvalid
from journeymesh.journeys.policies import Policy
from journeymesh.sources.bson_values import id_text
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conversions import Unconvertible, number
from journeymesh.sources.mapping import ClockField, PolicyMappings, PolicyText
from journeymesh.sources.paths import reach


def policies_of(documents: Iterable[dict[str, Any]], mapping: PolicyMappings) -> list[Policy]:
    """The policies in these decoded documents, by number.

    Raises:
        PoliciesInvalid: naming the document, the path and what is wrong there.
    """
    return sorted((_policy(document, mapping) for document in documents), key=lambda policy: policy.number)


def _policy(document: dict[str, Any], mapping: PolicyMappings) -> Policy:
    where = f"{mapping.collection}/{id_text(document.get('_id'))}"

    def invalid(path: str, fault: object) -> PoliciesInvalid:
        return PoliciesInvalid(f"{where}: {path}: {fault}", todo="correct the document or the mapping's policies")

    def text(part: PolicyText | None) -> str | None:
        if part is None:
            return None
        value = None if part.path is None else reach(document, part.path)
        if value is None or value == "":
            return part.default
        if isinstance(value, str | int | bson.ObjectId):
            return str(value)
        raise invalid(str(part.path), f"expected a text, found {type(value).__name__}")

    def instant(clock: ClockField | None) -> datetime | None:
        if clock is None:
            return None
        try:
            zone = None if clock.zone_path is None else reach(document, clock.zone_path)
            us = clock_us(_joined(document, clock), clock, zone)
        except Unconvertible as error:
            raise invalid("+".join(clock.all_paths), error) from error
        return None if us is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)

    policy_number = text(PolicyText(path=mapping.number.path))
    if policy_number is None:
        raise invalid(mapping.number.path, "the policy has no number")
    valid_from = instant(mapping.valid_from)
    if valid_from is None:
        raise invalid("+".join(mapping.valid_from.all_paths), "the policy has no beginning")
    declared = mapping.declared_annual_distance
    distance_m = None
    if declared is not None:
        try:
            value = number(_plain(reach(document, declared.path)))
        except Unconvertible as error:
            raise invalid(declared.path, error) from error
        distance_m = value * declared.to_si if value == value else None  # noqa: PLR0124 - NaN where missing
    named = {name: text(getattr(mapping, name)) for name in ("zone", "tenant", "product", "status")}
    return Policy(
        number=policy_number,
        valid_from=valid_from,
        valid_to=instant(mapping.valid_to),
        device=text(mapping.device),
        vehicle=text(mapping.vehicle),
        declared_annual_distance_m=distance_m,
        **{name: value for name, value in named.items() if value is not None},
    )


def _plain(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, bson.Decimal128) else value


def _joined(document: dict[str, Any], clock: ClockField) -> Any:
    values = [_plain(reach(document, path)) for path in clock.all_paths]
    if isinstance(values[0], bson.Timestamp):
        return values[0].as_datetime()
    if len(values) == 1:
        return values[0]
    return None if any(value is None for value in values) else " ".join(str(value) for value in values)
