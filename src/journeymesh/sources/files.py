"""Files of a source: one, a glob or a folder of them, on this machine or wherever fsspec reaches."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, cast

import numpy as np

from journeymesh.errors import SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import I64

_ROW_BITS: Final = 40
"""An origin is the file's number above, the row or line in it below: room for 10¹² rows in 8 million files."""


_GZIP: Final = b"\x1f\x8b"
_PLAIN_BYTES: Final = 8 << 20
_AHEAD_BYTES: Final = 1 << 16


class FileDamaged(SourceUnreadable):
    """What a file holds is damaged, ends early or is not what it seems. Among other files it alone is refused."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file: ``path`` in its file system, ``name`` as users call it in origins, size in bytes where known."""

    filesystem: Any
    path: str
    name: str
    size: int | None
    is_named: bool = False
    """Whether the user gave this very file, not a folder or a pattern."""

    @property
    def stem(self) -> str:
        """Its own name without ``.gz`` and its ending."""
        own = self.path.rpartition("/")[2].removesuffix(".gz")
        return own.rpartition(".")[0] or own

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's disk."""
        return "file" in _protocols(self.filesystem)

    @property
    def place(self) -> str:
        """Where it is, in full: ``file:///data/day1/fixes.csv``."""
        return str(self.filesystem.unstrip_protocol(self.path))


def files_of(location: str, endings: Sequence[str] = ("",)) -> list[SourceFile]:
    """The file, or the files of the glob, or those in the folder and below it with one of these endings, by path.

    Raises:
        SourceMissing: nothing is there.
        SourceUnreadable: the place cannot be listed.
    """
    try:
        filesystem, path = filesystem_of(location)
        is_named = False
        if any(sign in path for sign in "*?[") and not filesystem.exists(path):
            paths = [found for found in filesystem.glob(path) if not filesystem.isdir(found)]
        elif filesystem.isdir(path):
            paths = [found for found in filesystem.find(path) if found.lower().endswith(tuple(endings))]
        else:
            is_named = filesystem.exists(path)
            paths = [path] if is_named else []
        names = _names(sorted(paths))
        files = [SourceFile(filesystem, one, names[one], filesystem.size(one), is_named) for one in sorted(paths)]
        return files or _nothing(location, endings)
    except OSError as error:
        raise SourceUnreadable(
            f"source {location} cannot be read: {error}", todo="check the path and its rights"
        ) from error


def names_in(location: str) -> list[str]:
    """The names of the files in a folder and below it; of a file, its own. Empty where nothing is there."""
    try:
        filesystem, path = filesystem_of(location)
        return [found.rpartition("/")[2] for found in filesystem.find(path)]
    except OSError as error:
        raise SourceUnreadable(
            f"source {location} cannot be read: {error}", todo="check the path and its rights"
        ) from error


@contextmanager
def opened(file: SourceFile, *, whole: bool = True) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed where they are gzip, whatever the name says.

    A gzip that is cut off is read to its last whole line.

    Raises:
        SourceUnreadable: for whatever goes wrong with the file itself while it is open.
        FileDamaged: a gzip in which a byte is wrong; one that is cut off, once all of it was read ``whole``.
    """
    try:
        with file.filesystem.open(file.path, "rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if packed:
                with _Plain(fileobj=raw) as plain:
                    plain.is_believed = not whole
                    yield cast("IO[bytes]", plain)
                if whole and plain.damage:
                    raise FileDamaged(f"{file.name}: {plain.damage}", todo="check that the file is whole")
            else:
                yield raw
    except PermissionError as error:
        raise SourceUnreadable(f"{file.name} cannot be read: {error.strerror}", todo="check its rights") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        what = f"{file.name}: the compressed file is damaged ({error})"
        raise FileDamaged(what, todo="check that the file is whole") from error
    except OSError as error:
        raise SourceUnreadable(f"{file.name} cannot be read: {error}", todo="check that the file is whole") from error


class _Plain(gzip.GzipFile):
    """A gzip that, where it is cut off, ends behind its last whole line; ``damage`` then says so."""

    damage = ""
    is_believed = False
    """Whether what stands before a wrong byte is of use, as where only the kind of the file is looked for."""
    _ahead = b""
    """Plain bytes that were read before they were asked for, so that a line that is cut off can be left out."""

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end.

        Raises:
            zlib.error, gzip.BadGzipFile: a byte is wrong, so that none of these can be believed.
        """
        wanted = sys.maxsize - _AHEAD_BYTES if size is None or size < 0 else size
        pieces, length = [self._ahead], len(self._ahead)
        while not self.damage and length < wanted + _AHEAD_BYTES:
            try:
                piece = self.read1(min(wanted + _AHEAD_BYTES - length, _PLAIN_BYTES))
            except EOFError:
                self.damage = "the compressed file ends early"
                whole = b"".join(pieces)
                pieces = [whole[: whole.rfind(b"\n") + 1] or whole]
            except (gzip.BadGzipFile, zlib.error):
                if not self.is_believed:
                    raise
                break
            else:
                if not piece:
                    break
                pieces.append(piece)
                length += len(piece)
        ready = b"".join(pieces)
        self._ahead = ready[wanted:]
        return ready[:wanted]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Begin anew, from there."""
        self.damage, self._ahead = "", b""
        return super().seek(offset, whence)


def read_position(raw: IO[bytes]) -> int:
    """How many bytes of the file were read: of a gzip, of what is on disk."""
    return int(getattr(raw, "fileobj", raw).tell())


def origins_from(file_number: int, first_row: int, rows: int) -> I64:
    """The origins of consecutive rows of a file, int64[rows]."""
    start = (file_number << _ROW_BITS) + first_row
    return np.arange(start, start + rows, dtype=np.int64)


def described(files: Sequence[SourceFile], origins: I64) -> list[str]:
    """``fixes.parquet:12345`` for each origin; ``unknown`` where there is none."""
    mask = (1 << _ROW_BITS) - 1
    return [f"{files[o >> _ROW_BITS].name}:{o & mask}" if o >= 0 else "unknown" for o in origins.tolist()]


def filesystem_of(location: str) -> tuple[Any, str]:
    """(the filesystem of a path or URL, the path in it).

    Raises:
        SourceUnreadable: nothing installed reaches such a URL.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise SourceUnreadable(
            f"source {location} cannot be reached: {error}", todo='for s3:// install "journeymesh[s3]"'
        ) from error
    return filesystem, path


def _names(paths: list[str]) -> dict[str, str]:
    """The file's own name; where two files share it, as much of the path as tells them apart."""
    own = [path.rpartition("/")[2] for path in paths]
    if len(set(own)) == len(own):
        return dict(zip(paths, own, strict=True))
    shared = len(_common_folder(paths))
    return {path: path[shared:] for path in paths}


def _common_folder(paths: list[str]) -> str:
    first, last = min(paths), max(paths)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: first.rfind("/", 0, same) + 1]


def _nothing(location: str, endings: Sequence[str]) -> list[SourceFile]:
    wanted = f"name a {endings[0]} file" if endings[0] else "name a file"
    raise SourceMissing(f"source {location}: no such file or folder", todo=f"{wanted} or a folder of them")


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
