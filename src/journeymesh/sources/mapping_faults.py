"""What a mapping must be beyond its types, and how a fault in it is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from journeymesh.errors import MappingInvalid
from journeymesh.sources.clock_corrections import check_corrections
from journeymesh.sources.clock_texts import format_fault
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.collection_names import check_names
from journeymesh.sources.conditions import check_where
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.coordinates import WITH_HEMISPHERE
from journeymesh.sources.file_vehicles import check_identifier, check_pattern
from journeymesh.sources.mapping_fields import (
    MOST_INTERVAL_S,
    BaseClock,
    BaseClockKind,
    Clock,
    ClockField,
    CoordinateField,
    CoordinateForm,
    Layout,
)
from journeymesh.sources.mapping_model import Mapping, paths_in
from journeymesh.sources.nested_arrays import nesting_of
from journeymesh.sources.paths import array_of, marks_array, parsed
from journeymesh.sources.signal_layout import check_layout
from journeymesh.sources.units import AccelUnit, AngleUnit, DistanceUnit, LengthUnit, SpeedUnit
from journeymesh.sources.zones import is_zone

MOST_PATHS: Final = 60
"""What the walk over documents has bits for."""
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


def explained(where: str, content: object, message: str) -> MappingInvalid:
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
        case [*_, "form"]:
            known = CoordinateForm
    at = f"{where}: {place}" if place else where
    if known is not None and "enum" in fault:
        what = steps[-1]
        return MappingInvalid(f"{at}: unknown {what} {found!r}", todo=f"use one of {', '.join(get_args(known))}")
    fault = fault.replace("Object", "The mapping" if not place else "The section")
    return MappingInvalid(f"{at}: {fault[:1].lower()}{fault[1:]}", todo="see `journeymesh mapping schema`")


_WITHOUT_ARRAYS: Final = ("document", "signals")


def check_rules(where: str, mapping: Mapping) -> None:
    """Refuse what the types allow and the reading cannot follow."""
    conditions = (("where", path) for path in mapping.where)
    for at, path in (*paths_in(mapping.fields), *paths_in(mapping.policies, "policies"), *conditions):
        fault = _path_fault(path)
        arrays = mapping.layout not in _WITHOUT_ARRAYS and not at.startswith("policies")
        if fault is None and marks_array(path) and not arrays:
            fault = f"has [] in layout {mapping.layout}"
            todo = "add layout: embedded, or bucketed for arrays beside each other"
            raise MappingInvalid(f"{where}: {at}: path {path!r} {fault}", todo=todo)
        if fault is not None:
            todo = "name it as in loc.coordinates.0, samples[].lat for every element; put a name in double quotes"
            raise MappingInvalid(f"{where}: {at}: path {path!r} {fault}", todo=todo)
    check_where(where, mapping.where)
    check_names(where, mapping.collections)
    if len({*mapping.where, *(path for _, path in paths_in(mapping.fields))}) > MOST_PATHS:
        raise MappingInvalid(f"{where}: fields name more than {MOST_PATHS} paths", todo="map fewer of them")
    for at, clock in _clocks(mapping):
        if clock.clock == "interval" and (at != "fields.fixed_at" or mapping.layout not in ("embedded", "bucketed")):
            todo = "use it for fixed_at in layout embedded or bucketed"
            raise MappingInvalid(f"{where}: {at}: clock interval counts the elements of an array", todo=todo)
        check_clock(f"{where}: {at}", clock)
        if isinstance(clock, ClockField):
            check_corrections(f"{where}: {at}", clock, allowed=at == "fields.fixed_at")
    for axis in ("lat", "lon"):
        _check_coordinate(f"{where}: fields.{axis}", getattr(mapping.fields, axis), axis)
    check_layout(where, mapping.layout, mapping.signals, mapping.csv)
    check_identifier(f"{where}: fields.vehicle", mapping.fields.vehicle)
    if mapping.policies is not None:
        check_identifier(f"{where}: policies.number", mapping.policies.number, only_path=True)
    if mapping.layout not in _WITHOUT_ARRAYS:
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
    try:
        parsed(path)
    except ValueError as error:
        return str(error)
    return None


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


def check_clock(at: str, clock: ClockField | BaseClock) -> None:
    """Refuse a clock that the types allow and nobody could read. ``at`` names its place."""

    def refuse(fault: str, todo: str) -> MappingInvalid:
        return MappingInvalid(f"{at}: {fault}", todo=todo)

    if clock.clock == "interval":
        _check_interval(clock, refuse)
        return
    if isinstance(clock, ClockField) and (clock.interval_s is not None or clock.interval_path is not None):
        raise refuse("an interval goes with clock interval and with no other", "leave it out")
    if isinstance(clock, BaseClock) and (clock.value is not None or clock.file is not None):
        _check_beside(at, clock, refuse)
    elif (clock.path is None) == (not clock.paths):
        raise refuse("needs either path or paths", "name one path, or several whose texts are joined by a space")
    if clock.paths and clock.clock not in ("strftime", "iso8601"):
        raise refuse(f"clock {clock.clock} reads one path", "use path, or clock: strftime for several")
    if (clock.clock == "strftime") != (clock.format is not None):
        raise refuse("format goes with clock strftime and with no other", "give both, for example %m/%d/%Y %H:%M:%S")
    if clock.format is not None and (fault := format_fault(clock.format)):
        raise refuse(*fault)
    if clock.zone is not None and not is_zone(clock.zone):
        raise refuse(f"unknown time zone {clock.zone!r}", "use an IANA name such as Europe/London, or an offset")
    if (clock.zone or clock.zone_path) and clock.clock.startswith(("epoch", "offset")):
        todo = "leave it out" if clock.clock.startswith("epoch") else "give it to the base"
        raise refuse(f"zone means nothing to clock {clock.clock}, which counts from one instant everywhere", todo)
    base = clock.base if isinstance(clock, ClockField) else None
    if clock.clock.startswith("offset") != (base is not None):
        raise refuse("base goes with clock offset_s, offset_ms or offset_min and with no other", "give both or neither")


def _check_beside(at: str, base: BaseClock, refuse: Callable[[str, str], MappingInvalid]) -> None:
    """A base that does not stand in the rows is one instant that can be read, or looked for in files' paths."""
    if base.all_paths or base.zone_path or base.missing or (base.value is not None and base.file is not None):
        raise refuse("needs one of path, paths, value and file, and a zone of its own", "leave the others out")
    if base.file is not None:
        check_pattern(at, "file", base.file)
        return
    try:
        found = clock_us(base.value, base)
    except Unconvertible as error:
        raise refuse(f"value: {error}", "write it as its clock says, such as 2024-05-06T08:00:00Z") from error
    if found is None:
        raise refuse("value is empty", "give the instant that is counted from")


def _check_interval(clock: ClockField, refuse: Callable[[str, str], MappingInvalid]) -> None:
    if clock.all_paths or clock.format or clock.zone or clock.zone_path or clock.missing:
        raise refuse("clock interval reads nothing of its own", "give base and interval_s, and zone to the base")
    if clock.base is None or (clock.interval_s is None) == (clock.interval_path is None):
        todo = "say where the first instant is and what lies between"
        raise refuse("clock interval needs base, and either interval_s or interval_path", todo)
    if clock.interval_path is not None and marks_array(clock.interval_path):
        raise refuse("interval_path stands in an array", "name a value that all its elements share")
    if clock.interval_s is not None and not 0 < clock.interval_s <= MOST_INTERVAL_S:
        raise refuse(f"interval_s {clock.interval_s} is not above 0 s and at most a day", "correct it")
    if any(marks_array(path) for path in clock.base.all_paths):
        raise refuse("base stands in an array", "name a value that all its elements share")


def _check_coordinate(at: str, field: CoordinateField, axis: str) -> None:
    if field.hemisphere_path is not None and field.form not in WITH_HEMISPHERE:
        todo = f"add form: {', '.join(WITH_HEMISPHERE[:-1])} or {WITH_HEMISPHERE[-1]}"
        raise MappingInvalid(f"{at}: hemisphere_path means nothing to form {field.form}", todo=todo)
    if field.form == "0_to_360" and axis == "lat":
        raise MappingInvalid(f"{at}: form 0_to_360 is of longitudes", todo="leave the form out")
    if field.scale != 1.0 and field.form in ("ddmm", "dms", "wkt", "geojson"):
        raise MappingInvalid(
            f"{at}: scale means nothing to form {field.form}, which is in degrees", todo="leave it out"
        )


def _check_arrays(where: str, mapping: Mapping) -> None:
    paths = [path for _, path in paths_in(mapping.fields) if marks_array(path)]
    if not paths:
        todo = "mark the array as in samples[].lat, or use layout: document"
        raise MappingInvalid(f"{where}: layout {mapping.layout} and no path with []", todo=todo)
    if mapping.layout == "embedded" and mapping.array_path is None:
        named = ", ".join(sorted({str(array_of(path)) for path in paths}))
        todo = "name one array, or use layout: bucketed"
        raise MappingInvalid(f"{where}: layout embedded and several arrays ({named})", todo=todo)
    try:
        nesting = nesting_of([*(path for _, path in paths_in(mapping.fields)), *mapping.where])
    except ValueError as error:
        todo = "let every path go through the same arrays, or through fewer of them"
        raise MappingInvalid(f"{where}: {error}", todo=todo) from error
    if nesting is not None and mapping.layout != "embedded":
        todo = "use layout: embedded"
        raise MappingInvalid(f"{where}: layout {mapping.layout} and arrays inside of {nesting.path}[]", todo=todo)
    fixes_in = {array_of(path) for path in paths}
    for path in mapping.where:
        if mapping.layout == "embedded" and marks_array(path) and array_of(path) not in fixes_in:
            todo = f"name a value of the document, or of the elements of {mapping.array_path}"
            raise MappingInvalid(f"{where}: where: {path!r} stands in another array than the fixes", todo=todo)
    fixed_at = mapping.fields.fixed_at
    if fixed_at.clock != "interval" and not any(marks_array(path) for path in fixed_at.all_paths):
        todo = "give each fix its own time, as in samples[].t"
        raise MappingInvalid(f"{where}: fields.fixed_at is the same for every element", todo=todo)
