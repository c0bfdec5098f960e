"""What lies below tracks on maps: pictures by a URL, a PMTiles archive that the console serves, or nothing."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from journeymesh.errors import UsageError

PATH: Final = "/basemap.pmtiles"
MOST_BYTES: Final = 8 << 20
"""Of one answer: a tile or a directory of the archive is smaller by far."""
_RANGE: Final = re.compile(r"bytes=(\d{1,15})-(\d{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackBasemap:
    """``tiles``: the URL of pictures, with ``{z}``, ``{x}`` and ``{y}``; ``archive``: a PMTiles file. ``attribution``:
    whose map it is, said below it."""

    tiles: str | None = None
    archive: Path | None = None
    attribution: str = ""

    @classmethod
    def of(cls, given: str | None, attribution: str = "") -> TrackBasemap:
        """The basemap of an option: a URL, a file, or None.

        Raises:
            UsageError: it is no such URL or file.
        """
        if given is None:
            return cls()
        if "://" not in given:
            archive = Path(given)
            if not archive.is_file() or archive.open("rb").read(7) != b"PMTiles":
                raise UsageError(f"{given} is no PMTiles file", todo="name one, or a URL with {z}, {x} and {y}")
            return cls(archive=archive, attribution=attribution)
        parts = urlsplit(given)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost"))
        named = all(each in given for each in ("{z}", "{x}", "{y}"))
        if not secure or not parts.hostname or parts.username or not named or re.search(r"[\s;,'\"]", parts.netloc):
            raise UsageError(
                "the basemap's URL has to be https:// and name {z}, {x} and {y}",
                todo="for instance https://tiles.insurer.example/{z}/{x}/{y}.png",
            )
        return cls(tiles=given, attribution=attribution)

    @property
    def origin(self) -> str | None:
        """Where browsers ask for pictures; None: nowhere else."""
        if self.tiles is None:
            return None
        parts = urlsplit(self.tiles)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class BasemapBytes:
    """Some bytes of an archive: from ``first`` to ``last`` of ``size``."""

    content: bytes
    first: int
    last: int
    size: int


async def piece(archive: Path, asked: str) -> BasemapBytes | int:
    """The bytes that a Range header names; the archive's size where it names none that may be had at once."""
    size = archive.stat().st_size
    named = _RANGE.fullmatch(asked)
    first, last = (int(each) for each in named.groups()) if named else (0, -1)
    last = min(last, size - 1)
    if not first <= last < first + MOST_BYTES:
        return size
    return BasemapBytes(await asyncio.to_thread(_read, archive, first, last + 1 - first), first, last, size)


def _read(path: Path, first: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first)
        return file.read(size)
