"""The mapping: how a legacy document becomes fixes, written in YAML by the people who know the legacy system.

A path is dotted from the document's root: ``loc.coordinates.0`` is the first element of an array. ``[]`` stands for
every element of an array and makes one fix of each: ``samples[].lat``; a path without it is shared by all of them.
Units convert once, here: ``to_si`` is the factor from what the document says to metres, seconds and degrees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml

from journeymesh.errors import MappingInvalid
from journeymesh.sources.accuracy import AccuracyField, HdopField, ValidField
from journeymesh.sources.collection_names import check_names
from journeymesh.sources.conditions import Wanted, check_where
from journeymesh.sources.mapping_yaml import MappingYaml
from journeymesh.sources.units import UNITS_TO_SI, AccelUnit, AngleUnit, DistanceUnit, LengthUnit, SpeedUnit

Layout = Literal["document", "embedded", "bucketed"]
Clock = Literal["bson_date", "epoch_s", "epoch_ms", "iso8601", "strftime", "offset_s", "offset_ms"]
BaseClockKind = Literal["bson_date", "epoch_s", "epoch_ms", "iso8601", "strftime"]

MAX_PATH_DEPTH: Final = 16
_DEPTH_FAULT: Final = f"has more than {MAX_PATH_DEPTH} steps"


class TextField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text: ``path``. Integers and ObjectIds are taken as their text."""

    path: str


class PolicyText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text of a policy: ``path``, and ``default`` for documents without it. One of the two may be left out."""

    path: str | None = None
    default: str | None = None


class CoordinateField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A coordinate in WGS84 degrees: ``path``; ``scale`` for integers such as 1e-7 degrees."""

    path: str
    unit: AngleUnit = "deg"
    scale: float = 1.0

    @property
    def to_si(self) -> float:
        """Factor to degrees."""
        return self.scale


class SpeedField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A speed: ``path``, ``unit`` and, for raw counts, ``scale``."""

    path: str
    unit: SpeedUnit
    scale: float = 1.0

    @property
    def to_si(self) -> float:
        """Factor to m/s."""
        return UNITS_TO_SI[self.unit] * self.scale


class AngleField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A heading, clockwise from north: ``path`` and ``scale``."""

    path: str
    unit: AngleUnit = "deg"
    scale: float = 1.0

    @property
    def to_si(self) -> float:
        """Factor to degrees."""
        return self.scale


class AccelField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An acceleration: ``path``, ``unit``; ``negate`` where the sensor's axis points the other way."""

    path: str
    unit: AccelUnit
    scale: float = 1.0
    negate: bool = False

    @property
    def to_si(self) -> float:
        """Factor to m/s², with the sign."""
        return UNITS_TO_SI[self.unit] * self.scale * (-1.0 if self.negate else 1.0)


class DistanceField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distance: ``path`` and ``unit``."""

    path: str
    unit: DistanceUnit

    @property
    def to_si(self) -> float:
        """Factor to metres."""
        return UNITS_TO_SI[self.unit]


class IgnitionField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ignition: ``path``, and which values mean on and off. Any other value is refused."""

    path: str
    on: tuple[bool | int | float | str, ...] = (True, 1, "on", "true", "1")
    off: tuple[bool | int | float | str, ...] = (False, 0, "off", "false", "0")


class BaseClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The instant that a bucket's offsets count from."""

    path: str | None = None
    paths: tuple[str, ...] = ()
    clock: BaseClockKind
    format: str | None = None
    zone: str | None = None
    zone_path: str | None = None
    fold: Literal["earlier", "later"] = "earlier"

    @property
    def all_paths(self) -> tuple[str, ...]:
        """The paths read, in the order in which their texts are joined."""
        return (self.path,) if self.path is not None else self.paths


class ClockField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A clock: where the instant is and how it is written.

    - ``bson_date``: a BSON date or timestamp. A BSON date is understood under every other clock as well.
    - ``epoch_s``, ``epoch_ms``: a number (or its text) since 1970 UTC, fractions allowed
    - ``iso8601``: text; without an offset it is local time in the zone
    - ``strftime``: text of ``path``, or of several ``paths`` joined by a space, in Python's ``format``
    - ``offset_s``, ``offset_ms``: a number that counts from ``base``, for buckets

    Local times are in the IANA zone that the document names at ``zone_path``, else in ``zone``, else in UTC. A local
    time that occurs twice (the clock is put back) is the ``earlier`` one unless ``fold`` says ``later``; one that
    does not occur (the clock is put forward) is refused as unparseable.
    """

    path: str | None = None
    paths: tuple[str, ...] = ()
    clock: Clock
    format: str | None = None
    zone: str | None = None
    zone_path: str | None = None
    fold: Literal["earlier", "later"] = "earlier"
    base: BaseClock | None = None

    @property
    def all_paths(self) -> tuple[str, ...]:
        """The paths read, in the order in which their texts are joined."""
        return (self.path,) if self.path is not None else self.paths


class FieldMappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where each column of a fix is. ``vehicle``, ``fixed_at``, ``lat`` and ``lon`` are required."""

    vehicle: TextField
    fixed_at: ClockField
    lat: CoordinateField
    lon: CoordinateField
    received_at: ClockField | None = None
    speed: SpeedField | None = None
    heading: AngleField | None = None
    accel_longitudinal: AccelField | None = None
    accel_lateral: AccelField | None = None
    speed_limit: SpeedField | None = None
    ignition: IgnitionField | None = None
    accuracy: AccuracyField | None = None
    hdop: HdopField | None = None
    valid: ValidField | None = None

    def present(self) -> dict[str, Any]:
        """The fields that are mapped, by name, in the order of the model."""
        return {name: field for name in self.__struct_fields__ if (field := getattr(self, name)) is not None}


NUMBER_COLUMNS: Final[dict[str, str]] = {
    "lat": "lat_deg",
    "lon": "lon_deg",
    "speed": "speed_mps",
    "heading": "heading_deg",
    "accel_longitudinal": "accel_longitudinal_mps2",
    "accel_lateral": "accel_lateral_mps2",
    "speed_limit": "speed_limit_mps",
    "accuracy": "accuracy_m",
}
"""The mapped numbers and the column of ``Fixes`` that each becomes, multiplied by its field's ``to_si``."""


class PolicyMappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a policy's parts are, in another collection of the same source."""

    collection: str
    number: TextField
    valid_from: ClockField
    valid_to: ClockField | None = None
    device: PolicyText | None = None
    vehicle: PolicyText | None = None
    zone: PolicyText | None = None
    tenant: PolicyText | None = None
    product: PolicyText | None = None
    status: PolicyText | None = None
    declared_annual_distance: DistanceField | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a collection becomes fixes; or several of one kind, by a list or a pattern such as ``fixes_*``.

    ``layout``: ``document``, one document per fix; ``embedded``, fixes in one array of sub-documents; ``bucketed``,
    fixes in arrays beside each other or in an array of sub-documents, counted from shared values of the bucket.
    ``database`` is needed only where a source holds the collection in more than one. ``where: {type: position}`` says
    which documents are for us: by path the value that must be there, or a list of such.
    """

    version: Literal[1] = 1
    named: str | tuple[str, ...] = msgspec.field(name="collection")
    database: str | None = None
    layout: Layout = "document"
    where: dict[str, Wanted | tuple[Wanted, ...]] = {}
    fields: FieldMappings
    policies: PolicyMappings | None = None

    @property
    def collections(self) -> tuple[str, ...]:
        """The names and patterns that are given."""
        return (self.named,) if isinstance(self.named, str) else self.named

    @property
    def collection(self) -> str:
        """What the collection is called; several of them, separated by commas."""
        return ", ".join(self.collections)

    @property
    def array_path(self) -> str | None:
        """The array that fixes are embedded in; None for documents and for arrays beside each other."""
        arrays = {path.partition("[]")[0] for _, path in _paths(self.fields) if "[]" in path}
        return arrays.pop() if len(arrays) == 1 else None


def load_mapping(path_or_text: str | Path) -> Mapping:
    """The mapping in a YAML file, or in a YAML text (a ``str`` with a line break in it).

    Raises:
        MappingInvalid: naming the file, the place in it and what to do.
    """
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        text, where = path_or_text, "mapping"
    else:
        where = f"mapping {path_or_text}"
        try:
            text = Path(path_or_text).read_text("utf-8")
        except FileNotFoundError as error:
            raise MappingInvalid(f"{where} does not exist", todo="give the path of a mapping file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise MappingInvalid(f"{where} cannot be read: {error}", todo="give a YAML file in UTF-8") from error
    try:
        content = yaml.load(text, Loader=MappingYaml)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise MappingInvalid(f"{where}{at}: not YAML: {problem}", todo="correct the line") from error
    try:
        mapping = msgspec.convert(content, Mapping)
    except msgspec.ValidationError as error:
        raise _explained(where, content, str(error)) from error
    _check(where, mapping)
    return mapping


def mapping_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a mapping file."""
    schema = msgspec.json.schema(Mapping)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://journeymesh.example/schemas/mapping-1.json",
        "title": "Journeymesh mapping",
        **schema,
    }


_UNITS_OF_FIELD: Final[dict[str, Any]] = {
    "speed": SpeedUnit,
    "speed_limit": SpeedUnit,
    "accel_longitudinal": AccelUnit,
    "accel_lateral": AccelUnit,
    "lat": AngleUnit,
    "lon": AngleUnit,
    "heading": AngleUnit,
    "accuracy": LengthUnit,
    "declared_annual_distance": DistanceUnit,
}


def _explained(where: str, content: object, message: str) -> MappingInvalid:
    """The validation error as one line that names the place, what stands there and what may."""
    fault, _, place = message.partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    steps = place.split(".") if place else []
    found: Any = content
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    known: Any = None
    match steps:
        case [*_, field, "unit"]:
            known = _UNITS_OF_FIELD.get(field)
        case [*_, "base", "clock"]:
            known = BaseClockKind
        case [*_, "clock"]:
            known = Clock
        case ["layout"]:
            known = Layout
    at = f"{where}: {place}" if place else where
    if known is not None and "enum" in fault:
        what = steps[-1]
        return MappingInvalid(f"{at}: unknown {what} {found!r}", todo=f"use one of {', '.join(get_args(known))}")
    fault = fault.replace("Object", "The mapping" if not place else "The section")
    return MappingInvalid(f"{at}: {fault[:1].lower()}{fault[1:]}", todo="see `journeymesh mapping schema`")


def _paths(fields: object, at: str = "fields") -> Iterator[tuple[str, str]]:
    """Every path in the mapping with its place in the file."""
    if not isinstance(fields, msgspec.Struct):
        return
    for name in fields.__struct_fields__:
        value = getattr(fields, name)
        if name in ("path", "zone_path") and value is not None:
            yield f"{at}.{name}", value
        elif name == "paths":
            yield from ((f"{at}.paths[{number}]", path) for number, path in enumerate(value))
        else:
            yield from _paths(value, f"{at}.{name}")


def mapped_paths(mapping: Mapping) -> list[str]:
    """Every path that the mapping's fields and conditions read, once each."""
    return sorted({path for _, path in _paths(mapping.fields)} | set(mapping.where))


_STEP = re.compile(r"[^.\[\]\0]+")


def _check(where: str, mapping: Mapping) -> None:
    """Refuse what the types allow and the reading cannot follow."""
    check_where(where, mapping.where)
    check_names(where, mapping.collections)
    conditions = (("where", path) for path in mapping.where)
    for at, path in (*_paths(mapping.fields), *_paths(mapping.policies, "policies"), *conditions):
        fault = _path_fault(path)
        if fault is None and "[]" in path and (mapping.layout == "document" or at.startswith("policies")):
            fault = f"has [] in layout {mapping.layout}"
        if fault is not None:
            todo = "name it as in loc.coordinates.0, or samples[].lat for every element of an array"
            raise MappingInvalid(f"{where}: {at}: path {path!r} {fault}", todo=todo)
    for at, clock in _clocks(mapping):
        _check_clock(f"{where}: {at}", clock)
    if mapping.layout != "document":
        _check_arrays(where, mapping)
    policies = mapping.policies
    if policies is not None and policies.device is None and policies.vehicle is None:
        raise MappingInvalid(f"{where}: policies name neither device nor vehicle", todo="add one of them")
    if policies is not None:
        for name in ("device", "vehicle", "zone", "tenant", "product", "status"):
            part = getattr(policies, name)
            if part is not None and part.path is None and part.default is None:
                raise MappingInvalid(f"{where}: policies.{name} has no path", todo="give a path or a default")


def _path_fault(path: str) -> str | None:
    plain = path
    if "[]" in path:
        if path.count("[]") > 1:
            return "has [] twice"
        before, _, after = path.partition("[]")
        if not before or (after and not after.startswith(".")):
            return "has [] where no array is named"
        plain = before + after
    steps = plain.split(".")
    if not all(_STEP.fullmatch(step) for step in steps):
        return "has an empty or impossible step"
    return _DEPTH_FAULT if len(steps) > MAX_PATH_DEPTH else None


def _clocks(mapping: Mapping) -> Iterator[tuple[str, ClockField | BaseClock]]:
    held = {"fields": (mapping.fields, ("fixed_at", "received_at"))}
    if mapping.policies is not None:
        held["policies"] = (mapping.policies, ("valid_from", "valid_to"))  # type: ignore[assignment]
    for section, (fields, names) in held.items():
        for name in names:
            clock = getattr(fields, name)
            if clock is not None:
                yield f"{section}.{name}", clock
                if clock.base is not None:
                    yield f"{section}.{name}.base", clock.base


def _check_clock(at: str, clock: ClockField | BaseClock) -> None:
    def refuse(fault: str, todo: str) -> MappingInvalid:
        return MappingInvalid(f"{at}: {fault}", todo=todo)

    if (clock.path is None) == (not clock.paths):
        raise refuse("needs either path or paths", "name one path, or several whose texts are joined by a space")
    if clock.paths and clock.clock not in ("strftime", "iso8601"):
        raise refuse(f"clock {clock.clock} reads one path", "use path, or clock: strftime for several")
    if (clock.clock == "strftime") != (clock.format is not None):
        raise refuse("format goes with clock strftime and with no other", "give both, for example %m/%d/%Y %H:%M:%S")
    if clock.format is not None and not re.search(r"%[YyCGcxDs]", clock.format):
        raise refuse(f"format {clock.format!r} has no year", "give the directives of a whole date and time")
    if clock.zone is not None:
        try:
            ZoneInfo(clock.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise refuse(f"unknown time zone {clock.zone!r}", "use an IANA name such as Europe/London") from error
    base = clock.base if isinstance(clock, ClockField) else None
    if clock.clock.startswith("offset") != (base is not None):
        raise refuse("base goes with clock offset_s or offset_ms and with no other", "give both or neither")


def _check_arrays(where: str, mapping: Mapping) -> None:
    paths = [path for _, path in _paths(mapping.fields) if "[]" in path]
    if not paths:
        todo = "mark the array as in samples[].lat, or use layout: document"
        raise MappingInvalid(f"{where}: layout {mapping.layout} and no path with []", todo=todo)
    if mapping.layout == "embedded" and mapping.array_path is None:
        named = ", ".join(sorted({path.partition("[]")[0] for path in paths}))
        todo = "name one array, or use layout: bucketed"
        raise MappingInvalid(f"{where}: layout embedded and several arrays ({named})", todo=todo)
    fixed_at = mapping.fields.fixed_at
    if not any("[]" in path for path in fixed_at.all_paths):
        todo = "give each fix its own time, as in samples[].t"
        raise MappingInvalid(f"{where}: fields.fixed_at is the same for every element", todo=todo)
