"""Dumps of MongoDB made by hand: what mongodump writes, byte for byte, of a few documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import bson

START = datetime(2024, 5, 1, tzinfo=UTC)
MAGIC = (0x8199E26D).to_bytes(4, "little")
TERMINATOR = b"\xff\xff\xff\xff"


def position(second: int, **changes: object) -> bytes:
    """A document that ``POSITIONS`` maps to a fix."""
    document = {"_id": second, "dev": "V1", "ts": START + timedelta(seconds=second), "lat": 50.0, "lon": 4.0, **changes}
    return bson.encode({key: value for key, value in document.items() if value is not ...})


def positions(count: int, **changes: object) -> bytes:
    """So many of them, a second apart."""
    return b"".join(position(second, **changes) for second in range(count))


def bucket(count: int, identity: object = 1) -> bytes:
    """A time-series bucket of so many measurements, not compressed."""
    columns = {
        "ts": {str(n): START + timedelta(seconds=n) for n in range(count)},
        "lat": {str(n): 50.0 for n in range(count)},
        "lon": {str(n): 4.0 for n in range(count)},
    }
    control = {"version": 1, "min": {"ts": START}, "max": {"ts": START + timedelta(seconds=count)}}
    return bson.encode({"_id": identity, "control": control, "meta": {"dev": "V1"}, "data": columns})


def archive(
    blocks: Sequence[tuple[str, bytes]],
    announced: Sequence[tuple[str, str, dict[str, object]]] | None = None,
    *,
    ended: Sequence[str] | None = None,
    database: str = "db",
    checksums: dict[str, int] | None = None,
) -> bytes:
    """An archive: what it announces as (collection, type, options), and blocks of documents between each other's.

    ``checksums`` are those written at the ends, 0 for none. ``ended`` are the collections whose end is written; left
    out, all that have blocks.
    """
    names = sorted({name for name, _ in blocks})
    announced = announced if announced is not None else [(name, "collection", {}) for name in names]
    head = {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.2", "tool_version": "100.9.4"}
    content = MAGIC + bson.encode(head)
    for name, kind, options in announced:
        metadata = json.dumps({"options": options, "indexes": [], "collectionName": name, "type": kind})
        one = {"db": database, "collection": name, "metadata": metadata, "size": 0, "type": kind}
        content += bson.encode(one)
    content += TERMINATOR
    for name, documents in blocks:
        content += bson.encode({"db": database, "collection": name, "EOF": False, "CRC": bson.Int64(0)})
        content += documents + TERMINATOR
    for name in names if ended is None else ended:
        checksum = bson.Int64((checksums or {}).get(name, 0))
        content += bson.encode({"db": database, "collection": name, "EOF": True, "CRC": checksum}) + TERMINATOR
    return content
