"""A mapping read backwards: the document that the mapping would read as this fix.

- **Instants, vehicles and the ignition are exact**, or the fix is refused: milliseconds hold no microsecond.
- **Numbers are exact wherever the unit allows it**: of the doubles near the quotient the one that reads back as the
  very same number is taken, an integer where the field is scaled. Where none does, the nearest is written: it reads
  back within one unit in the last place.
- Columns that the mapping does not name are not written, nor is a value that was not reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import bson
import numpy as np
import numpy.typing as npt

from journeymesh.errors import UsageError
from journeymesh.instants import from_us
from journeymesh.journeys.fixes import F64, I64, NOT_REPORTED_US, Fixes
from journeymesh.sources.accuracy import ValidField
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.clock_corrections import corrected
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conditions import wanted_at
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.mapping import NUMBER_COLUMNS, ClockField, IgnitionField, Mapping, mapped_paths
from journeymesh.sources.paths import parsed
from journeymesh.sources.zones import zone

_PROBE_US: Final = 1_715_953_649_000_000
"""A second in which every part of a date and time differs from its default."""
_WRITTEN: Final = ("bson_date", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "iso8601", "strftime", "excel_days")
_EXACT: Final = ("fixed_at_us", "received_at_us", "ignition")


def invertible(mapping: Mapping) -> str | None:
    """Why fixes cannot be written as documents of this mapping; None where they can."""
    if mapping.layout != "document":
        return f"layout {mapping.layout} keeps several fixes in a document, and one cannot be written alone"
    for name in ("fixed_at", "received_at"):
        clock = getattr(mapping.fields, name)
        if clock is not None and (fault := _clock_fault(clock)):
            return f"fields.{name}: {fault}"
    for name in NUMBER_COLUMNS:
        mapped = getattr(mapping.fields, name)
        if mapped is not None and not (np.isfinite(mapped.to_si) and mapped.to_si != 0.0):
            return f"fields.{name}: nothing times {mapped.to_si} gives the number back"
    for name in ("lat", "lon"):
        if (form := getattr(mapping.fields, name).form) != "degrees":
            return f"fields.{name}: form {form} is read, and not written"
    if mapping.fields.ignition is not None and None in _switch_values(mapping.fields.ignition):
        return "fields.ignition: no value means on, or none means off, and nothing else"
    if mapping.fields.valid is not None and None in _switch_values(mapping.fields.valid):
        return "fields.valid: no value means valid, or none means invalid, and nothing else"
    if mapping.fields.hdop is not None and not mapping.fields.hdop.to_si > 0.0:
        return f"fields.hdop: nothing times {mapping.fields.hdop.to_si} gives the number back"
    return _path_fault(mapping)


def _clock_fault(clock: ClockField) -> str | None:
    if clock.paths:
        return "the clock is joined from several paths"
    if clock.clock not in _WRITTEN:
        return f"clock {clock.clock} is read, and not written"
    if clock.zone_path is not None:
        return f"the document names its time zone at {clock.zone_path}, and a fix does not carry one"
    if clock.clock != "strftime":
        return None
    try:
        read = clock_us(_instant(_PROBE_US, clock), clock)
    except (Unconvertible, ValueError):
        read = None
    return None if read == _PROBE_US else f"its format {clock.format!r} does not hold a whole instant"


def _path_fault(mapping: Mapping) -> str | None:
    named = [path for field in mapping.fields.present().values() for path in (field.path,) if path is not None]
    if len(set(named)) < len(named):
        return f"two fields share a path among {', '.join(sorted(named))}"
    for path in named:
        if parsed(path).steps[0] == "_id":
            return f"path {path}: the document's _id is Journeymesh's own"
        if any(other.startswith(f"{path}.") for other in named):
            return f"path {path} contains another field's"
    children: dict[str, set[str]] = {}
    for path in mapped_paths(mapping):
        steps = parsed(path).steps
        for at in range(len(steps)):
            children.setdefault(".".join(steps[:at]), set()).add(steps[at])
    for parent, keys in children.items():
        positions = sorted(int(key) for key in keys if key.isdecimal())
        if positions and (len(positions) < len(keys) or positions != list(range(len(positions))) or not parent):
            return f"path {parent or '(the root)'}: an array is named in part only"
    return None


def _switch_values(ignition: IgnitionField | ValidField) -> tuple[Any, Any]:
    """The first values that mean on and off; None where there is none."""
    on = next((value for value in ignition.on if value != ""), None)
    off = next((value for value in ignition.off if value != "" and value not in ignition.on), None)
    return on, off


def _instant(us: int, clock: ClockField) -> Any:
    """The instant as the clock writes it; what does not fit is cut, and found when it is read back."""
    match clock.clock:
        case "bson_date":
            return bson.DatetimeMS(us // 1000)
        case "epoch_s":
            return bson.Int64(us // 1_000_000) if us % 1_000_000 == 0 else us / 1e6
        case "epoch_ms":
            return bson.Int64(us // 1000) if us % 1000 == 0 else us / 1e3
        case "iso8601":
            return from_us(us).isoformat()
    wall = from_us(us)
    if clock.format is not None and "%z" not in clock.format:
        wall = wall.astimezone(zone(clock.zone or "UTC"))
    return wall.strftime(clock.format or "")


def _unscaled(column: F64, factor: float) -> F64:
    """What times ``factor`` comes nearest to the column: exactly there where some double does."""
    with np.errstate(invalid="ignore", over="ignore"):
        found = column / factor
        missed = np.abs(found * factor - column)
        up = down = found
        for _ in range(2):
            up, down = np.nextafter(up, np.inf), np.nextafter(down, -np.inf)
            for candidate in (up, down):
                error = np.abs(candidate * factor - column)
                nearer = error < missed
                found, missed = np.where(nearer, candidate, found), np.where(nearer, error, missed)
    return found


class MappingInverse:
    """Fixes to the documents of one mapping.

    Raises:
        UsageError: the mapping is not invertible; it says why.
    """

    def __init__(self, mapping: Mapping) -> None:
        fault = invertible(mapping)
        if fault is not None:
            raise UsageError(
                f"fixes cannot be written to {mapping.collection}: {fault}",
                todo="let the applications go on writing there, or map a collection of one document per fix",
            )
        self.mapping = mapping

    def documents(self, fixes: Fixes) -> list[dict[str, Any]]:
        """A document for each fix, in their order, without ``_id``.

        Raises:
            UsageError: fixes that would not be read back as they are, and how many; nothing is told of them.
        """
        leaves = [(list(parsed(path).steps), values) for path, values in self._values(fixes)]
        found = [self._document(leaves, row) for row in range(len(fixes))]
        self._assure(fixes, found)
        return found

    def _values(self, fixes: Fixes) -> Iterator[tuple[str, list[Any]]]:
        """Each mapped path with its values by row; None where nothing is reported."""
        fields = self.mapping.fields
        for path, wanted in wanted_at(self.mapping.where):
            yield path, [wanted[0]] * len(fixes)
        yield fields.vehicle.path, [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
        for clock, column in ((fields.fixed_at, fixes.fixed_at_us), (fields.received_at, fixes.received_at_us)):
            if clock is not None and column is not None:
                column = corrected(column, fixes.vehicles, fixes.vehicle, clock, sign=-1)  # noqa: PLW2901
                yield str(clock.path), _instants(column, clock)
        for name, column_name in NUMBER_COLUMNS.items():
            mapped, numbers = getattr(fields, name), getattr(fixes, column_name)
            if mapped is not None and numbers is not None:
                yield mapped.path, _numbers(numbers, mapped.to_si, whole=getattr(mapped, "scale", 1.0) != 1.0)
        if fields.ignition is not None and fixes.ignition is not None:
            on, off = _switch_values(fields.ignition)
            yield fields.ignition.path, [{1: on, 0: off}.get(state) for state in fixes.ignition.tolist()]
        if fields.hdop is not None and fields.accuracy is None and fixes.accuracy_m is not None:
            yield fields.hdop.path, _numbers(fixes.accuracy_m, fields.hdop.to_si, whole=False)
        if fields.valid is not None and fixes.accuracy_m is not None:
            on, off = _switch_values(fields.valid)
            yield fields.valid.path, [off if far else on for far in np.isinf(fixes.accuracy_m).tolist()]

    def _holds_metres(self) -> bool:
        """Whether accuracy is mapped as a number, and not only as valid or not."""
        return self.mapping.fields.accuracy is not None or self.mapping.fields.hdop is not None

    @staticmethod
    def _document(leaves: list[tuple[list[str], list[Any]]], row: int) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for steps, values in leaves:
            if values[row] is None:
                continue
            inside = document
            for step in steps[:-1]:
                inside = inside.setdefault(step, {})
            inside[steps[-1]] = values[row]
        return {key: _arrays(value) for key, value in document.items()}

    def _assure(self, fixes: Fixes, documents: list[dict[str, Any]]) -> None:
        """Read the documents back and refuse what is not the same."""
        content = b"".join(bson.encode(document) for document in documents)
        parts = list(BsonReader(self.mapping).parts(np.frombuffer(content, np.uint8)))
        read = Fixes.concat([part.met for part in parts])
        refused = sum(len(part.refusals) for part in parts)
        differs = np.zeros(len(fixes), np.bool_)
        if len(read) == len(fixes):
            named = np.array([*fixes.vehicles, ""], object)[fixes.vehicle]
            differs |= named != np.array([*read.vehicles, ""], object)[read.vehicle]
            for name in _EXACT:
                written, again = getattr(fixes, name), getattr(read, name)
                if written is not None and again is not None:
                    differs |= written != again
            for name in NUMBER_COLUMNS.values():
                written, again = getattr(fixes, name), getattr(read, name)
                if written is not None and again is not None:
                    if name == "accuracy_m" and not self._holds_metres():
                        written, again = np.isinf(written) * 1.0, np.isinf(again) * 1.0
                    differs |= ~_as_near(written, again)
        wrong = max(refused, int(differs.sum()), len(fixes) - len(read))
        if wrong:
            raise UsageError(
                f"{wrong} of {len(fixes)} fixes cannot be written to {self.mapping.collection} as they are",
                todo="its clock, units or names cannot hold them; keep them in the target",
            )


def _as_near(written: F64, read: F64) -> npt.NDArray[np.bool_]:
    """Whether each number was read back within one unit in the last place, or both are missing."""
    with np.errstate(invalid="ignore"):
        near = np.abs(read - written) <= np.spacing(np.abs(written))
    kept: npt.NDArray[np.bool_] = near | (read == written) | (np.isnan(read) & np.isnan(written))
    return kept


def _instants(column: I64, clock: ClockField) -> list[Any]:
    try:
        return [None if us == NOT_REPORTED_US else _instant(us, clock) for us in column.tolist()]
    except (OverflowError, ValueError) as error:
        raise UsageError(
            "an instant lies outside the calendar of the mapping's clock", todo="keep the fix in the target"
        ) from error


def _numbers(column: F64, factor: float, *, whole: bool) -> list[Any]:
    """The column divided by ``factor``; integers where the field counts in steps and they read back the same."""
    values = _unscaled(column, factor)
    found: list[Any] = [None if np.isnan(value) else value for value in values.tolist()]
    if whole:
        with np.errstate(invalid="ignore", over="ignore"):
            counts = np.rint(column / factor)
        for row in np.flatnonzero((counts * factor == column) & (np.abs(counts) < 2.0**53)).tolist():
            found[row] = bson.Int64(int(counts[row])) if abs(counts[row]) >= 2.0**31 else int(counts[row])
    return found


def _arrays(value: Any) -> Any:
    """Sub-documents keyed by position as the arrays that they stand for; a place that nothing fills is null.

    A pair of ``coordinates`` is a GeoJSON point (RFC 7946), which indexes on places want to be told.
    """
    if not isinstance(value, dict):
        return value
    inside = {key: _arrays(part) for key, part in value.items()}
    if inside and all(key.isdecimal() for key in inside):
        return [inside.get(str(at)) for at in range(max(map(int, inside)) + 1)]
    pair = inside.get("coordinates")
    if isinstance(pair, list) and len(pair) == 2 and None not in pair and "type" not in inside:
        return {"type": "Point", **inside}
    return inside
