"""Archives of mongodump: a prelude announces collections, their documents come in blocks between each other's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import bson
import numpy as np
from bson.errors import BSONError

from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES, U8
from journeymesh.sources.bson_walker import whole_documents
from journeymesh.sources.checksums import crc64
from journeymesh.sources.dump_bytes import ARCHIVE_MAGIC, Reading

_TERMINATOR: Final = -1
_DAMAGED: Final = "the archive's blocks are damaged"
_ENDS_EARLY: Final = "the archive ends early"
Namespace = tuple[str, str]
"""Database and collection, as an archive's blocks name them."""


@dataclass(slots=True)
class ArchiveBytes:
    """The bytes of an archive that are at hand, and more when asked."""

    chunks: Iterator[U8]
    reading: Reading
    held: U8 = field(default_factory=lambda: np.empty(0, np.uint8))

    def more(self) -> bool:
        """Read a piece more; False where there is none."""
        chunk = next(self.chunks, None)
        if chunk is None:
            return False
        self.held = np.concatenate([self.held, chunk]) if len(self.held) else chunk
        self.held.flags.writeable = False
        return True

    def length(self) -> int | None:
        """The int32 at the front; None where the archive ends."""
        while len(self.held) < 4:
            if not self.more():
                return None
        return int.from_bytes(self.held[:4].tobytes(), "little", signed=True)

    def take(self, size: int) -> U8:
        """So many bytes off the front."""
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def document(self) -> dict[str, Any] | None:
        """The document at the front; None where a terminator stands there instead, or nothing sensible."""
        length = self.length()
        if length == _TERMINATOR:
            self.take(4)
            return None
        if length is None or not MIN_DOCUMENT_BYTES <= length <= MAX_DOCUMENT_BYTES:
            self.reading.fault = self.reading.fault or (_ENDS_EARLY if length is None else _DAMAGED)
            return None
        while len(self.held) < length:
            if not self.more():
                self.reading.fault = self.reading.fault or _ENDS_EARLY
                return None
        try:
            return bson.decode(self.take(length).tobytes())
        except BSONError:
            self.reading.fault = _DAMAGED
            return None


def prelude(archive: ArchiveBytes) -> list[dict[str, Any]]:
    """Read up to the first block: the collections that the archive announces."""
    if archive.length() is None or archive.take(4).tobytes() != ARCHIVE_MAGIC:
        archive.reading.fault = "it is not an archive of mongodump"
        return []
    archive.document()
    announced = []
    while archive.reading.fault is None:
        document = archive.document()
        if document is None:
            break
        announced.append(document)
    return announced


def archived(chunks: Iterator[U8], wanted: Mapping[Namespace, str], reading: Reading) -> Iterator[tuple[str, U8]]:
    """(collection, whole documents) block by block as they come; ``wanted`` says whose the blocks of a namespace are.

    A collection whose end does not come before the archive's is a fault: the tool writes one even of an empty one. So
    is one whose documents do not give the checksum that stands at its end.
    """
    archive = ArchiveBytes(chunks, reading)
    prelude(archive)
    open_ones = set(wanted.values())
    checksums = dict.fromkeys(wanted, 0)
    while reading.fault is None:
        if archive.length() is None:
            if open_ones and reading.fault is None:
                reading.fault = f"the archive ends before the end of {', '.join(sorted(open_ones))}"
            return
        block = archive.document()
        if block is None:
            reading.fault = reading.fault or _DAMAGED
            return
        namespace = (str(block.get("db")), str(block.get("collection")))
        if block.get("EOF") is True:
            open_ones.discard(wanted.get(namespace, ""))
            if _differs(block.get("CRC"), checksums.get(namespace)):
                reading.fault = f"the archive's checksum of {wanted[namespace]} is not that of its documents"
                return
        for documents in _block(archive):
            if namespace in wanted:
                checksums[namespace] = crc64(documents, checksums[namespace])
                yield wanted[namespace], documents


def _differs(stated: object, found: int | None) -> bool:
    """Whether a checksum is stated (archives of old tools have 0) and is another than the one found."""
    return isinstance(stated, int) and stated != 0 and found is not None and stated % 2**64 != found


def _block(archive: ArchiveBytes) -> Iterator[U8]:
    """The whole documents at the front, up to the terminator of their block."""
    while True:
        _, size = whole_documents(archive.held)
        if size:
            yield archive.take(size)
        length = archive.length()
        if length == _TERMINATOR:
            archive.take(4)
            return
        if length is not None and not MIN_DOCUMENT_BYTES <= length <= MAX_DOCUMENT_BYTES:
            archive.reading.fault = _DAMAGED
            return
        if length is None or (len(archive.held) < length and not archive.more()):
            archive.reading.fault = archive.reading.fault or _ENDS_EARLY
            return
