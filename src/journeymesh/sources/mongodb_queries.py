"""What is asked of MongoDB to read by vehicle and time: the queries, without a connection.

An index on (vehicle, clock) serves every branch of them. A type that no driver has written for a decade (symbol,
DBPointer, JavaScript) is not looked for in a clock, nor is an array that holds no clock of the span.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import bson

from journeymesh.sources.clocks import FIRST_US, LAST_US, is_local, unit_us
from journeymesh.sources.mapping import ClockField
from journeymesh.sources.mapping import Mapping as DocumentMapping
from journeymesh.sources.paths import is_literal, marks_array, parsed
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, VehicleTimes

VEHICLES_PER_QUERY: Final = 1_000
NAME_TYPES: Final = ("string", "int", "long", "objectId", "double", "decimal", "binData")
"""The BSON types that a mapping may read as an identifier."""
_SURE_NAMES: Final = ("string", "int", "long", "objectId")
_NUMBERS: Final = ("double", "int", "long", "decimal")
_OTHERS: Final = ("string", "object", "binData", "objectId", "bool", "regex", "timestamp", "minKey", "maxKey")
_INT64: Final = 2**63
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEXADECIMAL: Final = re.compile(r"(?:[0-9a-f]{2})+")
_INTEGER: Final = re.compile(r"-?[0-9]{1,34}")

Query = dict[str, Any]


def server_path(path: str) -> str:
    """A mapped path as the server writes it."""
    return ".".join(parsed(path).steps)


def has_literal(path: str) -> bool:
    """Whether a key of the path has a dot in it, so that no query finds it."""
    return any(is_literal(step) for step in parsed(path).steps)


def in_array(mapping: DocumentMapping) -> bool:
    """Whether vehicles are named inside arrays, so that a document may hold several."""
    return marks_array(mapping.fields.vehicle.path)


def values_of(vehicle: str) -> list[Any]:
    """Every BSON value that a mapping reads as this text."""
    values: list[Any] = [vehicle] if vehicle else []
    if _INTEGER.fullmatch(vehicle):
        number = int(vehicle)
        if str(number) == vehicle:
            small = -_INT64 <= number < _INT64  # equal to a double and a decimal of that number, too
            values.append(bson.Int64(number) if small else bson.Decimal128(vehicle))
    if len(vehicle) == 24 and vehicle == vehicle.lower() and bson.ObjectId.is_valid(vehicle):
        values.append(bson.ObjectId(vehicle))
    if _UUID.fullmatch(vehicle):
        values += [bson.Binary(UUID(vehicle).bytes, subtype) for subtype in (4, 3)]
    if vehicle and vehicle.isprintable():
        values.append(bson.Binary(vehicle.encode()))
    if len(vehicle) % 2 == 0 and _HEXADECIMAL.fullmatch(vehicle):
        values.append(bson.Binary(bytes.fromhex(vehicle)))
    return values


def orders_as_time(mapping: DocumentMapping) -> bool:
    """Whether the server can compare clocks: dates, or numbers since 1970, one to a document, and none corrected."""
    clock = mapping.fields.fixed_at
    if clock.corrections or has_literal(str(clock.path)):
        return False
    counts = clock.clock.startswith("epoch") or (clock.clock == "bson_date" and not is_local(clock))
    return mapping.layout == "document" and counts


def vehicle_queries(
    mapping: DocumentMapping, wanted: Iterable[VehicleTimes], most: int = VEHICLES_PER_QUERY
) -> Iterator[tuple[Query, frozenset[str]]]:
    """(query, the vehicles it is for), so many vehicles at a time; each vehicle is in one query only."""
    by_vehicle = [
        (vehicle, _merged([(one.first_us, one.last_us) for one in times]))
        for vehicle, times in groupby(sorted(set(wanted)), key=lambda one: one.vehicle)
    ]
    for at in range(0, len(by_vehicle), most):
        spans = dict(by_vehicle[at : at + most])
        if query := _query(mapping, spans):
            yield query, frozenset(spans)


def nameless_query(mapping: DocumentMapping) -> Query:
    """Documents in which the mapping may find no vehicle; all of them where vehicles are named inside arrays.

    Numbers with a fraction and empty bytes are no names, so all doubles, decimals and bytes are looked at.
    """
    if in_array(mapping):
        return {}
    path = server_path(mapping.fields.vehicle.path)
    arrays = [{part: {"$type": "array"}} for part in (*_prefixes(path), path)]
    return {"$or": [{path: {"$not": {"$type": list(_SURE_NAMES)}}}, {path: {"$regex": r"^\s*$"}}, *arrays]}


def _merged(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Spans in order, those that touch made one."""
    merged: list[tuple[int, int]] = []
    for first, last in spans:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        elif first <= last:
            merged.append((first, last))
    return tuple(merged)


def _query(mapping: DocumentMapping, spans: Mapping[str, tuple[tuple[int, int], ...]]) -> Query | None:
    by_times: dict[tuple[tuple[int, int], ...], list[Any]] = {}
    whole = ((BEGINNING_US, END_US),)
    for vehicle, times in spans.items():
        if times:
            asked = times if orders_as_time(mapping) else whole
            by_times.setdefault(asked, []).extend(values_of(vehicle))
    branches: list[Query] = []
    ranged: list[Any] = []
    for times, values in by_times.items():
        if not values:
            continue
        if times == whole:
            branches.append(_named(mapping, values))
            continue
        ranged += values
        for first, last in times:
            branches += [_named(mapping, values, clock) for clock in _ranges(mapping.fields.fixed_at, first, last)]
    if ranged:
        branches += [_named(mapping, ranged, clock) for clock in _outside(mapping.fields.fixed_at)]
    if not branches:
        return None
    return branches[0] if len(branches) == 1 else {"$or": branches}


def _named(mapping: DocumentMapping, values: list[Any], clock: Query | None = None) -> Query:
    """Documents of these vehicles; a name in an array is no name to the mapping."""
    path = server_path(mapping.fields.vehicle.path)
    if in_array(mapping):
        return {path: {"$in": values}}
    query: Query = {path: {"$in": values, "$type": list(NAME_TYPES), "$not": {"$type": "array"}}}
    query |= {prefix: {"$not": {"$type": "array"}} for prefix in _prefixes(path)}
    if clock is not None:
        query[server_path(str(mapping.fields.fixed_at.path))] = clock
    return query


def _prefixes(path: str) -> list[str]:
    """What a dotted path leads through, as far as an array there would hide the rest from the mapping."""
    steps = path.split(".")
    return [".".join(steps[:at]) for at in range(1, len(steps)) if not steps[at].isdigit()]


def _ranges(clock: ClockField, first_us: int, last_us: int) -> list[Query]:
    """The clock between two instants, as a date and, where it is one, as a number; a little more at either end."""
    first_us, last_us = max(first_us, FIRST_US), min(last_us, LAST_US)
    dates = {"$gte": bson.DatetimeMS(first_us // 1000), "$lte": bson.DatetimeMS(-(-last_us // 1000))}
    if clock.clock == "bson_date":
        return [dates]
    unit = unit_us(clock)
    return [dates, {"$gte": math.floor(first_us / unit) - 1.0, "$lte": math.ceil(last_us / unit) + 1.0}]


def _outside(clock: ClockField) -> list[Query]:
    """The clocks that no range finds: missing, of another type, or beyond the calendar."""
    beyond: list[Query] = [
        {"$lt": bson.DatetimeMS(FIRST_US // 1000)},
        {"$gt": bson.DatetimeMS(LAST_US // 1000)},
    ]
    if clock.clock == "bson_date":
        return [{"$in": [None, []]}, {"$type": [*_OTHERS, *_NUMBERS]}, *beyond]
    unit = unit_us(clock)
    numbers: list[Query] = [{"$lt": FIRST_US / unit}, {"$gt": LAST_US / unit}]
    return [{"$in": [None, [], math.nan]}, {"$type": list(_OTHERS)}, *beyond, *numbers]
