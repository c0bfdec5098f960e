"""One file of a dump read from its beginning: the documents of one collection, or of several in an archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, U8
from journeymesh.sources.dump_archives import Namespace, archived
from journeymesh.sources.dump_bytes import Reading, chunks_of, content_of, opened


@dataclass(frozen=True, slots=True)
class DumpStream:
    """One file of a dump to be read from its beginning: of one collection, or an archive.

    ``wanted``, of an archive, says whose the blocks of each namespace are; ``collection`` is the one of another file.
    """

    filesystem: Any
    path: str
    collection: str
    wanted: Mapping[Namespace, str] = field(default_factory=dict)

    def pieces(self, reading: Reading) -> Iterator[tuple[str, U8]]:
        """(collection, bytes) as consecutive pieces of one stream; a document may lie across two of a plain file.

        Where compressed bytes or an archive's blocks cannot be followed, the pieces end and ``reading.fault`` says why.
        """
        with opened(self.filesystem, self.path) as raw:
            chunks = chunks_of(raw, reading)
            if self.wanted:
                yield from archived(chunks, self.wanted, reading)
                return
            for chunk in chunks:
                yield self.collection, chunk

    @property
    def place(self) -> str:
        """Where it is, in full: ``file:///dump/fleet/blackbox.bson``."""
        return str(self.filesystem.unstrip_protocol(self.path))

    @property
    def is_seekable(self) -> bool:
        """Whether stream offsets are file offsets."""
        return not self.wanted and not content_of(self.filesystem, self.path)[1]

    def documents_at(self, offsets: list[int]) -> dict[int, tuple[str, bytes]]:
        """(collection, document) for each of these stream offsets, ascending. Reads the stream again where it must."""
        found: dict[int, tuple[str, bytes]] = {}
        if offsets and self.is_seekable:
            with opened(self.filesystem, self.path) as raw:
                for offset in offsets:
                    raw.seek(offset)
                    head = raw.read(4)
                    length = min(max(int.from_bytes(head, "little", signed=True) - 4, 0), MAX_DOCUMENT_BYTES)
                    found[offset] = self.collection, head + raw.read(length)
            return found
        wanted = list(reversed(offsets))
        base, tail = 0, b""
        for collection, piece in self.pieces(Reading()) if wanted else ():
            window = tail + piece.tobytes()
            tail = b""
            while wanted and wanted[-1] < base + len(window):
                at = wanted[-1] - base
                length = int.from_bytes(window[at : at + 4], "little") if at + 4 <= len(window) else len(window)
                if at + length > len(window):
                    tail = window[at:]
                    break
                found[wanted.pop()] = collection, window[at : at + length]
            base += len(window) - len(tail)
            if not wanted:
                break
        return found
