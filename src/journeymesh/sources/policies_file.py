"""Policies in a file: YAML, JSON, CSV or Parquet with the names of ``Policy``."""

from __future__ import annotations

from collections.abc import Mapping as Keys
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from journeymesh.errors import PoliciesInvalid, SourceMissing
from journeymesh.journeys.policies import Policy, check_overlaps
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.mapping import ClockField, Mapping, PolicyMappings, PolicyText
from journeymesh.sources.paths import reach

ENDINGS: Final = (".yaml", ".yml", ".json", ".ndjson", ".csv", ".parquet")
_KNOWN: Final = {f.name: f for f in fields(Policy)}
_REQUIRED: Final = tuple(f.name for f in fields(Policy) if f.default is MISSING)


def load_policies(path: str | Path) -> list[Policy]:
    """The policies in a file: a list of objects (or ``policies: [...]``), or rows, with the names of ``Policy``.

    Instants are RFC 3339, or a date: midnight in the policy's own zone.

    Raises:
        SourceMissing: there is no such file.
        PoliciesInvalid: naming the policy, the field and what is wrong with it.
    """
    path = Path(path)
    found = [_policy(f"{path.name}: policy {number}", row) for number, row in enumerate(_rows(path), 1)]
    check_overlaps(found)
    return found


def policies_beside(location: str, mapping: Mapping | None) -> list[Policy]:
    """The policies that the mapping names: rows of the file ``<collection>.<ending>`` in the same folder.

    Raises:
        PoliciesInvalid: there is none, or one that cannot be used.
    """
    named = None if mapping is None else mapping.policies
    if named is None:
        return []
    at = Path(location)
    folder = at if at.is_dir() else at.parent
    for ending in ENDINGS:
        beside = folder / f"{named.collection}{ending}"
        if beside.is_file():
            rows = enumerate(_rows(beside), 1)
            found = [_mapped_policy(f"{beside.name}: policy {number}", row, named) for number, row in rows]
            check_overlaps(found)
            return found
    raise PoliciesInvalid(
        f"the mapping's policies: there is no file {folder / named.collection} with ending {' '.join(ENDINGS)}",
        todo="put it there, or give --policies FILE",
    )


def _rows(path: Path) -> list[Any]:
    try:
        content = _content(path)
    except FileNotFoundError as error:
        raise SourceMissing(
            f"policies {path}: there is no such file", todo="give the path of a policies file"
        ) from error
    except PoliciesInvalid:
        raise
    except Exception as error:
        what = " ".join(str(error).split())
        raise PoliciesInvalid(f"policies {path} cannot be read: {what}", todo="correct the file") from error
    if isinstance(content, dict):
        content = content.get("policies")
    if not isinstance(content, list):
        raise PoliciesInvalid(f"policies {path}: expected a list of policies", todo="see docs/how-to")
    return content


def _content(path: Path) -> Any:
    match path.suffix.lower():
        case ".yaml" | ".yml":
            import yaml

            return yaml.safe_load(path.read_text("utf-8"))
        case ".json":
            import msgspec

            return msgspec.json.decode(path.read_bytes())
        case ".ndjson":
            import msgspec

            return [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
        case ".csv":
            import csv

            with path.open(encoding="utf-8-sig", newline="") as file:
                return [{k: v for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]
        case ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path).to_pylist()
        case ending:
            known = ", ".join(ENDINGS)
            raise PoliciesInvalid(f"policies {path}: unknown ending {ending or 'none'!r}", todo=f"use {known}")


def _policy(where: str, row: Any) -> Policy:
    if not isinstance(row, Keys):
        raise PoliciesInvalid(f"{where}: expected keys and values, found {row!r}", todo="correct the file")
    held = {str(name): value for name, value in row.items() if value is not None}
    if unknown := sorted(set(held) - set(_KNOWN)):
        raise PoliciesInvalid(f"{where}: unknown field {unknown[0]!r}", todo=f"known: {', '.join(_KNOWN)}")
    for name in _REQUIRED:
        if name not in held:
            raise PoliciesInvalid(f"{where}: {name} is missing", todo="add it")
    zone = str(held.get("zone", "UTC"))
    for name, value in held.items():
        if name in ("valid_from", "valid_to"):
            held[name] = _instant(f"{where}: {name}", value, zone)
        elif name == "declared_annual_distance_m":
            held[name] = _number(f"{where}: {name}", value)
        else:
            held[name] = str(value)
    return Policy(**held)


def _mapped_policy(where: str, row: Any, named: PolicyMappings) -> Policy:
    def text(field: PolicyText | None) -> Any:
        if field is None:
            return None
        value = None if field.path is None else reach(row, field.path)
        return field.default if value is None else value

    zone = str(text(named.zone) or "UTC")
    held = {
        "number": reach(row, named.number.path),
        "valid_from": _clock(f"{where}: valid_from", row, named.valid_from),
        "valid_to": None if named.valid_to is None else _clock(f"{where}: valid_to", row, named.valid_to),
        "zone": zone,
    }
    held |= {name: text(getattr(named, name)) for name in ("device", "vehicle", "tenant", "product", "status")}
    distance = named.declared_annual_distance
    if distance is not None and (value := reach(row, distance.path)) is not None:
        held["declared_annual_distance_m"] = _number(f"{where}: {distance.path}", value) * distance.to_si
    return _policy(where, held)


def _clock(where: str, row: Any, clock: ClockField) -> datetime | None:
    values = [reach(row, path) for path in clock.all_paths]
    value = values[0] if len(values) == 1 else " ".join(str(value) for value in values)
    zone = reach(row, clock.zone_path) if clock.zone_path else None
    try:
        at = clock_us(value, clock, zone)
    except Unconvertible as error:
        raise PoliciesInvalid(f"{where}: {error}", todo="correct the clock in the mapping, or the file") from error
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC)


def _instant(where: str, value: Any, zone: str) -> datetime:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - its zone is applied below
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError):
        pass
    raise PoliciesInvalid(f"{where} {value!r} is not an instant", todo="write 2019-05-27 or 2019-05-27T05:00:00Z")


def _number(where: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise PoliciesInvalid(f"{where} {value!r} is not a number", todo="write metres as a number") from error
