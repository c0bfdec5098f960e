"""The bytes of a dump's file as a stream of pieces, decompressed where they are gzip, whatever the file is called."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, Literal

import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.sources.bson_values import KINDS, MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES, U8

PIECE_BYTES: Final = 8 * 2**20
ARCHIVE_MAGIC: Final = (0x8199E26D).to_bytes(4, "little")
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_HEAD_BYTES: Final = 4096
_COMPRESSED_BYTES: Final = 2**20

Content = Literal["archive", "bson", "empty", "other"]


@dataclass(slots=True)
class Reading:
    """How a reading goes: ``read_bytes`` of the file so far; ``fault`` once its bytes could not be followed."""

    read_bytes: int = 0
    fault: str | None = None


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


def content_of(filesystem: Any, path: str) -> tuple[Content, bool]:
    """(what the file's first bytes say that it is, whether they are compressed).

    Raises:
        SourceUnreadable: it cannot be opened or read.
    """
    with opened(filesystem, path) as raw:
        head = raw.read(_HEAD_BYTES)
    zipped = is_gzip(head)
    try:
        plain = zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES) if zipped else head
    except zlib.error:
        return "other", zipped
    if plain.startswith(ARCHIVE_MAGIC):
        return "archive", zipped
    if not plain:
        return "empty", zipped
    return ("bson" if _begins_as_bson(plain) else "other"), zipped


def is_dump(location: str) -> bool:
    """Whether this file is an archive or a file of BSON documents by its content, whatever it is called."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(location)
        return filesystem.isfile(path) and content_of(filesystem, path)[0] in ("archive", "bson")
    except (OSError, ImportError, ValueError, SourceUnreadable):
        return False  # whoever opens it says why


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins so is compressed. A document's length may look the same, its bytes do not."""
    if not head.startswith(_GZIP_MAGIC):
        return False
    try:
        zlib.decompressobj(wbits=31).decompress(head, 1)
    except zlib.error:
        return False
    return True


def _begins_as_bson(plain: bytes) -> bool:
    """Whether a document may begin here: a possible length, a type, a key, and the end where the length says."""
    length = int.from_bytes(plain[:4], "little", signed=True)
    if len(plain) < MIN_DOCUMENT_BYTES or not MIN_DOCUMENT_BYTES <= length <= MAX_DOCUMENT_BYTES:
        return False
    if length <= len(plain) and plain[length - 1] != 0:
        return False
    return length == MIN_DOCUMENT_BYTES if plain[4] == 0 else plain[4] in KINDS and b"\0" in plain[5:]


def chunks_of(raw: IO[bytes], reading: Reading) -> Iterator[U8]:
    """The file's bytes, decompressed where they begin as gzip does."""
    chunk = raw.read(max(PIECE_BYTES, len(_GZIP_MAGIC)))
    if is_gzip(chunk):
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
