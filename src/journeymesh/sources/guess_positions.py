"""Which columns hold the position, and how it is written: forms are those of mappings, read as mappings read them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.coordinates import Axis, coordinate
from journeymesh.sources.guess_columns import Columns, as_number, candidates, numbers_of
from journeymesh.sources.guess_words import words_of
from journeymesh.sources.mapping_fields import CoordinateField

_MOST: Final[dict[Axis, float]] = {"lat": 90.0, "lon": 180.0}
_LETTERS: Final[dict[Axis, frozenset[str]]] = {"lat": frozenset("NS"), "lon": frozenset("EW")}
_SCALES: Final = (1.0, 1e-5, 1e-6, 1e-7)
_ENOUGH: Final = 500
"""So many values show the form."""
_NAMES: Final = frozenset({
    "coordinate", "coordinates", "coords", "geo", "geom", "geometry", "geopoint", "gps", "koordinaten", "latlng",
    "latlon", "latlong", "location", "loc", "lnglat", "lonlat", "ort", "point", "pos", "position", "punkt", "standort",
    "ubicacion", "wkt", "posizione", "positie", "posicion",
})  # fmt: skip
_LATITUDE_FIRST: Final = frozenset({"latlng", "latlon", "latlong"})
_LONGITUDE_FIRST: Final = frozenset({"lnglat", "lonlat", "longlat"})
_IS_PAIR: Final = re.compile(r"\D*-?\d+\.\d.*[,;|/ ].*\d.*|\D*\d+.*[;|/ ].*\d.*", re.DOTALL)
"""A comma alone between digits may be that of a decimal number."""
_IS_PRECISE: Final = re.compile(r".*\d\.\d{4,}.*\d\.\d{4,}.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GuessedPosition:
    """A coordinate: the mapping's keys and the evidence in words."""

    keys: dict[str, Any]
    evidence: list[str]

    @property
    def paths(self) -> list[str]:
        """The columns that it takes."""
        return [self.keys[key] for key in ("path", "hemisphere_path") if key in self.keys]


def guess_positions(columns: Columns, rows: int) -> dict[Axis, GuessedPosition]:
    """Latitude and longitude, as far as they are found: two columns by their names, else one column of both."""
    found: dict[Axis, GuessedPosition] = {}
    for axis in _MOST:
        taken = {path for one in found.values() for path in one.paths}
        for path in candidates(axis, columns):
            if path not in taken and (one := _coordinate(axis, path, columns, rows)) is not None:
                found[axis] = one
                break
    if len(found) == len(_MOST):
        return _in_one_scale(found, columns, rows)
    return _both_in_one(columns, rows) or _by_value(columns, rows) or found


def _in_one_scale(found: dict[Axis, GuessedPosition], columns: Columns, rows: int) -> dict[Axis, GuessedPosition]:
    """Both by the smaller scale where they have two: a small longitude could be of a larger one."""
    scales = {axis: one.keys["scale"] for axis, one in found.items() if "scale" in one.keys}
    if len(scales) < len(_MOST) or len(set(scales.values())) == 1:
        return found
    scale, both = min(scales.values()), dict(found)
    for axis, one in found.items():
        keys = one.keys | {"scale": scale}
        told = _told(keys, [number * scale for number in numbers_of(columns[keys["path"]])], rows, "by its name")
        both[axis] = told or one
    return both


def _by_value(columns: Columns, rows: int) -> dict[Axis, GuessedPosition] | None:
    """Two columns without names of their own, one behind the other, that hold degrees by their values."""
    nameless = [path for path in columns if path.rpartition(".")[2].isdecimal() and _are_degrees(columns[path])]
    for one, other in pairwise(nameless):
        before, after = one.rpartition("."), other.rpartition(".")
        if before[0] != after[0] or int(after[2]) != int(before[2]) + 1 or len(columns[one]) != len(columns[other]):
            continue
        words = set(words_of(before[0]))
        tops = [max(map(abs, numbers_of(columns[path]))) for path in (one, other)]
        latitude_first = bool(words & _LATITUDE_FIRST) or not (words & (_LONGITUDE_FIRST | _NAMES))
        why = "by its values; latitude or longitude first? It could be the other way round"
        if max(tops) > _MOST["lat"]:
            latitude_first, why = tops[0] <= _MOST["lat"], "by its values"
        found: dict[Axis, GuessedPosition] = {}
        for axis, path in zip(("lat", "lon") if latitude_first else ("lon", "lat"), (one, other), strict=True):
            told = _told({"path": path}, numbers_of(columns[path]), rows, why)
            if told is not None:
                found["lat" if axis == "lat" else "lon"] = told
        return found if len(found) == len(_MOST) else None
    return None


def _are_degrees(values: Sequence[Any]) -> bool:
    """Whether nearly all are numbers with four decimals at least, as nothing else has that recorders write."""
    some = values[:_ENOUGH]
    numbers = numbers_of(some)
    if len(numbers) * 10 < len(some) * 9 or max(map(abs, numbers)) > _MOST["lon"]:
        return False
    precise = sum(len(str(value).strip().partition(".")[2]) >= 4 for value in some)
    return precise * 10 >= len(some) * 8


def degrees_at(row: dict[str, Any], keys: dict[str, Any], axis: Axis) -> float | None:
    """The coordinate of a row by the guessed keys, in degrees; None where there is none."""
    value = row.get(keys["path"])
    if "form" not in keys:
        number = as_number(value)
        return None if number is None else number * keys.get("scale", 1)
    letter = row.get(keys["hemisphere_path"]) if "hemisphere_path" in keys else None
    return _read(value, axis, letter, **keys)


def _coordinate(axis: Axis, path: str, columns: Columns, rows: int) -> GuessedPosition | None:
    values, most = columns[path], _MOST[axis]
    numbers = numbers_of(values)
    if len(numbers) * 2 < len(values):
        return _lettered(axis, path, values, rows)
    largest, are_whole = max(map(abs, numbers)), all(number == int(number) for number in numbers)
    named = next((name for name, given in columns.items() if _are_letters(given, axis)), None)
    scale = next((s for s in _SCALES if largest * s <= most), None)
    if scale is not None and (scale == 1.0 or are_whole) and (named is None or min(numbers) < 0):
        if "e7" in path.lower():
            scale = 1e-7
        keys: dict[str, Any] = {"path": path} | ({} if scale == 1.0 else {"scale": scale})
        return _told(keys, [number * scale for number in numbers], rows, "by its name")
    if axis == "lon" and most < largest <= 360 and min(numbers) >= 0 and named is None:
        keys = {"path": path, "form": "0_to_360"}
        return _told(keys, [n - 360 if n > 180 else n for n in numbers], rows, "east all round, by its name")
    keys = {"path": path, "form": "ddmm" if largest > most else "hemisphere"}
    keys |= {} if named is None else {"hemisphere_path": named}
    letters = columns[named] if named is not None else [None] * len(values)
    read = _whole([_read(value, axis, letter, **keys) for value, letter in zip(values, letters, strict=False)], most)
    return _told(keys, read, rows, "by its name and its look") if len(read) * 2 >= len(values) else None


def _lettered(axis: Axis, path: str, values: Sequence[Any], rows: int) -> GuessedPosition | None:
    """Texts with N, S, E or W, in degrees, or in degrees and minutes."""
    some = values[:_ENOUGH]
    for form in ("hemisphere", "dms", "ddmm"):
        read = _whole([_read(value, axis, None, path=path, form=form) for value in some], _MOST[axis])
        if len(read) * 10 >= len(some) * 9:
            every = _whole([_read(value, axis, None, path=path, form=form) for value in values], _MOST[axis])
            return _told({"path": path, "form": form}, every, rows, "by its name and its look")
    return None


def _both_in_one(columns: Columns, rows: int) -> dict[Axis, GuessedPosition] | None:
    """A column whose texts are positions: by their look where that is beyond doubt, else by the column's name, too."""
    texts = {path: values for path, values in columns.items() if all(isinstance(value, str) for value in values)}
    ranked = sorted(texts, key=lambda path: not _NAMES.intersection(words_of(path)))
    for path in ranked:
        forms = _forms(path, texts[path])
        if not forms:
            continue
        found: dict[Axis, GuessedPosition] = {}
        for axis, most in _MOST.items():
            keys = {"path": path, "form": forms[0]}
            read = _whole([_read(value, axis, None, **keys) for value in texts[path]], most)
            told = _told(keys, read, rows, "both in one text")
            if told is None:
                break
            if len(forms) > 1:
                told.evidence.append(f"latitude or longitude first? All of them could be read as {forms[1]}, too")
            found[axis] = told
        if len(found) == len(_MOST):
            return found
    return None


def _forms(path: str, values: Sequence[Any]) -> list[str]:
    """The forms by which at least nine in ten of the texts are positions on Earth, the likeliest first."""
    some, words = values[:_ENOUGH], set(words_of(path))
    is_named = bool(_NAMES.intersection(words))
    pairs = ("lon_lat", "lat_lon") if words & _LONGITUDE_FIRST else ("lat_lon", "lon_lat")
    found = []
    for form in ("wkt", "geojson", *pairs):
        fits = 0
        for value in some:
            if form in pairs and not (_IS_PAIR if is_named else _IS_PRECISE).fullmatch(value[:200]):
                continue
            read = [_read(value, axis, None, path=path, form=form) for axis in _MOST]
            fits += all(one is not None and abs(one) <= most for one, most in zip(read, _MOST.values(), strict=True))
        if fits * 10 >= len(some) * 9:
            found.append(form)
    return found


def _are_letters(values: Sequence[Any], axis: Axis) -> bool:
    different = {value.strip().upper() if isinstance(value, str) else "" for value in values}
    return bool(different) and different <= _LETTERS[axis]


def _read(value: Any, axis: Axis, letter: Any, **keys: Any) -> float | None:
    try:
        read = coordinate(value, CoordinateField(**keys), axis, letter)
    except Unconvertible:
        return None
    return None if read != read else read  # noqa: PLR0124  a NaN


def _whole(read: Sequence[float | None], most: float) -> list[float]:
    return [one for one in read if one is not None and abs(one) <= most]


def _told(keys: dict[str, Any], read: Sequence[float], rows: int, why: str) -> GuessedPosition | None:
    """None where nothing was read."""
    if not read:
        return None
    return GuessedPosition(keys, [f"{len(read):,} of {rows:,} rows, {min(read):.6g} to {max(read):.6g} degrees, {why}"])
