"""pymongo's decode alone: the dump's bytes to dicts, a block of documents at a time. Nothing is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson

_BLOCK = 16 * 2**20


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The collection's bytes in memory, cut at documents."""
    blocks = list(document_blocks(folder / "telematics" / "blackbox.bson"))
    options = bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO)

    def work() -> dict[str, Any]:
        return {"fixes": sum(len(bson.decode_all(block, options)) for block in blocks)}

    return work


def document_blocks(path: Path) -> Iterator[bytes]:
    """The file in blocks of whole documents."""
    raw = path.read_bytes()
    at = first = 0
    while at < len(raw):
        at += int.from_bytes(raw[at : at + 4], "little")
        if at - first >= _BLOCK:
            yield raw[first:at]
            first = at
    if at > first:
        yield raw[first:at]
