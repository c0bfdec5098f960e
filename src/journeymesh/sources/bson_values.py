"""Single BSON values and whole documents as Python sees them: for what the kernels leave, and for quarantine."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import bson
import numpy as np
import numpy.typing as npt
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError, InvalidBSON

from journeymesh.sources.clocks import FIRST_US, LAST_US
from journeymesh.sources.conversions import Unconvertible

U8 = npt.NDArray[np.uint8]

MAX_DOCUMENT_BYTES: Final = 16 * 2**20 + 16 * 2**10
"""What MongoDB stores at most, with the headroom that its own tools allow."""
MIN_DOCUMENT_BYTES: Final = 5

KINDS: Final = {
    0x01: "double",
    0x02: "string",
    0x03: "object",
    0x04: "array",
    0x05: "binary",
    0x06: "undefined",
    0x07: "ObjectId",
    0x08: "bool",
    0x09: "date",
    0x0A: "null",
    0x0B: "regex",
    0x0C: "DBPointer",
    0x0D: "JavaScript",
    0x0E: "symbol",
    0x0F: "JavaScript with scope",
    0x10: "int32",
    0x11: "timestamp",
    0x12: "int64",
    0x13: "decimal128",
    0x7F: "MaxKey",
    0xFF: "MinKey",
}
"""BSON's types, by the byte that stands before the key."""

CONTENT_BYTES: Final = 64 * 1024
"""How much of a corrupt document is kept in its refusal."""

ID_CHARS: Final = 200
"""How much of an ``_id`` that is neither a text, a number nor an ObjectId stands in an origin."""
_LIKE_ANOTHER: Final = re.compile(r'-?[0-9]+\Z|[0-9a-f]{24}\Z|[{\["]|(?:true|false|null|NaN|-?Infinity)\Z')
"""Texts that an ``_id`` of another type may be written as."""

OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_FIXED_BYTES: Final = {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}


def value_at(buffer: U8, kind: int, at: int, expected: str) -> Any:
    """The value of a cell: None, a text, a number, a bool, bytes, an ObjectId or an aware datetime.

    Raises:
        Unconvertible: the type is none of these; the text names it and what was ``expected``.
    """
    if kind in (0x00, 0x0A):
        return None
    size = _FIXED_BYTES.get(kind)
    if kind in (0x02, 0x05):
        size = (4 if kind == 0x02 else 5) + int.from_bytes(buffer[at : at + 4].tobytes(), "little")
    if size is None:
        raise Unconvertible(f"expected {expected}, found {KINDS.get(kind, hex(kind))}")
    content = bytes((kind,)) + b"v\0" + buffer[at : at + size].tobytes() + b"\0"
    try:
        value: Any = bson.decode((len(content) + 4).to_bytes(4, "little") + content, OPTIONS)["v"]
    except BSONError:
        raise Unconvertible(f"the {KINDS[kind]} is malformed") from None
    match value:
        case bson.Decimal128():
            return value.to_decimal()
        case bson.Timestamp():
            return value.as_datetime()
        case bson.DatetimeMS():
            if not FIRST_US <= int(value) * 1000 <= LAST_US:
                raise Unconvertible(f"the date {int(value)} ms lies outside the calendar")
    return value


def id_text(identity: object) -> str:
    """An ``_id`` as it stands in an origin."""
    match identity:
        case str():
            return identity
        case bson.ObjectId() | int():
            return str(identity)
        case _:
            return (canonical(identity) or type(identity).__name__)[:ID_CHARS]


def document_id(document: bytes, collection: str, at: int) -> str:
    """``collection/_id`` of a raw document, or its byte offset where it cannot be read."""
    identity = _identity(document)
    return f"{collection}/{id_text(identity)}" if identity is not None else f"{collection}@{at}"


def document_key(document: bytes, collection: str) -> str | None:
    """What tells a raw document from every other where ``document_id`` does not: the whole of an ``_id`` that is cut
    there, or a text that reads like an id of another type. None where ``document_id`` does."""
    identity = _identity(document)
    match identity:
        case None | bson.ObjectId() | int():
            return None
        case str() if not _LIKE_ANOTHER.match(identity):
            return None
    whole = canonical(identity)
    is_cut = whole is not None and len(whole) > ID_CHARS
    return f"{collection}/{whole}" if is_cut or isinstance(identity, str) else None


def has_id(document: bytes) -> bool:
    """Whether a raw document has an ``_id`` that can be read."""
    return _identity(document) is not None


def _identity(document: bytes) -> Any:
    try:
        identity = _first_id(document)
        if identity is None and len(document) <= CONTENT_BYTES:
            identity = bson.decode(document, OPTIONS).get("_id")
    except Exception:  # noqa: BLE001,RUF100 - bytes of any kind come here, and a place can always be told
        return None
    return identity


def _first_id(document: bytes) -> Any:
    """The ``_id`` where it is the first element, as servers store it, without a look at the others."""
    kind, value = document[4], 9
    if document[5:value] != b"_id\0":
        return None
    size = _FIXED_BYTES.get(kind)
    if size is None:
        size = int.from_bytes(document[value : value + 4], "little") + {0x02: 4, 0x05: 5}.get(kind, 0)
    first = document[4 : value + size] + b"\0"
    return bson.decode((len(first) + 4).to_bytes(4, "little") + first, OPTIONS)["_id"]


def documents_in(content: bytes) -> Iterator[bytes]:
    """The documents that follow each other in these bytes, as they are.

    Raises:
        InvalidBSON: one is of impossible length.
    """
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "little", signed=True)
        if not MIN_DOCUMENT_BYTES <= size <= len(content) - at:
            raise InvalidBSON(f"a document of impossible length at byte {at}")
        yield content[at : at + size]
        at += size


def decoded(document: bytes) -> dict[str, Any] | None:
    """The document; None where it cannot be decoded."""
    try:
        content: dict[str, Any] = bson.decode(document, OPTIONS)
    except Exception:  # noqa: BLE001,RUF100 - whatever the decoder dislikes, the bytes themselves are kept
        return None
    return content


def canonical(value: Any) -> str | None:
    """A value as canonical extended JSON; None where it nests more deeply than that can be written."""
    try:
        return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)
    except (RecursionError, ValueError, OverflowError):
        return None


def raw_json(content: bytes) -> str:
    """Bytes as extended JSON: the first ``CONTENT_BYTES`` of them, and how many there were if more."""
    kept = {"$binary": {"base64": base64.b64encode(content[:CONTENT_BYTES]).decode(), "subType": "00"}}
    return json.dumps(kept if len(content) <= CONTENT_BYTES else {"bytes": len(content), "first": kept})
