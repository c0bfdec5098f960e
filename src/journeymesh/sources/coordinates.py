"""Coordinates as other people write them: with a hemisphere, in minutes, from 0 to 360, both in one value.

A ``form`` of the mapping says which. ``degrees`` and ``0_to_360`` are numbers and read by whole columns; the other
forms are texts, and every source asks here for each value that differs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
import numpy as np

from journeymesh.journeys.fixes import F64, I32
from journeymesh.sources.conversions import Markers, Unconvertible, is_nan, kind_of, number, shown
from journeymesh.sources.mapping_fields import CoordinateField

Axis = Literal["lat", "lon"]

BOTH_IN_ONE: Final = ("wkt", "geojson", "lat_lon", "lon_lat")
"""The forms in which one value is a latitude and a longitude."""
WITH_HEMISPHERE: Final = ("hemisphere", "ddmm", "dms")
"""The forms in which a letter may say the hemisphere."""

_LETTERS: Final = {"lat": "NS", "lon": "EW"}
_WORDS: Final = {"N": "N", "S": "S", "E": "E", "W": "W", "NORTH": "N", "SOUTH": "S", "EAST": "E", "WEST": "W"}
_MOST_CHARS: Final = 200
_WGS84: Final = (None, "4326")
_DECIMAL: Final = r"\d+(?:[.,]\d*)?"
_LETTERED: Final = re.compile(r"([NSEW])?\s*([+-]?)\s*(.*?)\s*([NSEW])?", re.IGNORECASE | re.DOTALL)
_DEGREES: Final = re.compile(rf"({_DECIMAL})\s*(?:°|º|deg)?")
_MINUTES: Final = re.compile(rf"({_DECIMAL})")
_SECONDS: Final = re.compile(
    rf"({_DECIMAL})(?:\s*(?:°|º|deg|:|\s)\s*(?:({_DECIMAL})(?:\s*(?:'|′|’|:|\s)\s*"
    rf"(?:({_DECIMAL})\s*(?:\"|″|”|'')?)?)?)?)?"
)
_EXPONENT: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_WKT: Final = re.compile(
    rf"(?:SRID\s*=\s*(\d+)\s*;)?\s*POINT\s*(?:ZM|Z|M)?\s*"
    rf"(?:(EMPTY)|\(\s*({_EXPONENT})\s+({_EXPONENT})(?:\s+(?:{_EXPONENT}|nan)){{0,2}}\s*\))",
    re.IGNORECASE,
)
_EXPECTED: Final = {
    "hemisphere": "degrees with N, S, E or W",
    "ddmm": "degrees and minutes as ddmm.mmmm",
    "dms": "degrees, minutes and seconds",
    "wkt": "a point as WKT",
    "geojson": "a point as GeoJSON text",
    "lat_lon": "a latitude and a longitude",
    "lon_lat": "a longitude and a latitude",
}


_GEO: Final = re.compile(r"geo:([^,;]+,[^,;]+)(?:,[^,;]+)?(?:;.*)?", re.IGNORECASE)
"""A geo URI (RFC 5870): latitude, longitude, perhaps an altitude, and parameters."""


def _half(decimals: str) -> str:
    one = rf"[+-]?(?:\d+(?:{decimals}\d*)?|{decimals}\d+)\s*°?"
    return rf"([NSEW]\s*{one}|{one}\s*[NSEW]|{one})"


_POINTS, _COMMAS = _half(r"\."), _half(r"[.,]")
_PAIRS: Final = (
    re.compile(rf"{_POINTS}\s*,\s*{_POINTS}", re.IGNORECASE),
    re.compile(rf"{_COMMAS}\s*[;|/]\s*{_COMMAS}", re.IGNORECASE),
    re.compile(rf"{_COMMAS}\s+{_COMMAS}", re.IGNORECASE),
)


def is_number(field: CoordinateField) -> bool:
    """Whether the coordinate is a plain number."""
    return field.form in ("degrees", "0_to_360")


def wrapped(degrees: F64, field: CoordinateField) -> F64:
    """The degrees, from -180 to 180 where the field has them from 0 to 360."""
    if field.form != "0_to_360":
        return degrees
    return np.where((degrees > 180.0) & (degrees <= 360.0), degrees - 360.0, degrees)


def coordinates(
    values: Sequence[Any],
    codes: I32,
    field: CoordinateField,
    axis: Axis,
    letters: tuple[Sequence[Any], I32] | None = None,
) -> tuple[F64, dict[int, str]]:
    """(float64[n] in the field's unit, NaN where there is none; what is wrong, by row) of values in a dictionary.

    ``codes`` is int32[n] into the values, -1 where there is none; ``letters`` are the values of ``hemisphere_path``.
    """
    joint = codes.astype(np.int64)
    names: Sequence[Any] = ()
    if letters is not None:
        names, letter_codes = letters
        joint = np.where(codes < 0, -1, joint * (len(names) + 1) + letter_codes + 1)
    present, at = np.unique(joint, return_inverse=True)
    found = np.full(len(present), math.nan)
    bad: dict[int, str] = {}
    for place, one in enumerate(present.tolist()):
        if one < 0:
            continue
        code, named = (one, 0) if letters is None else divmod(one, len(names) + 1)
        try:
            found[place] = coordinate(values[code], field, axis, names[named - 1] if named else None)
        except Unconvertible as error:
            bad[place] = f"{field.path}: {error}"
    faults = {}
    if bad:
        faults = {row: bad[int(at[row])] for row in np.flatnonzero(np.isin(at, list(bad))).tolist()}
    return found[at], faults


def coordinate(value: object, field: CoordinateField, axis: Axis, letter: object = None) -> float:
    """A coordinate in the field's unit, north and east positive; NaN where there is none. ``letter`` is what stands at
    ``hemisphere_path``.

    Raises:
        Unconvertible: it is not written in the field's form.
    """
    if value is None or (isinstance(value, str) and not value.strip()) or is_nan(value):
        return math.nan
    if Markers.of(field.missing).has(value):
        return math.nan
    if field.form in BOTH_IN_ONE:
        if not isinstance(value, str):
            raise Unconvertible(f"expected {_EXPECTED[field.form]}, found {kind_of(value)}")
        if (pair := _READERS[field.form](value)) is None:
            return math.nan
        return pair[0] if axis == "lat" else pair[1]
    named = _hemisphere(letter, axis)
    degrees, own = _one(value, field.form, axis)
    if named is not None and own is not None and named != own:
        raise Unconvertible(f"{shown(value)} and {named} at {field.hemisphere_path} contradict each other")
    hemisphere = own or named
    if hemisphere is None and (field.form == "hemisphere" or field.hemisphere_path is not None):
        at = "" if field.hemisphere_path is None else f" at {field.hemisphere_path}"
        raise Unconvertible(f"{shown(value)} has no hemisphere{at}")
    return _signed(degrees, hemisphere, value)


def _signed(degrees: float, hemisphere: str | None, value: object) -> float:
    if hemisphere is not None and degrees < 0:
        raise Unconvertible(f"{shown(value)} has both a sign and a hemisphere")
    return -degrees + 0.0 if hemisphere in ("S", "W") else degrees


def _hemisphere(letter: object, axis: Axis) -> str | None:
    if letter is None or (isinstance(letter, str) and not letter.strip()):
        return None
    named = _WORDS.get(letter.strip().upper()) if isinstance(letter, str) else None
    if named is None or named not in _LETTERS[axis]:
        found = shown(letter) if isinstance(letter, str) else kind_of(letter)
        raise Unconvertible(f"expected {' or '.join(_LETTERS[axis])} as hemisphere, found {found}")
    return named


def _one(value: object, form: str, axis: Axis) -> tuple[float, str | None]:
    """(degrees, the letter in the value itself)."""
    try:
        plain = None if isinstance(value, str) and len(value) > _MOST_CHARS else number(value)
    except Unconvertible:
        plain = None
    if plain is not None:
        if not math.isfinite(plain):
            raise _unlike(value, form)
        return (_of_minutes(plain, value) if form == "ddmm" else plain), None
    if not isinstance(value, str) or len(value) > _MOST_CHARS:
        raise _unlike(value, form)
    parts = _LETTERED.fullmatch(value.strip())
    assert parts is not None  # it takes any text
    before, sign, body, after = parts.groups()
    read = {"hemisphere": _DEGREES, "ddmm": _MINUTES, "dms": _SECONDS}[form].fullmatch(body)
    if read is None or (before and after):
        raise _unlike(value, form)
    numbers = [float(part.replace(",", ".")) for part in read.groups() if part is not None]
    if form == "ddmm":
        degrees = _of_minutes(numbers[0], value)
    elif any(part != int(part) for part in numbers[:-1]) or any(part >= 60 for part in numbers[1:]):
        raise _unlike(value, form)
    else:
        degrees = math.fsum(part / 60**place for place, part in enumerate(numbers))
    return (-degrees if sign == "-" else degrees), _hemisphere(before or after, axis)


def _of_minutes(number: float, value: object) -> float:
    whole, minutes = divmod(abs(number), 100.0)
    if minutes >= 60:
        raise _unlike(value, "ddmm")
    return math.copysign(whole + minutes / 60, number)


def _wkt(text: str) -> tuple[float, float] | None:
    found = _WKT.fullmatch(text.strip()) if len(text) <= _MOST_CHARS else None
    if found is None:
        raise _unlike(text, "wkt")
    system, empty, lon, lat = found.groups()
    if system not in _WGS84:
        raise Unconvertible(f"SRID {system} is not WGS84, which is 4326")
    return None if empty else (float(lat), float(lon))


def _geojson(text: str) -> tuple[float, float] | None:
    try:
        point = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise _unlike(text, "geojson") from None
    if isinstance(point, dict) and point.get("type") == "Feature":
        point = point.get("geometry")
    if point is None:
        return None
    pair = point.get("coordinates") if isinstance(point, dict) and point.get("type") == "Point" else None
    if pair == []:
        return None
    if not isinstance(pair, list) or len(pair) < 2 or any(type(one) not in (int, float) for one in pair[:2]):
        raise _unlike(text, "geojson")
    return number(pair[1]), number(pair[0])


def _two_numbers(text: str) -> tuple[float, float] | None:
    """The numbers before and after the only comma; None where there are not just these."""
    first, _, second = text.partition(",")
    try:
        one, other = number(first), number(second)
    except Unconvertible:
        return None
    return (one, other) if math.isfinite(one) and math.isfinite(other) else None


def _pair(text: str, form: str, axes: tuple[Axis, Axis]) -> tuple[float, float]:
    plain = text.strip()
    if plain[:1] + plain[-1:] in ("()", "[]"):
        plain = plain[1:-1].strip()
    if form == "lat_lon" and (uri := _GEO.fullmatch(plain)) is not None:
        plain = uri[1]
    if (two := _two_numbers(plain)) is not None:  # what most have, and much faster
        return two if axes[0] == "lat" else (two[1], two[0])
    tried = _PAIRS if len(plain) <= _MOST_CHARS else ()
    found = next((fits for one in tried if (fits := one.fullmatch(plain)) is not None), None)
    if found is None:
        raise _unlike(text, form)
    read = {}
    for axis, half in zip(axes, found.groups(), strict=True):
        degrees, letter = _one(half, "hemisphere", axis)
        read[axis] = _signed(degrees, letter, text)
    return read["lat"], read["lon"]


_READERS: Final[dict[str, Callable[[str], tuple[float, float] | None]]] = {
    "wkt": _wkt,
    "geojson": _geojson,
    "lat_lon": lambda text: _pair(text, "lat_lon", ("lat", "lon")),
    "lon_lat": lambda text: _pair(text, "lon_lat", ("lon", "lat")),
}


def _unlike(value: object, form: str) -> Unconvertible:
    """The value is not written in this form."""
    is_shown = isinstance(value, str | int | float | Decimal) and not isinstance(value, bool)
    return Unconvertible(f"expected {_EXPECTED[form]}, found {shown(value) if is_shown else kind_of(value)}")
