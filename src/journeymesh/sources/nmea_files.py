"""NMEA 0183: the position sentences (RMC, GGA) of one instant become one fix, and one whose checksum is wrong is
refused. The sentences are as the receivers' manuals describe them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import xor
from typing import Any, Final

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.accuracy import HdopField, ValidField
from journeymesh.sources.files import SourceFile, opened, read_position
from journeymesh.sources.mapping import AngleField, ClockField, CoordinateField, FieldMappings, SpeedField, TextField
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.recorded_rows import RecordedRows
from journeymesh.sources.refused_rows import refused_text
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.text_encoding import Utf8Stream, decoded

NMEA_FIELDS: Final = FieldMappings(
    vehicle=TextField(path="file"),
    fixed_at=ClockField(path="time", clock="iso8601"),
    lat=CoordinateField(path="lat"),
    lon=CoordinateField(path="lon"),
    speed=SpeedField(path="speed_kn", unit="knots"),
    heading=AngleField(path="course"),
    hdop=HdopField(path="hdop"),
    valid=ValidField(path="valid"),
)
"""What sentences are read as without a mapping; the vehicle is the file's name without its ending."""
COLUMNS: Final = ("file", "time", "lat", "lon", "speed_kn", "course", "hdop", "valid", "satellites", "altitude_m")
BLOCK_BYTES: Final = 4 << 20
_MOST_LINE_BYTES: Final = 4096
_MOST_REFUSALS: Final = 1 << 16
_MOST_UNDATED: Final = 100_000
_HALF_DAY: Final = timedelta(hours=12)


@dataclass(slots=True)
class NmeaFile:
    """One file being read."""

    file: SourceFile
    number: int
    reading: RowReading
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SourceBatch]:
        """Every instant once, in the order of the file. Its line is that of its first sentence."""
        rows = RecordedRows(self.file, self.number, self.reading, COLUMNS)
        epochs = _Epochs()
        line, tail, position, without_sum, other = 0, b"", 0, 0, 0
        with opened(self.file) as raw:
            stream = Utf8Stream(raw)
            while True:
                piece = stream.read(BLOCK_BYTES)
                lines = (tail + piece).replace(b"\r", b"\n" if b"\n" not in piece else b"").split(b"\n")
                tail = lines.pop()[:_MOST_LINE_BYTES] if piece else b""  # of a longer line no more is read
                refusals = []
                for text in lines:
                    line += 1
                    kind, fault = epochs.add(line, text[:_MOST_LINE_BYTES])
                    without_sum += kind == "unchecked"
                    other += kind == "other"
                    if fault:
                        refusals.append(refused_text(f"{self.file.name}:{line}", fault, text, rows.keys))
                    if len(refusals) == _MOST_REFUSALS:
                        yield SourceBatch(Fixes.empty(), refusals)
                        refusals = []
                moved, position = read_position(raw) - position, read_position(raw)
                yield rows.batch(epochs.taken(final=not piece), moved)
                if refusals:
                    yield SourceBatch(Fixes.empty(), refusals)
                if not piece:
                    break
        if without_sum:
            self.notes.append(f"{without_sum} sentences without a checksum")
        if other:
            self.notes.append(f"{other} lines that are no sentences")


class _Epochs:
    """Sentences gathered by their instant, which their time of day tells; the day is RMC's."""

    def __init__(self) -> None:
        self._open: dict[str, Any] | None = None
        self._clock: timedelta | None = None
        self._day: date | None = None
        self._last: timedelta | None = None
        self._undated: list[tuple[int, timedelta, dict[str, Any]]] = []
        self._ready: list[tuple[int, dict[str, Any]]] = []
        self._line = 0

    def add(self, line: int, text: bytes) -> tuple[str, str]:
        """(what it is, what is wrong with it) of one line."""
        start = text.find(b"$")
        if start < 0:
            return ("other" if text.strip() else "blank"), ""
        sentence, star, told = text[start + 1 :].strip().partition(b"*")
        parts = sentence.decode("ascii", "replace").split(",")
        kind = parts[0][-3:]
        if len(parts[0]) != 5 or kind not in ("RMC", "GGA"):
            return "sentence", ""
        if star:
            counted = reduce(xor, sentence, 0)
            if told.strip().upper() != f"{counted:02X}".encode():
                return "sentence", f"checksum is {decoded(told[:8]).strip()} and should be {counted:02X}"
        try:
            clock = _time_of_day(parts[1])
            values = _rmc(parts) if kind == "RMC" else _gga(parts)
            day = _day(parts[9]) if kind == "RMC" and parts[9] else None
        except (ValueError, IndexError, OverflowError):
            return "sentence", f"{parts[0]} cannot be read"
        if clock is None:
            return "sentence", ""  # the receiver does not know the time yet
        self._put(line, clock, day, values)
        return ("sentence" if star else "unchecked"), ""

    def taken(self, final: bool) -> list[tuple[int, dict[str, Any]]]:
        """(line, row) of the instants that are whole."""
        if final:
            self._close()
            self._ready += [(line, values) for line, _, values in self._undated]  # refused for want of a day
            self._undated = []
        ready, self._ready = self._ready, []
        return ready

    def _put(self, line: int, clock: timedelta, day: date | None, values: dict[str, Any]) -> None:
        if self._clock != clock:
            self._close()
            self._open, self._clock, self._line = {}, clock, line
        assert self._open is not None
        if day is not None:
            self._open["day"] = day
        is_void = "V" in (self._open.get("valid"), values.get("valid"))
        self._open |= {name: value for name, value in values.items() if value is not None}
        if is_void:
            self._open["valid"] = "V"

    def _close(self) -> None:
        values, clock = self._open, self._clock
        self._open = self._clock = None
        if values is None or clock is None:
            return
        day = values.pop("day", None)
        if day is None and self._day is not None and self._last is not None:
            day = self._day + timedelta(days=self._last - clock > _HALF_DAY)
        if day is None:
            self._undated.append((self._line, clock, values))
            if len(self._undated) > _MOST_UNDATED:
                line, _, refused = self._undated.pop(0)
                self._ready.append((line, refused))
            return
        for line, earlier, undated in self._undated:
            before = day - timedelta(days=earlier - clock > _HALF_DAY)
            self._ready.append((line, undated | {"time": _instant(before, earlier)}))
        self._undated = []
        self._day, self._last = day, clock
        self._ready.append((self._line, values | {"time": _instant(day, clock)}))


def _instant(day: date, clock: timedelta) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + clock


def _rmc(parts: list[str]) -> dict[str, Any]:
    return {
        "lat": _degrees(parts[3], parts[4]),
        "lon": _degrees(parts[5], parts[6]),
        "speed_kn": _number(parts[7]),
        "course": _number(parts[8]),
        "valid": parts[2] or None,
    }


def _gga(parts: list[str]) -> dict[str, Any]:
    values = {
        "lat": _degrees(parts[2], parts[3]),
        "lon": _degrees(parts[4], parts[5]),
        "satellites": _number(parts[7]),
        "hdop": _number(parts[8]),
        "altitude_m": _number(parts[9]),
    }
    return values | ({"valid": "V"} if parts[6] == "0" else {})


def _degrees(text: str, side: str) -> float | None:
    """Degrees of ``ddmm.mmmm`` and its hemisphere; None where there is none."""
    if not text.strip():
        return None
    whole, minutes = divmod(_plain(text), 100.0)
    if minutes >= 60.0 or side not in ("N", "S", "E", "W"):
        raise ValueError(text)
    degrees = whole + minutes / 60.0
    return -degrees if side in ("S", "W") else degrees


def _number(text: str) -> float | None:
    return _plain(text) if text.strip() else None


def _plain(text: str) -> float:
    if not set(text) <= set("0123456789.-+ "):
        raise ValueError(text)
    return float(text)


def _time_of_day(text: str) -> timedelta | None:
    if not text.strip():
        return None
    hours, minutes, seconds = int(text[:2]), int(text[2:4]), _plain(text[4:])
    if not (hours < 24 and minutes < 60 and seconds < 61):
        raise ValueError(text)
    return timedelta(hours=hours, minutes=minutes, microseconds=round(seconds * 1e6))


def _day(text: str) -> date:
    year = int(text[4:6])
    return date(year + (1900 if year >= 80 else 2000), int(text[2:4]), int(text[:2]))
