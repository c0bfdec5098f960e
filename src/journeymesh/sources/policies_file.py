"""Policies in a file: YAML, JSON, CSV or Parquet with the names of ``Policy``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from collections.abc import Mapping as Keys
from dataclasses import MISSING, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from journeymesh.errors import PoliciesInvalid
from journeymesh.journeys.policies import Policy
from journeymesh.sources.conversions import Unconvertible, kind_of, number
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.policy_reading import (
    PolicyInput,
    UsablePolicies,
    is_without_end,
    mapped_policies,
    policy_text,
    usable,
)
from journeymesh.sources.refused_rows import as_json
from journeymesh.sources.row_files import ENDINGS, content_of
from journeymesh.sources.row_keys import RowKeys

_KNOWN: Final = {f.name: f for f in fields(Policy)}
_OTHERS: Final = ("valid_from", "valid_to", "declared_annual_distance_m")
_REQUIRED: Final = tuple(f.name for f in fields(Policy) if f.default is MISSING)


def load_policies(path: str | Path) -> UsablePolicies:
    """The policies in a file: a list of objects (or ``policies: [...]``), or rows, with the names of ``Policy``.

    Instants are RFC 3339, or a date: midnight in the policy's own zone. Policies that cannot be used are refused, each
    with its reason, and the others are read.

    Raises:
        SourceMissing: there is no such file.
        PoliciesInvalid: it cannot be read, holds no policy, or names a field that policies do not have.
    """
    path = Path(path)
    rows = [_renamed(row) for row in _rows(path)]
    if not rows:
        todo = f"write one policy with {', '.join(_REQUIRED)} and a device or vehicle, or leave --policies out"
        raise PoliciesInvalid(f"policies {path}: there is no policy in it", todo=todo)
    for at, row in enumerate(rows, 1):
        if isinstance(row, Keys) and (unknown := sorted({str(name) for name in row} - set(_KNOWN))):
            where = f"{path.name}: policy {at}"
            raise PoliciesInvalid(f"{where}: unknown field {unknown[0]!r}", todo=f"known: {', '.join(_KNOWN)}")
    return usable(_inputs(path, rows), _policy)


def policies_beside(location: str, mapping: Mapping | None) -> UsablePolicies:
    """The policies that the mapping names: rows of the file ``<collection>.<ending>`` in the same folder.

    Raises:
        PoliciesInvalid: there is none, or it cannot be read.
    """
    named = None if mapping is None else mapping.policies
    if named is None:
        return UsablePolicies()
    at = Path(location)
    folder = at if at.is_dir() else at.parent
    for ending in ENDINGS:
        beside = folder / f"{named.collection}{ending}"
        if beside.is_file():
            return mapped_policies(_inputs(beside, _rows(beside)), named)
    raise PoliciesInvalid(
        f"the mapping's policies: there is no file {folder / named.collection} with ending {' '.join(ENDINGS)}",
        todo="put it there, or give --policies FILE",
    )


def _inputs(path: Path, rows: list[Any]) -> Iterator[PolicyInput]:
    keys = RowKeys(path.resolve().as_uri())
    for at, row in enumerate(rows, 1):
        content = as_json(row)
        key = keys.key(content.encode(), at)
        yield PolicyInput(row, f"{path.name}: policy {at}", content, key, untyped=path.suffix.lower() == ".csv")


def _rows(path: Path) -> list[Any]:
    """What may be policies: a list of them, whatever it stands in, or the only one."""
    content = content_of(path, "policies", PoliciesInvalid)
    if isinstance(content, dict):
        content = [content] if "number" in content else content.get("policies", content)
    if content is None:
        return []
    if isinstance(content, list):
        return content
    keyed = isinstance(content, dict) and content and all(isinstance(one, Keys) for one in content.values())
    found = "policies by their numbers" if keyed else kind_of(content)
    todo = "write one item for each: `- {number: P-1, vehicle: V1, valid_from: 2025-01-01}`"
    raise PoliciesInvalid(f"policies {path}: expected a list of policies, found {found}", todo=todo)


def _renamed(row: Any) -> Any:
    """The row with the fields' own names for those that differ in capitals, blanks or dashes: ``Valid From``."""
    if not isinstance(row, Keys):
        return row
    names = {name: _word(name) if _word(name) in _KNOWN else name for name in row}
    return row if len(set(names.values())) < len(names) else {names[name]: value for name, value in row.items()}


def _word(name: object) -> str:
    return "_".join(str(name).casefold().replace("-", " ").replace("_", " ").split())


def _policy(one: PolicyInput) -> Policy:
    if not isinstance(one.held, Keys):
        raise Unconvertible(f"expected keys and values, found {kind_of(one.held)}")
    given = {str(name): value for name, value in one.held.items() if value is not None}
    held: dict[str, Any] = {
        name: text
        for name, value in given.items()
        if name not in _OTHERS and (text := _text(name, value, one.untyped)) is not None
    }
    zone = held.get("zone", "UTC")
    for name in ("valid_from", "valid_to"):
        if name in given and not (name == "valid_to" and is_without_end(given[name])):
            held[name] = _instant(name, given[name], zone)
    if "declared_annual_distance_m" in given:
        distance_m = _number("declared_annual_distance_m", given["declared_annual_distance_m"])
        held["declared_annual_distance_m"] = None if math.isnan(distance_m) else distance_m
    for name in _REQUIRED:
        if name not in held:
            raise Unconvertible(f"{name} is missing")
    return Policy(**held)


def _text(name: str, value: Any, untyped: bool) -> str | None:
    try:
        return policy_text(name, value, untyped)
    except Unconvertible as error:
        raise Unconvertible(f"{name}: {error}") from error


def _instant(name: str, value: Any, zone: str) -> datetime:
    at: Any = value
    with contextlib.suppress(ValueError):
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            at = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone is applied below
    if not isinstance(at, datetime):
        raise Unconvertible(f"{name} {value!r} is not an instant such as 2019-05-27 or 2019-05-27T05:00:00Z")
    return at if at.tzinfo else at.replace(tzinfo=_zone(zone))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a folder's, or too long for one
        raise Unconvertible(f"unknown time zone {name!r}") from None


def _number(name: str, value: Any) -> float:
    try:
        return number(value)
    except Unconvertible as error:
        raise Unconvertible(f"{name}: {error}") from error
