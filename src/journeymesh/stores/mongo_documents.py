"""Rows as MongoDB documents.

Each document has ``_id`` (batch and key), ``batch``, ``key`` (what it is a version of), ``digest`` (of its content)
and its fields by name; instants are int64 microseconds, for a BSON date has milliseconds only. Kept fixes of a vehicle
and day are as many documents as they need, each well below MongoDB's 16 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from bson.int64 import Int64

from journeymesh.journeys.journey import RECORDED_LATER
from journeymesh.stores.row_kinds import KINDS, Row
from journeymesh.stores.rows import NESTED, content_digest, nested_values

Document = dict[str, Any]

_BLOCK_PART: Final = 8 * 2**20
_PLAIN_TEXT: Final = 2**20
_CONTENT: Final = KINDS["blocks"].columns.index("content")
_FIXES: Final = KINDS["blocks"].columns.index("fixes")


def field_of(kind: str, column: str) -> str:
    """The field that a column is in. A key of one column is ``key``, which every kind has an index of."""
    if KINDS[kind].key == (column,):
        return "key"
    return "digest_used" if (kind, column) == ("rules", "digest") else column


def key_of(kind: str, values: Row) -> str:
    """The key of a row with these values in the kind's key columns."""
    if kind in ("policies", "figures"):
        return msgspec.json.encode(values).decode()
    if kind == "blocks":
        vehicle, day = values
        return f"{day}/{vehicle}"
    return "\0".join(values)


def digest_of(kind: str, row: Row) -> str:
    """The digest by which a row that is put again is known to be the same."""
    if kind == "journeys":
        return content_digest(row)
    return _digest(row[_CONTENT] if kind == "blocks" else msgspec.json.encode(row))


def documents_of(kind: str, key: str, row: Row, digest: str, batch: int) -> list[Document]:
    """The row as this batch's version of its key."""
    name = f"{batch}/{_digest(key.encode())}"
    document = {"_id": f"{name}/0", "batch": batch, "key": key, "digest": digest}
    for column, value in zip(KINDS[kind].columns, row, strict=True):
        if kind == "journeys":
            document[column] = nested_values(column, value) if column in NESTED else value
        else:
            document["digest_used" if (kind, column) == ("rules", "digest") else column] = _packed(value)
    if kind != "blocks":
        return [document]
    content = row[_CONTENT]
    parts = [content[start : start + _BLOCK_PART] for start in range(0, len(content), _BLOCK_PART)]
    return [
        {**document, "_id": f"{name}/{part}", "part": part, "fixes": 0 if part else row[_FIXES], "content": some}
        for part, some in enumerate(parts)
    ]


def row_of(kind: str, parts: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Row:
    """These columns of the row that is in these documents: one, or the parts of a block in their order."""
    document = parts[0]
    if kind == "journeys":
        return tuple(_journey_value(document, name) for name in columns)
    if kind == "blocks":
        content = b"".join(part["content"] for part in parts) if "content" in columns else b""
        return tuple(content if name == "content" else _plain(document[name]) for name in columns)
    if kind in ("rules", "figures"):  # a score is absent from rules used before it was kept, as null is on some servers
        return tuple(_unpacked(document.get(field_of(kind, name))) for name in columns)
    return tuple(_unpacked(document[field_of(kind, name)]) for name in columns)


def _journey_value(document: Mapping[str, Any], name: str) -> Any:
    if name in NESTED:
        return _nested_text(document[name])
    return _plain(document.get(name) if name in RECORDED_LATER else document[field_of("journeys", name)])


def _nested_text(entries: Iterable[Mapping[str, Any]]) -> str:
    return msgspec.json.encode([tuple(map(_plain, entry.values())) for entry in entries]).decode()


def _plain(value: Any) -> Any:
    """The driver returns int64 as a class of its own, which JSON encoders refuse."""
    return int(value) if isinstance(value, Int64) else value


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _packed(value: Any) -> Any:
    """Long text compressed: a refused input may itself be a document of 16 MB."""
    if isinstance(value, str) and len(value) > _PLAIN_TEXT:
        import zlib

        return zlib.compress(value.encode())
    return value


def _unpacked(value: Any) -> Any:
    if isinstance(value, bytes):
        import zlib

        return zlib.decompress(value).decode()
    return _plain(value)
