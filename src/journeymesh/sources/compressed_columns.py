"""Columns of compressed time-series buckets (BSON binary of subtype 7) to the values that were put in.

A column is a sequence of parts, each begun by one byte: a value as it stands; up to 16 words of Simple-8b with the
differences from value to value; or a run of documents, a reference document with a stream of differences for each of
its values. A zero ends it. MongoDB publishes the format with its server (``src/mongo/bson/column``).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Final

from journeymesh.sources.simple8b import DamagedColumn, slots_of

MOST_VALUES: Final = 1 << 17
"""A column of more values is taken for an attack: servers put a thousand measurements into a bucket."""
MOST_BYTES: Final = 64 << 20
MOST_DEPTH: Final = 100
MOST_WAITING: Final = 1 << 19
"""So many differences of a run of documents may have been read before their turn has come."""

Value = tuple[int, bytes]
"""A BSON type and the value's bytes."""

_FIXED: Final = {
    0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0,
}  # fmt: skip
_COUNTED: Final = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0D: 4, 0x0E: 4, 0x0C: 16}
"""What stands beside the length and is not counted by it."""
_TWICE: Final = (0x07, 0x09, 0x11)
"""Types of which the differences of differences are stored: ObjectIds, dates, timestamps."""
_WIDE: Final = (0x02, 0x05, 0x0D, 0x13)
"""Types that are taken for numbers of 128 bits: short texts and bytes, code, decimals."""
_SCALES: Final = (1.0, 10.0, 100.0, 10_000.0, 100_000_000.0)
_AS_BITS: Final = 5
_INTERLEAVED: Final = {0xF0: (0x03, False), 0xF1: (0x03, True), 0xF2: (0x04, True)}
"""Bytes that begin a run of documents: what the run holds, and whether its arrays are entered."""
_64, _128 = (1 << 64) - 1, (1 << 128) - 1


def column_values(content: bytes) -> list[Value | None]:
    """The values of a column in their order, None where a measurement has none.

    Raises:
        DamagedColumn: the bytes are no column, or it holds more than a server would put there.
    """
    return _Column(content).values()


def value_size(content: bytes, kind: int, at: int) -> int:
    """How many bytes a value of this type has.

    Raises:
        DamagedColumn: it does not end within the content.
    """
    size = _FIXED.get(kind)
    if kind in _COUNTED:
        length = int.from_bytes(content[at : at + 4], "little", signed=True)
        least = 5 if kind in (0x03, 0x04) else 0 if kind == 0x05 else 1
        size = length + _COUNTED[kind] if length >= least else None
    elif kind == 0x0B:
        first = content.find(b"\0", at)
        second = content.find(b"\0", first + 1) if first >= 0 else -1
        size = second + 1 - at if second >= 0 else None
    if size is None or at + size > len(content):
        raise DamagedColumn(f"a value of type {kind:#04x} has no end")
    if kind in (0x02, 0x03, 0x04, 0x0D, 0x0E) and content[at + size - 1] != 0:
        raise DamagedColumn(f"a value of type {kind:#04x} has no end")
    return size


@dataclass(slots=True)
class _Stream:
    """Where the differences of one sequence of values stand: the last value, and what was added to get there."""

    value: Value | None = None
    number: int = 0
    step: int = 0
    last_slot: int | None = 0
    waiting: list[int | None] = field(default_factory=list)
    """Differences that were read and not yet added, the next one last."""
    scale: int = _AS_BITS

    def begin(self, value: Value | None) -> None:
        """Go on from a value as it stands."""
        self.value, self.step, self.last_slot, self.waiting = value, 0, 0, []
        self.number = 0 if value is None else _number(value)

    def load(self, control: int, words: bytes, most: int) -> None:
        """Read the differences of one part."""
        scale = {8: _AS_BITS, 9: 0, 10: 1, 11: 2, 12: 3, 13: 4}.get(control >> 4)
        if scale is None:
            raise DamagedColumn(f"a part begins with the unknown byte {control:#04x}")
        kind = self.value[0] if self.value is not None else None
        if kind == 0x01 and self.value is not None:
            self.number = _scaled(struct.unpack("<d", self.value[1])[0], scale)
        elif scale != _AS_BITS:
            raise DamagedColumn("a part of numbers that are not doubles has a scale")
        self.scale = scale
        slots = slots_of(words, self.last_slot, most)
        self.last_slot = slots[-1]
        slots.reverse()
        self.waiting = slots

    def next(self) -> Value | None:
        """The value that the next difference gives."""
        slot = self.waiting.pop()
        if slot is None or self.value is None:
            return None
        kind, before = self.value
        if kind in _TWICE:
            self.step = self.step + _signed(slot) & _64
            self.number = self.number + self.step & _64
        elif slot == 0:
            return self.value
        else:
            self.number = self.number + _signed(slot) & (_128 if kind in _WIDE else _64)
        self.value = kind, _bytes_of(kind, self.number, before, self.scale)
        return self.value


class _Column:
    """A column that is being read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._found: list[Value | None] = []
        self._bytes = 0

    def values(self) -> list[Value | None]:
        stream = _Stream()
        while (control := self._byte()) != 0:
            if control in _INTERLEAVED:
                self._documents(*_INTERLEAVED[control])
                stream = _Stream()
                stream.begin(self._found[-1] if self._found else None)
            elif control < 0x20 or control in _FIXED:
                stream.begin(self._literal(control))
                self._add(stream.value)
            else:
                stream.load(control, self._words(control), MOST_VALUES - len(self._found))
                while stream.waiting:
                    self._add(stream.next())
        if self._at != len(self._content):
            raise DamagedColumn("bytes follow its end")
        return self._found

    def _add(self, value: Value | None) -> None:
        self._found.append(value)
        self._bytes += 0 if value is None else len(value[1])
        if len(self._found) > MOST_VALUES or self._bytes > MOST_BYTES:
            raise DamagedColumn(f"it holds more than {MOST_VALUES} values or {MOST_BYTES} bytes")

    def _byte(self) -> int:
        if self._at >= len(self._content):
            raise DamagedColumn("it has no end")
        self._at += 1
        return self._content[self._at - 1]

    def _literal(self, kind: int) -> Value:
        if self._byte() != 0:
            raise DamagedColumn("a value in it has a name")
        size = value_size(self._content, kind, self._at)
        self._at += size
        return kind, self._content[self._at - size : self._at]

    def _words(self, control: int) -> bytes:
        size = 8 * ((control & 15) + 1)
        self._at += size
        if self._at >= len(self._content):
            raise DamagedColumn("it ends inside its words")
        return self._content[self._at - size : self._at]

    def _documents(self, kind: int, enters_arrays: bool) -> None:
        """Read a run of documents up to its end."""
        size = value_size(self._content, 0x03, self._at)
        shape = _Shape(kind, enters_arrays)
        shape.add(self._content[self._at : self._at + size], 0)
        self._at += size
        if not shape.streams:
            raise DamagedColumn("a run of documents has no values")
        room = MOST_VALUES - len(self._found)
        waiting = count = 0
        while True:
            values: list[Value | None] = []
            for stream in shape.streams:
                if not stream.waiting:
                    control = self._byte()
                    if control == 0:
                        self._end_of_run(shape, stream, count)
                        return
                    if control < 0x20 or control in _FIXED:
                        stream.begin(self._literal(control))
                        values.append(stream.value)
                        continue
                    stream.load(control, self._words(control), room)
                    waiting += len(stream.waiting)
                    if waiting > MOST_WAITING:
                        raise DamagedColumn("a run of documents is too long")
                waiting -= 1
                values.append(stream.next())
            count += 1
            self._add(shape.document(values))

    @staticmethod
    def _end_of_run(shape: _Shape, stream: _Stream, count: int) -> None:
        if stream is not shape.streams[0] or any(other.waiting for other in shape.streams) or not count:
            raise DamagedColumn("a run of documents ends inside one")


class _Shape:
    """A reference document: the streams of its values, and how documents are put together of them."""

    def __init__(self, kind: int, enters_arrays: bool) -> None:
        self.kind = kind
        self.streams: list[_Stream] = []
        self._enters_arrays = enters_arrays
        self._root: list[_Node] = []

    def add(self, document: bytes, depth: int) -> list[_Node]:
        """Take the values of a document, or of one inside it, as the beginnings of streams."""
        nodes: list[_Node] = []
        if depth > MOST_DEPTH:
            raise DamagedColumn("a run of documents nests too deeply")
        at, end = 4, len(document) - 1
        while at < end:
            kind = document[at]
            value = document.find(b"\0", at + 1) + 1
            if value <= 0 or value > end:
                raise DamagedColumn("a reference document is malformed")
            name = document[at + 1 : value]
            size = value_size(document, kind, value)
            content = document[value : value + size]
            if kind == 0x03 or (kind == 0x04 and self._enters_arrays):
                nodes.append(_Node(kind, name, self.add(content, depth + 1)))
            else:
                stream = _Stream()
                stream.begin((kind, content))
                nodes.append(_Node(kind, name, None))
                self.streams.append(stream)
            at = value + size
        if at != end:
            raise DamagedColumn("a reference document is malformed")
        if depth == 0:
            self._root = nodes
        return nodes

    def document(self, values: list[Value | None]) -> Value | None:
        """The document with these values; None where it has none of them."""
        values.reverse()
        content = _content(self._root, values)
        return (self.kind, content) if len(content) > 5 or not self._root else None


@dataclass(frozen=True, slots=True)
class _Node:
    """A name in a reference document, with its zero; ``inside`` of a document, None of a value."""

    kind: int
    name: bytes
    inside: list[_Node] | None


def _content(nodes: list[_Node], values: list[Value | None]) -> bytes:
    """A document of nodes; it takes its values from the end."""
    parts: list[bytes] = []
    for node in nodes:
        if node.inside is None:
            value = values.pop()
            if value is not None:
                parts.append(bytes((value[0],)) + node.name + value[1])
            continue
        inner = _content(node.inside, values)
        if len(inner) > 5 or not node.inside:
            parts.append(bytes((node.kind,)) + node.name + inner)
    body = b"".join(parts)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def _signed(slot: int) -> int:
    """The difference that a number stands for: 0, -1, 1, -2, 2 …"""
    return slot >> 1 ^ -(slot & 1)


def _scaled(value: float, scale: int) -> int:
    if scale == _AS_BITS:
        return int(struct.unpack("<Q", struct.pack("<d", value))[0])
    scaled = value * _SCALES[scale]
    if not math.isfinite(scaled) or abs(scaled) > 2.0**53:
        raise DamagedColumn("a double does not fit its scale")
    return int(math.copysign(math.floor(abs(scaled) + 0.5), scaled)) & _64


def _number(value: Value) -> int:
    """The number that a value is taken for; 0 where it is none."""
    kind, content = value
    match kind:
        case 0x07:
            return int.from_bytes(bytes(content[at] for at in _ID_ORDER), "little")
        case 0x08 | 0x09 | 0x11 | 0x12 | 0x13:
            return int.from_bytes(content, "little")
        case 0x10:
            return int.from_bytes(content, "little", signed=True) & _64
        case 0x02 | 0x0D:
            text = content[4:-1]
            return int.from_bytes(text[::-1], "little") if len(text) <= 16 else 0
        case 0x05:
            return int.from_bytes(content[5:], "little") if len(content) <= 21 else 0
    return 0


_ID_ORDER: Final = (11, 3, 10, 2, 9, 1, 0)
"""The bytes of an ObjectId's counter and seconds, those that change most first; its middle stays."""


def _bytes_of(kind: int, number: int, before: bytes, scale: int) -> bytes:
    """The value of this type that is taken for the number; ``before`` was the last one."""
    match kind:
        case 0x01:
            if scale == _AS_BITS:
                return number.to_bytes(8, "little")
            signed = number - (1 << 64) if number >> 63 else number
            return struct.pack("<d", signed / _SCALES[scale])
        case 0x07:
            identity = bytearray(before)
            for at, byte in zip(_ID_ORDER, number.to_bytes(8, "little"), strict=False):
                identity[at] = byte
            return bytes(identity)
        case 0x08:
            return bytes((number != 0,))
        case 0x10:
            return (number & 0xFFFFFFFF).to_bytes(4, "little")
        case 0x09 | 0x11 | 0x12:
            return number.to_bytes(8, "little")
        case 0x13:
            return number.to_bytes(16, "little")
        case 0x02 | 0x0D:
            text = number.to_bytes(16, "little").rstrip(b"\0")[::-1]
            return (len(text) + 1).to_bytes(4, "little") + text + b"\0"
        case 0x05:
            size = len(before) - 5
            if size > 16:
                raise DamagedColumn("a difference follows bytes that are too long for one")
            return before[:5] + number.to_bytes(16, "little")[:size]
    raise DamagedColumn(f"a difference follows a value of type {kind:#04x}")
