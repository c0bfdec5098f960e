"""The files of a mongodump: which collections there are, and the bytes of one of them as a stream of pieces."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Final
from urllib.parse import unquote

import bson
import numpy as np
from bson.errors import BSONError
from numba import types

from journeymesh.errors import SourceMissing, SourceUnreadable
from journeymesh.journeys.compiled import U8_IN, entry
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_walker import MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES, read_i32

PIECE_BYTES: Final = 8 * 2**20
ARCHIVE_MAGIC: Final = (0x8199E26D).to_bytes(4, "little")
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ENDINGS: Final = (".bson", ".bson.gz")
_COMPRESSED_BYTES: Final = 2**20
_TERMINATOR: Final = -1


@entry(types.int64, U8_IN, types.int64)
def _end_of_documents(buffer, at):  # type: ignore[no-untyped-def]
    """Past the last whole document that begins at ``at`` or behind it, without a look inside them."""
    end = buffer.shape[0]
    while at + 4 <= end:
        length = np.int64(read_i32(buffer, at))
        if length < MIN_DOCUMENT_BYTES or length > MAX_DOCUMENT_BYTES or at + length > end:
            break
        at += length
    return at


@dataclass(slots=True)
class Reading:
    """How a reading goes: ``read_bytes`` of the file so far; ``fault`` once its bytes could not be followed."""

    read_bytes: int = 0
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class DumpedCollection:
    """One collection of a dump: a file of its own, or a namespace of an archive."""

    filesystem: Any
    path: str
    database: str
    collection: str
    in_archive: bool
    size: int | None

    def pieces(self, reading: Reading) -> Iterator[U8]:
        """The collection's documents as consecutive pieces of one stream; a document may lie across two of them.

        Where compressed bytes or an archive's blocks cannot be followed, the pieces end and ``reading.fault`` says why.
        """
        with opened(self.filesystem, self.path) as raw:
            chunks = _chunks(raw, reading)
            yield from _archived(chunks, self.database, self.collection, reading) if self.in_archive else chunks

    @property
    def is_seekable(self) -> bool:
        """Whether stream offsets are file offsets."""
        return not self.in_archive and not self.path.endswith(".gz")

    def documents_at(self, offsets: list[int]) -> dict[int, bytes]:
        """The documents that begin at these stream offsets, ascending. Reads the stream again where it must."""
        found: dict[int, bytes] = {}
        if self.is_seekable:
            with opened(self.filesystem, self.path) as raw:
                for offset in offsets:
                    raw.seek(offset)
                    head = raw.read(4)
                    found[offset] = head + raw.read(max(int.from_bytes(head, "little") - 4, 0))
            return found
        wanted = list(reversed(offsets))
        base, tail = 0, b""
        for piece in self.pieces(Reading()):
            window = tail + piece.tobytes()
            tail = b""
            while wanted and wanted[-1] < base + len(window):
                at = wanted[-1] - base
                length = int.from_bytes(window[at : at + 4], "little") if at + 4 <= len(window) else len(window)
                if at + length > len(window):
                    tail = window[at:]
                    break
                found[wanted.pop()] = window[at : at + length]
            base += len(window) - len(tail)
            if not wanted:
                break
        return found


@contextmanager
def opened(filesystem: Any, path: str) -> Iterator[IO[bytes]]:
    """The file.

    Raises:
        SourceUnreadable: it cannot be opened or read.
    """
    try:
        with filesystem.open(path, "rb") as raw:
            yield raw
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error}", todo="check the file and its rights") from error


def _chunks(raw: IO[bytes], reading: Reading) -> Iterator[U8]:
    """The file's bytes, decompressed where they begin as gzip does."""
    chunk = raw.read(PIECE_BYTES)
    if chunk.startswith(_GZIP_MAGIC):
        yield from _gunzipped(chunk, raw, reading)
        return
    while chunk:
        reading.read_bytes += len(chunk)
        yield np.frombuffer(chunk, np.uint8)
        chunk = raw.read(PIECE_BYTES)


def _gunzipped(chunk: bytes, raw: IO[bytes], reading: Reading) -> Iterator[U8]:
    """Decompressed bytes, all that can be had before damage; members may follow each other."""
    member = zlib.decompressobj(wbits=31)
    reading.read_bytes += len(chunk)
    is_open = False  # whether a member has begun and not ended
    while True:
        is_open = is_open or bool(chunk)
        try:
            plain = member.decompress(chunk, PIECE_BYTES)
        except zlib.error as error:
            reading.fault = f"the compressed file is damaged ({error})"
            return
        if plain:
            yield np.frombuffer(plain, np.uint8)
        chunk = member.unconsumed_tail
        if member.eof:
            chunk, member = member.unused_data.lstrip(b"\0"), zlib.decompressobj(wbits=31)
            is_open = False
        if not chunk and len(plain) < PIECE_BYTES:
            chunk = raw.read(_COMPRESSED_BYTES)
            reading.read_bytes += len(chunk)
            if not chunk:
                if is_open:
                    reading.fault = "the compressed file ends early"
                return


@dataclass(slots=True)
class _ArchiveBytes:
    """The bytes of an archive that are at hand, and more when asked."""

    chunks: Iterator[U8]
    reading: Reading
    held: U8 = field(default_factory=lambda: np.empty(0, np.uint8))

    def more(self) -> bool:
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
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def document(self) -> dict[str, Any] | None:
        """The document at the front; None where a terminator stands there instead, or nothing sensible."""
        length = self.length()
        if length == _TERMINATOR:
            self.take(4)
            return None
        if length is None or not MIN_DOCUMENT_BYTES <= length <= MAX_DOCUMENT_BYTES:
            self.reading.fault = "the archive ends early" if length is None else "the archive's blocks are damaged"
            return None
        while len(self.held) < length:
            if not self.more():
                self.reading.fault = self.reading.fault or "the archive ends early"
                return None
        try:
            return bson.decode(self.take(length).tobytes())
        except BSONError:
            self.reading.fault = "the archive's blocks are damaged"
            return None


def _prelude(archive: _ArchiveBytes) -> list[dict[str, Any]]:
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


def _archived(chunks: Iterator[U8], database: str, collection: str, reading: Reading) -> Iterator[U8]:
    """The documents of one namespace: its blocks lie between those of others, each ended by a terminator."""
    archive = _ArchiveBytes(chunks, reading)
    _prelude(archive)
    while reading.fault is None:
        if archive.length() is None:
            return
        block = archive.document()
        if block is None:
            reading.fault = reading.fault or "the archive's blocks are damaged"
            return
        wanted = block.get("db") == database and block.get("collection") == collection
        while True:
            size = int(_end_of_documents(archive.held, 0))
            if size:
                documents = archive.take(size)
                if wanted:
                    yield documents
            length = archive.length()
            if length == _TERMINATOR:
                archive.take(4)
                break
            if length is None:
                reading.fault = reading.fault or "the archive ends early"
                return
            if not MIN_DOCUMENT_BYTES <= length <= MAX_DOCUMENT_BYTES:
                reading.fault = "the archive's blocks are damaged"
                return
            if len(archive.held) < length and not archive.more():
                reading.fault = reading.fault or "the archive ends early"
                return


def collections_in(location: str) -> list[DumpedCollection]:
    """The collections of a dump: ``<dir>/<database>/<collection>.bson[.gz]``, the database's folder, one file, or an
    archive; here or wherever fsspec reaches.

    Raises:
        SourceMissing: nothing is there. SourceUnreadable: it is there and is no dump.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(location)
        if filesystem.isdir(path):
            return _in_folder(location, filesystem, path)
        if not filesystem.exists(path):
            raise SourceMissing(f"source {location} does not exist", todo="give the path of a mongodump")
        if path.endswith(_ENDINGS):
            folder = path.rpartition("/")[0]
            return _in_folder(location, filesystem, folder)
        return _in_archive(location, filesystem, path)
    except (ImportError, ValueError) as error:
        todo = 'for s3:// install "journeymesh[s3]"'
        raise SourceUnreadable(f"source {location} cannot be reached: {error}", todo=todo) from error
    except OSError as error:
        raise SourceUnreadable(f"source {location} cannot be read: {error}", todo="check the path") from error


def _in_folder(location: str, filesystem: Any, folder: str) -> list[DumpedCollection]:
    folder = folder.rstrip("/")
    found = []
    for path in sorted(filesystem.find(folder, maxdepth=2)):
        parent, _, name = path.rpartition("/")
        ending = next((ending for ending in reversed(_ENDINGS) if name.endswith(ending)), None)
        if ending is not None:
            collection = unquote(name.removesuffix(ending))
            database = unquote(parent.rpartition("/")[2])
            found.append(DumpedCollection(filesystem, path, database, collection, False, filesystem.size(path)))
    own = [dumped for dumped in found if dumped.path.rpartition("/")[0].strip("/") == folder.strip("/")]
    if not found:
        raise SourceMissing(f"source {location}: no .bson file is there", todo="give the folder that mongodump wrote")
    return own or found


def _in_archive(location: str, filesystem: Any, path: str) -> list[DumpedCollection]:
    reading = Reading()
    with opened(filesystem, path) as raw:
        announced = _prelude(_ArchiveBytes(_chunks(raw, reading), reading))
    if reading.fault is not None:
        todo = "give a folder, a .bson file or an --archive of mongodump"
        raise SourceUnreadable(f"source {location}: {reading.fault}", todo=todo)
    size = filesystem.size(path)
    return [
        DumpedCollection(filesystem, path, str(one.get("db")), str(one.get("collection")), True, size)
        for one in announced
    ]
