"""Journeys and records as MongoDB documents.

Each document has ``_id`` (batch and key), ``batch``, ``key`` (what it is a version of), ``digest`` (of its content)
and its fields by name; instants are int64 microseconds, for a BSON date has milliseconds only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from bson.int64 import Int64

from journeymesh.journeys.journey import RECORDED_LATER
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.stores.fix_blocks import FixBlock
from journeymesh.stores.records import POLICY_COLUMNS, policy_row, term_row
from journeymesh.stores.rows import COLUMNS, ID, NESTED, JourneyRow, content_digest, nested_values

Document = dict[str, Any]

HISTORY_COLUMNS: Final = ("entry_id", "journey_id", "successor_id", "superseded_at_us", "position", "latest", "content")
CHANGE_COLUMNS: Final = ("vehicle", "position")
_BLOCK_PART: Final = 8 * 2**20
_PLAIN_TEXT: Final = 2**20


def journey_document(row: JourneyRow) -> Document:
    """The journey by its field names, its nested columns as arrays of documents."""
    fields = dict(zip(COLUMNS, row, strict=True))
    for name in NESTED:
        fields[name] = nested_values(name, fields[name])
    return {"key": row[ID], "digest": content_digest(row), **fields}


def journey_row(document: Mapping[str, Any]) -> JourneyRow:
    """The inverse of ``journey_document``."""
    return tuple(
        _nested_text(document[name])
        if name in NESTED
        else _plain(document.get(name) if name in RECORDED_LATER else document[name])
        for name in COLUMNS
    )


def _nested_text(entries: Iterable[Mapping[str, Any]]) -> str:
    return msgspec.json.encode([tuple(map(_plain, entry.values())) for entry in entries]).decode()


def _plain(value: Any) -> Any:
    """The driver returns int64 as a class of its own, which JSON encoders refuse."""
    return int(value) if isinstance(value, Int64) else value


def record_document(columns: Sequence[str], row: Sequence[Any], key: str) -> Document:
    """A flat row by its column names."""
    fields = {name: _packed(value) for name, value in zip(columns, row, strict=True)}
    return {"key": key, "digest": _digest(msgspec.json.encode(row)), **fields}


def record_row(columns: Sequence[str], document: Mapping[str, Any]) -> tuple[Any, ...]:
    """The inverse of ``record_document``."""
    return tuple(_unpacked(document[name]) for name in columns)


def policy_key(term: PolicyTerm) -> str:
    """The key of a policy's term."""
    return msgspec.json.encode(term_row(term)).decode()


def policy_document(policy: Policy) -> Document:
    """The policy by its column names."""
    return record_document(POLICY_COLUMNS, policy_row(policy), policy_key(policy.term))


def block_key(vehicle: str, day: int) -> str:
    """The key of a vehicle's kept fixes of a UTC day."""
    return f"{day}/{vehicle}"


def block_documents(block: FixBlock) -> list[Document]:
    """The block, in parts that stay well below MongoDB's 16 MB."""
    fields = {
        "key": block_key(block.vehicle, block.day),
        "digest": _digest(block.content),
        "vehicle": block.vehicle,
        "day": block.day,
        "first_us": block.first_us,
        "last_us": block.last_us,
    }
    starts = range(0, len(block.content), _BLOCK_PART)
    return [
        {**fields, "part": part, "fixes": 0 if part else block.rows, "content": block.content[s : s + _BLOCK_PART]}
        for part, s in enumerate(starts)
    ]


def joined_blocks(documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int, bytes]]:
    """(vehicle, day, content) of blocks whose parts come in (vehicle, day, part) order."""
    vehicle, day, parts = "", 0, list[bytes]()
    for document in documents:
        if parts and (document["vehicle"], document["day"]) != (vehicle, day):
            yield vehicle, day, b"".join(parts)
            parts = []
        vehicle, day = document["vehicle"], document["day"]
        parts.append(document["content"])
    if parts:
        yield vehicle, day, b"".join(parts)


def identified(document: Document, batch: int) -> Document:
    """The document with its identity as this batch's version of its key."""
    part = document.get("part", 0)
    return {"_id": f"{batch}/{_digest(document['key'].encode())}/{part}", "batch": batch, **document}


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
