"""What a value of a source means: identifiers, numbers and switches. Every source asks here, for whole columns or for
one value at a time, so that a value means the same wherever it stands. Clocks are in ``clocks``.

A value is None, or what Python has for it: text, bool, int, float, Decimal, bytes, UUID, ObjectId, datetime.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

import bson
import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import F64

EXACT: Final = 2**53
"""From here on a double no longer holds every integer."""
_SHOWN: Final = 40
_MOST_DIGITS: Final = 100
_WHOLE_TEXT: Final = re.compile(r"([1-9]\d*)\.0+")
_SPREADSHEET_TEXT: Final = re.compile(r"([1-9])(?:[.,](\d+))?[eE]\+(\d+)")


class Unconvertible(ValueError):
    """A value that its mapping cannot make sense of; the text says why."""


def kind_of(value: object) -> str:
    """What people call the type of a value."""
    match value:
        case None:
            return "null"
        case bson.Code():  # a text to Python
            return "JavaScript"
        case bool():
            return "bool"
        case int() | float() | Decimal():
            return "number"
        case str():
            return "text"
        case datetime() | date() | time():
            return "date"
        case bytes():
            return "binary"
        case list() | tuple():
            return "array"
        case dict():
            return "object"
    return type(value).__name__


def shown(value: object) -> str:
    """The value as a message shows it: short."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def is_nan(value: object) -> bool:
    """Whether the value is a number that is none."""
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)


@dataclass(frozen=True, slots=True)
class Markers:
    """Values of a mapping that mean that there is none: numbers, and texts in lower case without blanks around."""

    numbers: tuple[float, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    @cache
    def of(cls, missing: tuple[str | int | float, ...] | None) -> Markers:
        """The markers as a mapping gives them; the text of a number means the number."""
        words = [_word(marker) for marker in missing or ()]
        return cls(
            tuple(word for word in words if isinstance(word, float)),
            tuple(word for word in words if isinstance(word, str)),
        )

    def __bool__(self) -> bool:
        return bool(self.numbers or self.words)

    def has(self, value: object) -> bool:
        """Whether the value is one of them."""
        if not self or isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            return False
        word = _word(value)
        return word in self.words if isinstance(word, str) else word in self.numbers

    def among(self, numbers: F64) -> npt.NDArray[np.bool_]:
        """Which of the numbers are."""
        return np.isin(numbers, self.numbers)


def identifier(value: object, *, untyped: bool = False) -> str | None:
    """The text of an identifier; None where there is none.

    Text stands as it is, leading zeros and all. A number without a fraction is that integer, as long as a double is
    exact. A UUID is written with dashes, an ObjectId in hexadecimal; other bytes are the text that they hold, else
    hexadecimal. ``untyped``: the source has texts only, so ``351756051523999.0`` may be a number.

    Raises:
        Unconvertible: for anything else.
    """
    match value:
        case None:
            return None
        case bool() | bson.Code():
            pass
        case str():
            if not value.strip():
                return None
            return _whole_of_text(value) if untyped else value
        case int():
            return str(int(value))
        case float() | Decimal():
            return _whole(value)
        case bson.ObjectId() | UUID():
            return str(value)
        case bytes():
            return _of_bytes(value)
    raise Unconvertible(f"expected a text, found {kind_of(value)}")


def _whole(value: float | Decimal) -> str | None:
    if is_nan(value):
        return None
    finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    if finite and isinstance(value, Decimal) and value.adjusted() >= _MOST_DIGITS:
        raise Unconvertible(f"{shown(value)} has {value.adjusted() + 1} digits, and is no identifier")
    if not finite or value != int(value):
        raise Unconvertible(f"{shown(value)} is a number with a fraction, and no identifier")
    if isinstance(value, float) and abs(value) >= EXACT:
        raise Unconvertible(f"{value:.0f} is a double too large to be exact: its last digits may be lost")
    return str(int(value))


def _whole_of_text(text: str) -> str:
    plain = text.strip()
    if (whole := _WHOLE_TEXT.fullmatch(plain)) is not None:
        return whole[1]
    if (rounded := _SPREADSHEET_TEXT.fullmatch(plain)) is not None:
        digits, exponent = rounded[1] + (rounded[2] or ""), int(rounded[3])
        if len(digits) != exponent + 1:
            raise Unconvertible(f"{shown(text)} was rounded by a spreadsheet: its last digits are lost")
        return digits
    return text


def _of_bytes(value: bytes) -> str | None:
    if isinstance(value, bson.Binary) and value.subtype in (3, 4) and len(value) == 16:
        return str(UUID(bytes=bytes(value)))
    if isinstance(value, bson.Binary) and value.subtype != 0:
        raise Unconvertible(f"expected a text, found binary of subtype {value.subtype}")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()
    return (text if text.isprintable() else value.hex()) if text.strip() else None


def number(value: object) -> float:
    """A number, or the text of one; NaN where there is none.

    Raises:
        Unconvertible: for anything else.
    """
    match value:
        case None:
            return math.nan
        case bool():
            pass
        case Decimal() if value.is_nan():  # a signalling one refuses to be a float
            return math.nan
        case int() | float() | Decimal():
            try:
                return float(value)
            except OverflowError:
                raise Unconvertible(f"{shown(value)} is too large a number") from None
        case str() if not value.strip():
            return math.nan
        case str() if "_" not in value and value.strip().isascii():
            try:
                return float(value)
            except ValueError:
                raise Unconvertible(f"{shown(value)} is not a number") from None
    what = shown(value) if isinstance(value, str) else kind_of(value)
    raise Unconvertible(f"{what} is not a number")


def _word(value: object) -> Any:
    """What values that mean the same switch have in common: ``true``, ``"1 "`` and 1.0 do."""
    match value:
        case bool() | int() | float() | Decimal():
            return number(int(value) if isinstance(value, bool) else value)
        case str():
            plain = value.strip().casefold()
            if plain in ("true", "false"):
                return float(plain == "true")
            try:
                return number(plain)
            except Unconvertible:
                return plain
    return value


def switch(value: object, on: tuple[Any, ...], off: tuple[Any, ...]) -> int:
    """1 where the value is one of ``on``, 0 for ``off``, -1 where there is none. Case and blanks do not matter.

    Raises:
        Unconvertible: it is neither.
    """
    if value is None or (isinstance(value, str) and not value.strip()) or is_nan(value):
        return -1
    if isinstance(value, bool | int | float | Decimal | str):
        word = _word(value)
        if is_nan(word):
            return -1
        if word in [_word(known) for known in on]:
            return 1
        if word in [_word(known) for known in off]:
            return 0
        raise Unconvertible(f"{shown(value)} is neither on nor off")
    raise Unconvertible(f"expected a switch, found {kind_of(value)}")
