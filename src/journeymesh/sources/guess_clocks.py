"""How a column of clocks is written, by its values. Forms are those of mappings, read as mappings read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from journeymesh.sources.clock_texts import wall_of_format, wall_of_iso
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.mapping_fields import ClockField

_EARLIEST_S: Final = datetime(1995, 1, 1, tzinfo=UTC).timestamp()
_LATEST_S: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_FORMATS: Final = (
    "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S.%f",
    "%d-%b-%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M:%S", "%d.%m.%y %H:%M:%S", "%d/%m/%y %H:%M:%S",
    "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z", "%d.%m.%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S.%f",
    "%d%m%y %H%M%S",
)  # fmt: skip
_COUNTS: Final = {
    "epoch_s": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
    "epoch_us": "microseconds since 1970",
    "epoch_ns": "nanoseconds since 1970",
}
_ENOUGH: Final = 500
"""So many values show the form; all of them are counted by it."""


@dataclass(frozen=True, slots=True)
class ClockForm:
    """How clocks are written: the mapping's keys, how many values fit, and their span.

    ``is_local``: some name neither zone nor offset. ``or_else`` is a format by which all of them could be read, too.
    """

    keys: dict[str, Any]
    words: str
    count: int
    first: str
    last: str
    is_local: bool
    read: Callable[[Any], float | None]
    or_else: str | None = None

    def seconds(self, value: Any) -> float | None:
        """Seconds since 1970 of a value; None where it does not fit."""
        return self.read(value)


def clock_form(values: Sequence[Any], *, days: bool = True) -> ClockForm | None:
    """The form by which most of the first 500 values are instants from 1995 to 2100; None where no form fits nine in
    ten of them. The form's count and span are of all values. Without ``days``, the days of a spreadsheet are not looked
    for: many a number looks like one."""
    some = values[:_ENOUGH]
    best: tuple[int, dict[str, Any], str, Callable[[Any], float | None]] | None = None
    other: str | None = None
    for keys, words, read in _forms(days):
        fits = within([read(value) for value in some])
        if not fits or len(fits) * 10 < len(some) * 9:
            continue
        if best is None or len(fits) > best[0]:
            best, other = (len(fits), keys, words, read), None
        elif len(fits) == best[0] and "format" in keys and "format" in best[1]:
            other = other or keys["format"]
    if best is None:
        return None
    _, keys, words, read = best
    fits = within([read(value) for value in values])
    local = keys["clock"] == "excel_days" or any(is_local(value, keys) for value in some)
    return ClockForm(keys, words, len(fits), _rfc3339(min(fits)), _rfc3339(max(fits)), local, read, other)


def is_local(value: Any, keys: dict[str, Any]) -> bool:
    """Whether a value is a local time: a date or a text that names neither zone nor offset."""
    if isinstance(value, datetime):
        return value.tzinfo is None
    if not isinstance(value, str):
        return False
    try:
        if keys["clock"] == "strftime":
            return wall_of_format(value, keys["format"]).tzinfo is None
        if keys["clock"] in ("iso8601", "bson_date", "mixed"):
            wall, named = wall_of_iso(value)
            return wall.tzinfo is None and named is None
    except Unconvertible:
        pass
    return False


def within(read_at: Sequence[float | None]) -> list[float]:
    """Those instants, in seconds since 1970, at which a recorder may have been on the road: from 1995 to 2100."""
    return [at for at in read_at if at is not None and _EARLIEST_S <= at <= _LATEST_S]


def _forms(days: bool) -> list[tuple[dict[str, Any], str, Callable[[Any], float | None]]]:
    forms: list[tuple[dict[str, Any], str, Callable[[Any], float | None]]] = [
        ({"clock": "bson_date"}, "a date", _date),
        *(({"clock": name}, words, _counted(_clock(name))) for name, words in _COUNTS.items()),
        ({"clock": "iso8601"}, "ISO 8601", _text(_clock("iso8601"))),
    ]
    for text in _FORMATS:
        keys = {"clock": "strftime", "format": text}
        forms.append((keys, "by its look", _text(ClockField(path="-", clock="strftime", format=text))))
    forms.append(({"clock": "mixed"}, "written in several ways", _read(_clock("mixed"))))
    if days:
        words = "days since 1899-12-30, as in spreadsheets"
        forms.append(({"clock": "excel_days"}, words, _counted(_clock("excel_days"))))
    return forms


def _clock(name: Any) -> ClockField:
    return ClockField(path="-", clock=name)


def _date(value: Any) -> float | None:
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _counted(clock: ClockField) -> Callable[[Any], float | None]:
    read = _read(clock)
    return lambda value: read(value.strip().replace(",", ".") if isinstance(value, str) else value)


def _read(clock: ClockField) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if isinstance(value, bool | date):
            return None
        try:
            at_us = clock_us(value, clock)
        except Unconvertible:
            return None
        return None if at_us is None else at_us / 1e6

    return read


def _text(clock: ClockField) -> Callable[[Any], float | None]:
    """Numbers with a fraction are no texts."""
    read = _read(clock)
    return lambda value: None if isinstance(value, float) else read(value)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
