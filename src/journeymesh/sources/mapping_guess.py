"""A mapping proposed from the first rows of a source, with the evidence for each field.

Names propose, values decide: a column is a latitude because it is called so and its values are within ±90; a speed's
unit is the one that agrees with the way travelled. What is only a guess is said to be one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as time_of_day
from itertools import pairwise
from typing import Any, Final

from journeymesh.sources.conversions import EXACT
from journeymesh.sources.files import SourceFile
from journeymesh.sources.guess_clocks import ClockForm, clock_form
from journeymesh.sources.guess_columns import (
    BESIDE,
    Columns,
    Row,
    as_number,
    candidates,
    columns_of,
    flat,
    numbers_of,
    rows_of_arrays,
)
from journeymesh.sources.guess_names import guess_names
from journeymesh.sources.guess_positions import degrees_at, guess_positions
from journeymesh.sources.guess_signals import gathered, signal_columns
from journeymesh.sources.guess_words import TRAITS, UNITS, words_of
from journeymesh.sources.units import measured

_UNITS: Final = {"m/s": 1.0, "km/h": 3.6, "mph": 2.236936, "knots": 1.943844}
_NAMED_UNITS: Final = {
    "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "km": "km/h", "mph": "mph", "knots": "knots", "kn": "knots",
    "kts": "knots", "sog": "knots", "mps": "m/s", "ms": "m/s", "m": "m/s",
}  # fmt: skip
_SPELT_UNITS: Final = (
    ("kilomet", "hour", "km/h"), ("meter", "sec", "m/s"), ("metre", "sec", "m/s"), ("mile", "hour", "mph"),
)  # fmt: skip
_LONGEST_MS: Final = 864_000_000
_MS_APART: Final = 100
"""What counts from a clock lies within ten days of it; whole numbers so far apart are milliseconds."""
_NEAR: Final = 1.4
_VERY_NEAR: Final = 1.1
"""So many times apart at most are a speed and the way travelled, by a unit as it is, and by one with a scale."""
_OFFSETS: Final = {
    "offset_ms": {"ms", "millis", "milliseconds"},
    "offset_s": {"s", "sec", "seconds"},
    "offset_min": {"min", "minutes"},
}  # fmt: skip
_SWITCHES: Final = {"true", "false", "on", "off", "0", "1"}
_DAY: Final = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:\d{4}|\d\d)|\d{8}|\d\d?-[A-Za-z]{3}-\d{4}")
_TIME: Final = re.compile(r"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s*[AaPp][Mm])?|\d{6}")


@dataclass(slots=True)
class GuessedField:
    """A field of the mapping: what stands in the YAML after its name, and the evidence in words."""

    name: str
    keys: dict[str, Any]
    evidence: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Guess:
    """A proposed mapping. ``missing`` are required fields for which nothing was found."""

    collection: str
    layout: str
    rows: int
    fields: list[GuessedField]
    missing: list[str]
    paths: list[str]
    signals: dict[str, Any] = field(default_factory=dict)
    """In which columns signals are, where each row is one."""
    csv: dict[str, Any] = field(default_factory=dict)
    """How the file is written, where its lines do not say it."""

    @property
    def score(self) -> tuple[int, int]:
        """How well it fits, to choose among collections."""
        return (-len(self.missing), self.rows)


def guess_mapping(collection: str, documents: Sequence[Row], files: Sequence[SourceFile] = ()) -> Guess:
    """The mapping that these documents look as if they needed. ``files`` are all that such documents stand in."""
    layout, rows = _rows(documents)
    signals = signal_columns(rows) if layout == "document" else None
    if signals is not None:
        layout, rows = "signals", gathered(rows, *signals)
    total, columns = len(rows), columns_of(rows)
    positions = guess_positions(columns, total)
    if len(positions) == 2:  # what stands where no position is belongs to something else
        rows = [
            row for row in rows if all(degrees_at(row, one.keys, axis) is not None for axis, one in positions.items())
        ]
        columns = columns_of(rows)
    found: dict[str, GuessedField] = {
        axis: GuessedField(axis, one.keys, one.evidence) for axis, one in positions.items()
    }
    taken = {path for one in positions.values() for path in one.paths}
    _clocks(columns, total, found, taken)
    _vehicle(columns, total, found, taken)
    _speed(rows, columns, found, taken)
    for name, fits in (("heading", _is_heading), ("hdop", _is_dilution), ("accuracy", _is_positive)):
        _number(name, columns, total, fits, found, taken)
    _ignition(columns, total, found, taken)
    if "vehicle" not in found and {"fixed_at", "lat", "lon"} <= set(found) and (named := guess_names(files)):
        found["vehicle"] = GuessedField("vehicle", named[0], [named[1]])
    order = ("vehicle", "fixed_at", "lat", "lon", "received_at", "speed", "heading", "ignition", "accuracy", "hdop")
    missing = [name for name in order[:4] if name not in found]
    proposed = [found[name] for name in order if name in found]
    told = {} if signals is None else {"name": signals[0], "value": signals[1]}
    return Guess(collection, layout, total, proposed, missing, list(columns), told)


def _rows(documents: Sequence[Row]) -> tuple[str, list[Row]]:
    """(layout, flat rows): of the documents where they hold a position themselves, else of the array, perhaps in the
    elements of another, that most positions stand in."""
    rows = [dict(flat(document)) for document in documents]
    arrays = rows_of_arrays(documents)
    best = max(
        arrays, key=lambda path: (_positions(arrays[path]), path.endswith(BESIDE), len(arrays[path])), default=None
    )
    here = _positions(rows)  # perhaps where a trip begins, and its array has the rest
    if best is None or (here and here * 2 >= _positions(arrays[best])):
        return "document", rows
    nested = best.removesuffix(BESIDE) != ""
    return "bucketed" if best.endswith(BESIDE) and not nested else "embedded", arrays[best]


def _positions(rows: Sequence[Row]) -> int:
    """In how many of the rows a position is found."""
    columns = columns_of(rows)
    found = guess_positions(columns, len(rows))
    return min(len(columns[one.keys["path"]]) for one in found.values()) if len(found) == 2 else 0


def _share(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows"


def _clocks(columns: Columns, rows: int, found: dict[str, GuessedField], taken: set[str]) -> None:
    arrays = found["lat"].keys["path"].count("[]") if "lat" in found else 0
    for name in ("received_at", "fixed_at"):
        best: tuple[tuple[bool, int, int], str, ClockForm] | None = None
        for path, weight in candidates(name, columns).items():
            form = None if path in taken else clock_form(columns[path], days=weight > 1)
            # A clock beside the array of positions is that of all of them together.
            rank = (path.count("[]") >= arrays, weight, len(set(map(str, columns[path]))))
            if form is not None and (best is None or rank > best[0]):
                best = (rank, path, form)
        pair = _day_and_time(columns, taken) if name == "fixed_at" else None
        if pair is not None and (best is None or best[1] in pair[0]):
            paths, form = pair
            found[name] = GuessedField(name, {"paths": paths} | form.keys, _clock_evidence(form, rows))
            taken.update(paths)
            continue
        if best is None and name == "fixed_at":  # whatever is a clock by its values
            forms = [
                (path, form)
                for path in columns
                if path not in taken and (form := clock_form(columns[path], days=False))
            ]
            best = ((False, 0, 0), *forms[0]) if forms else None
        if best is not None:
            _, path, form = best
            if name == "fixed_at" and path.count("[]") < arrays:
                offset = _offset_from(path, form, columns, arrays, rows)
                if offset is not None:
                    found[name] = offset
                continue
            found[name] = GuessedField(name, {"path": path} | form.keys, _clock_evidence(form, rows))
            taken.add(path)
    if "fixed_at" not in found and "received_at" in found:
        found["fixed_at"] = found.pop("received_at")
        found["fixed_at"].name = "fixed_at"


def _offset_from(base: str, form: ClockForm, columns: Columns, arrays: int, rows: int) -> GuessedField | None:
    """The column of the array that counts from a clock beside it, by its name, or by its values if it is called a time;
    None where there is none: that clock is one for all elements and tells none from another."""
    inside = [path for path in columns if path.count("[]") >= arrays]
    for path in inside:
        words = set(words_of(path))
        clock = next((clock for clock, names in _OFFSETS.items() if words & names), None)
        if "offset" in words and clock and len(numbers_of(columns[path])) == len(columns[path]):
            return _counted_from(base, form, path, clock, f"{_share(len(columns[path]), rows)}, ", "by its name")
    for path in candidates("fixed_at", {path: columns[path] for path in inside}):
        numbers = numbers_of(columns[path])
        if len(numbers) != len(columns[path]) or min(numbers) < 0 or not 1 < max(numbers) < _LONGEST_MS:
            continue
        is_ms = max(numbers) / len(numbers) >= _MS_APART and all(number == int(number) for number in numbers)
        clock, said = ("offset_ms", "milliseconds") if is_ms else ("offset_s", "seconds")
        ends = f"{_share(len(numbers), rows)}, {min(numbers):g} to {max(numbers):g}, "
        return _counted_from(base, form, path, clock, ends, f"in {said} by a mere guess")
    return None


def _counted_from(base: str, form: ClockForm, path: str, clock: str, before: str, why: str) -> GuessedField:
    said = f"{before}counted from {base} ({form.words}), {why}"
    return GuessedField("fixed_at", {"path": path, "clock": clock, "base": {"path": base} | form.keys}, [said])


def _clock_evidence(form: ClockForm, rows: int) -> list[str]:
    said = [f"{_share(form.count, rows)}, {form.first} to {form.last}: {form.words}"]
    if form.or_else is not None:
        said.append(f"the day or the month first? All of them could be read as {form.or_else}, too")
    if form.is_local:
        said.append("local time or UTC? It names no zone: add zone: Europe/Berlin, or leave it for UTC")
    return said


def _day_and_time(columns: Columns, taken: set[str]) -> tuple[list[str], ClockForm] | None:
    """The columns of the day and of the time of day, and how they are read together; None where there are none."""
    written = {path: [_as_text(one) for one in values] for path, values in columns.items() if path not in taken}
    texts = {path: values for path, values in written.items() if _are_texts(values)}
    days = [path for path, values in texts.items() if all(_DAY.fullmatch(one.strip()) for one in values)]
    times = [path for path, values in texts.items() if all(_TIME.fullmatch(one.strip()) for one in values)]
    known = candidates("fixed_at", columns)
    for day in sorted(days, key=lambda path: path not in known):
        for time in sorted(times, key=lambda path: path not in known):
            if len(texts[day]) == len(texts[time]):
                form = clock_form([f"{a} {b}" for a, b in zip(texts[day], texts[time], strict=True)])
                if form is not None:
                    return [day, time], form
    return None


def _as_text(value: Any) -> Any:
    """A day or a time of day as it is written; anything else as it is."""
    is_part = isinstance(value, date | time_of_day) and not isinstance(value, datetime)
    return value.isoformat() if is_part else value


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _vehicle(columns: Columns, rows: int, found: dict[str, GuessedField], taken: set[str]) -> None:
    for path, weight in candidates("vehicle", columns).items():
        values = [value for value in columns[path] if _is_id(value)]
        different = list(dict.fromkeys(_shown_id(value) for value in values))
        is_key = len(different) > max(1, len(values) // 2) and len(values) > 3
        if path in taken or not values or is_key or (weight <= 2 and path.rpartition(".")[2] == "_id"):
            continue
        parent, _, last = path.rpartition(".")
        if {one.strip().lower() for one in different} <= UNITS or f"{parent}.value" in columns:
            continue  # the unit of a measured value
        if TRAITS.intersection(words_of(last)):
            continue
        some = ", ".join(different[:3])
        said = f"{_share(len(values), rows)}, {len(different):,} different, such as {some}"
        found["vehicle"] = GuessedField("vehicle", {"path": path}, [said])
        taken.add(path)
        return


def _is_id(value: Any) -> bool:
    """Whether a value may be an identifier: a double is where it is whole and exact."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < EXACT
    return not isinstance(value, bool | dict | list | datetime)


def _shown_id(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) else str(value)


def _speed(rows: Sequence[Row], columns: Columns, found: dict[str, GuessedField], taken: set[str]) -> None:
    for path in candidates("speed", columns):
        numbers = numbers_of(columns[path])
        if path in taken or len(numbers) * 2 < len(columns[path]) or min(numbers) < -1:
            continue
        ratios = _ratios(rows, path, found)
        said = [f"{_share(len(numbers), len(rows))}, {min(numbers):g} to {max(numbers):g}"]
        named, scale = _unit_in(columns[path]) or _named_unit(path), 1.0
        if len(ratios) >= 10:
            middle = sorted(ratios)[len(ratios) // 2]
            unit, scale = _unit_of(middle)
            said.append(f"unit by the way travelled: over {len(ratios):,} steps {middle:.2f} times the m/s covered")
            if named is not None and named != unit:
                said.append(f"its name says {named}: look at it")
        else:
            unit = named or "km/h"
            said.append("unit by its name" if named else "the unit is a mere guess: too few steps to compare it with")
        scaled = {} if scale == 1.0 else {"scale": scale}
        found["speed"] = GuessedField("speed", {"path": path, "unit": unit} | scaled, said)
        taken.add(path)
        return


def _unit_of(times: float) -> tuple[str, float]:
    """(unit, scale) by which so many times the metres per second covered are right: raw counts only where no unit is
    near."""

    def off(one: tuple[str, float]) -> float:
        return abs(math.log(times * one[1] / _UNITS[one[0]]))

    plain = min(((unit, 1.0) for unit in _UNITS), key=off)
    if off(plain) < math.log(_NEAR):
        return plain
    scaled = min(((unit, scale) for scale in (0.1, 0.01, 0.001) for unit in _UNITS), key=off)
    return scaled if off(scaled) < math.log(_VERY_NEAR) else plain


def _unit_in(values: Sequence[Any]) -> str | None:
    """The unit that stands behind all of the numbers, where they are texts."""
    found = {one[1] if (one := measured(value)) else None for value in values if isinstance(value, str)}
    unit = found.pop() if len(found) == 1 else None
    return unit if unit in _UNITS else None


def _named_unit(path: str) -> str | None:
    words = words_of(path)
    for length, hours, unit in _SPELT_UNITS:
        if any(word.startswith(length) for word in words) and any(word.startswith(hours) for word in words):
            return unit
    return next((_NAMED_UNITS[word] for word in words if word in _NAMED_UNITS), None)


def _ratios(rows: Sequence[Row], path: str, found: dict[str, GuessedField]) -> list[float]:
    """Reported speed over metres per second covered, for each step of a moving vehicle."""
    if any(name not in found for name in ("fixed_at", "lat", "lon")):
        return []
    clock, lat, lon = found["fixed_at"].keys, found["lat"].keys, found["lon"].keys
    if "base" in clock:
        return []
    paths = clock.get("paths") or [clock["path"]]
    instants = [_joined(row, paths) for row in rows]
    form = clock_form([value for value in instants if value is not None])
    vehicle = found["vehicle"].keys.get("path", "") if "vehicle" in found else ""
    fixes = []
    for row, instant in zip(rows, instants, strict=True):
        at = None if form is None else form.seconds(instant)
        here = [degrees_at(row, lat, "lat"), degrees_at(row, lon, "lon")]
        speed = as_number(row.get(path))
        if at is not None and here[0] is not None and here[1] is not None and speed is not None:
            fixes.append((str(row.get(vehicle)), at, here[0], here[1], speed))
    fixes.sort()
    ratios = []
    for (v1, t1, la1, lo1, s1), (v2, t2, la2, lo2, s2) in pairwise(fixes):
        if v1 == v2 and 0 < t2 - t1 <= 60:
            east = (lo2 - lo1) * math.cos(math.radians(la1))
            covered = math.hypot(la2 - la1, east) * 111_195 / (t2 - t1)
            if 3 < covered < 70 and s1 + s2 > 0:
                ratios.append((s1 + s2) / 2 / covered)
    return ratios


def _joined(row: Row, paths: Sequence[str]) -> Any:
    values = [row.get(path) for path in paths]
    return values[0] if len(values) == 1 else None if None in values else " ".join(map(str, values))


def _number(name: str, columns: Columns, rows: int, fits: Any, found: dict[str, GuessedField], taken: set[str]) -> None:
    for path in candidates(name, columns):
        numbers = numbers_of(columns[path])
        if path not in taken and len(numbers) * 2 >= len(columns[path]) and fits(numbers):
            ends = f"{min(numbers):g} to {max(numbers):g}"
            found[name] = GuessedField(name, {"path": path}, [f"{_share(len(numbers), rows)}, {ends}, by its name"])
            taken.add(path)
            return


def _is_heading(numbers: list[float]) -> bool:
    return min(numbers) >= -1 and max(numbers) <= 511 and max(numbers) > 6.3


def _is_dilution(numbers: list[float]) -> bool:
    """Whether these are dilutions: mostly small, whatever says that there is no fix."""
    return min(numbers) >= 0 and sorted(numbers)[len(numbers) // 2] <= 10


def _is_positive(numbers: list[float]) -> bool:
    return min(numbers) >= 0


def _ignition(columns: Columns, rows: int, found: dict[str, GuessedField], taken: set[str]) -> None:
    for path in candidates("ignition", columns):
        different = {str(value).lower() for value in columns[path]}
        if path not in taken and different <= _SWITCHES:
            some = ", ".join(sorted(different))
            said = f"{_share(len(columns[path]), rows)}, {some}"
            found["ignition"] = GuessedField("ignition", {"path": path}, [said])
            taken.add(path)
            return
