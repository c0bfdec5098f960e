"""GPX 1.0 and 1.1: each point of a track becomes a fix. The text is read in pieces, so that its length does not matter,
and one that declares a document type is refused: nothing of GPX needs it, and entities that unfold need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.accuracy import HdopField
from journeymesh.sources.files import FileDamaged, SourceFile, opened, read_position
from journeymesh.sources.mapping import AngleField, ClockField, CoordinateField, FieldMappings, SpeedField, TextField
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.recorded_rows import RecordedRows
from journeymesh.sources.refused_rows import refused_text
from journeymesh.sources.row_reading import RowReading

GPX_FIELDS: Final = FieldMappings(
    vehicle=TextField(path="file"),
    fixed_at=ClockField(path="time", clock="iso8601"),
    lat=CoordinateField(path="lat"),
    lon=CoordinateField(path="lon"),
    speed=SpeedField(path="speed", unit="m/s"),
    heading=AngleField(path="course"),
    hdop=HdopField(path="hdop"),
)
"""What points are read as without a mapping; the vehicle is the file's name without its ending."""
COLUMNS: Final = ("file", "track", "time", "lat", "lon", "speed", "course", "hdop", "ele", "sat", "fix")
"""And whatever else stands in a point's extensions, by its name, with or without the file's prefix of it."""
BLOCK_BYTES: Final = 1 << 20
_MOST_TEXT: Final = 64 << 10
_MOST_VALUES: Final = 200
_MOST_DEPTH: Final = 100
_MOST_NAMES: Final = 10_000
"""The parser keeps every name that it meets, of elements and of attributes, until it ends."""
_MOST_UNREAD: Final = 4 << 20
"""Bytes that the parser keeps of a tag, a comment or the like that does not end."""


@dataclass(slots=True)
class GpxFile:
    """One file being read."""

    file: SourceFile
    number: int
    reading: RowReading
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SourceBatch]:
        """Every track point once; its number counts the points of the file from 1.

        Raises:
            FileDamaged: it declares a document type, is no GPX, or has tags, names or nesting as no device writes.
        """
        named = {path for path in (self.reading.fields.vehicle.path, self.reading.fields.lat.path) if path}
        rows = RecordedRows(self.file, self.number, self.reading, (*COLUMNS, *named))
        prefixed = {path for path in self.reading.paths if ":" in path}
        points = _Points(prefixed)
        position = 0
        fault = ""
        with opened(self.file) as raw:
            while not fault:
                piece = raw.read(BLOCK_BYTES)
                try:
                    points.feed(piece, final=not piece)
                except expat.ExpatError as error:
                    fault = f"the XML is broken: {error}"
                except _Refused as error:
                    todo = "give a valid GPX file"
                    raise FileDamaged(f"{self.file.name}: {error}", todo=todo) from error
                moved, position = read_position(raw) - position, read_position(raw)
                yield rows.batch(points.taken(), moved)
                if not piece:
                    break
        if fault:
            origin = f"{self.file.name}:{points.number + 1}"
            yield SourceBatch(Fixes.empty(), [refused_text(origin, fault, b"", rows.keys)])
            self.notes.append(f"ends early: {fault}")
        if points.others:
            self.notes.append(f"{points.others} waypoints and route points are left out")
        self.notes += [f"no point has <{path}>" for path in sorted(prefixed - points.met)]


class _Refused(Exception):
    """XML that no device writes."""


class _Points:
    """Collects track points from pieces of XML."""

    def __init__(self, prefixed: Set[str] = frozenset()) -> None:
        self._prefixed = prefixed
        self.met: set[str] = set()
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._ready: list[tuple[int, dict[str, Any]]] = []
        self._point: dict[str, Any] | None = None
        self._in_name = False
        self._track: str | None = None
        self._depth = self._point_depth = self._track_depth = 0
        self._value: list[str] = []
        self._length = self._fed = 0
        self.number = self.others = 0

    def feed(self, piece: bytes, final: bool) -> None:
        """Read a piece."""
        try:
            self._parser.Parse(piece, final)
        except (LookupError, ValueError) as error:  # what Python's codecs say, where expat asks them
            raise _Refused("its encoding is unknown, or has several bytes a character") from error
        self._fed += len(piece)
        at = self._parser.CurrentByteIndex
        if self._fed - max(at, 0) > _MOST_UNREAD:
            raise _Refused(f"behind byte {max(at, 0):,} there is a tag or a comment of more than 4 MiB")
        if len(self._parser.intern) > _MOST_NAMES:
            raise _Refused(f"it has more than {_MOST_NAMES:,} names of elements and attributes")

    def taken(self) -> list[tuple[int, dict[str, Any]]]:
        """(number, values) of the points read since."""
        ready, self._ready = self._ready, []
        return ready

    def _doctype(self, *_: Any) -> None:
        raise _Refused("it declares a document type, which GPX does not have")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise _Refused(f"its elements are nested deeper than {_MOST_DEPTH}")
        if self._depth == 1 and local != "gpx":
            raise _Refused(f"its root is <{name[:40]}>, not <gpx>")
        self._value, self._length = [], 0
        if local == "trk":
            self._track, self._track_depth = None, self._depth
        elif local == "trkpt":
            self._point, self._point_depth = {"lat": attributes.get("lat"), "lon": attributes.get("lon")}, self._depth
        elif local in ("wpt", "rtept"):
            self.others += 1

    def _text(self, text: str) -> None:
        self._length += len(text)
        if self._length <= _MOST_TEXT:
            self._value.append(text)

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        text = "".join(self._value).strip()
        if self._point is not None and self._depth > self._point_depth:
            if text and len(self._point) < _MOST_VALUES:
                self._point.setdefault(local, text)
                if name in self._prefixed:
                    self._point.setdefault(name, text)
                    self.met.add(name)
        elif self._point is not None:
            self.number += 1
            self._ready.append((self.number, self._point | {"track": self._track}))
            self._point = None
        elif local == "name" and self._depth == self._track_depth + 1:
            self._track = text or None
        self._value, self._length = [], 0
        self._depth -= 1
