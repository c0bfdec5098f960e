"""JSON texts as documents: of each one only what is mapped is decoded, the whole of it where it is refused.

A document of 179 keys takes several times as long to decode as its four that are mapped, and what is kept of it takes
memory until its batch is done. So, as in BSON, what no field and no condition reads is passed over: it must be JSON,
but a number there that no double can hold does not refuse the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, TypedDict

import msgspec

from journeymesh.sources.paths import first_steps
from journeymesh.sources.text_encoding import repaired

Document = dict[str, Any]
_FEW_BYTES: Final = 1 << 20
_MOST_VALUES: Final = 4_000_000
"""Of one document. Each takes some 64 bytes in memory, and as few as three in the text."""


class JsonDocuments:
    """Decodes documents for those who read these paths."""

    def __init__(self, paths: Iterable[str]) -> None:
        keys = dict.fromkeys(key for path in paths for key in first_steps(path))
        mapped = TypedDict("mapped", dict.fromkeys(keys, Any), total=False)  # type: ignore[misc]
        self._whole = msgspec.json.Decoder()
        # msgspec does not find keys of a typed dict that are not ASCII.
        self._mapped: msgspec.json.Decoder[Any] = (
            msgspec.json.Decoder(mapped) if all(map(str.isascii, keys)) else msgspec.json.Decoder(Document)
        )

    def read(self, text: bytes) -> tuple[Document | None, str]:
        """Of the document what the paths lead to, or why it is none; neither where the text is blank."""
        if not text or text.isspace():
            return None, ""
        text = _object_of(text)
        if len(text) > _FEW_BYTES and sum(map(text.count, (b",", b"[", b"{"))) > _MOST_VALUES:
            return None, f"it has more than {_MOST_VALUES:,} commas and brackets"
        try:
            return self._mapped.decode(text), ""
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return _document(self._whole, text)

    def whole(self, text: bytes) -> object:
        """All of a document that was read; its text where what is not mapped cannot be decoded."""
        document, _ = _document(self._whole, text)
        return text.decode("utf-8", "replace").strip() if document is None else document


def is_document(text: bytes) -> bool:
    """Whether the whole text is one."""
    return _document(msgspec.json.Decoder(), text)[0] is not None


def run_on(line: bytes) -> bool:
    """Whether an object begins right behind another one on the line, as stream archives put them."""
    if not line.lstrip().startswith(b"{") or b"}" not in line:
        return False
    text = line.decode("utf-8", "replace").lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip().startswith("{")


def _object_of(line: bytes) -> bytes:
    """The object of a line: all of it, or what stands behind a tab, as in a log with its time in front, or behind the
    separator of a text sequence (RFC 7464)."""
    if line.startswith(b"\x1e"):
        return line[1:]
    if line.startswith(b"{") or line.lstrip().startswith(b"{") or (tab := line.find(b"\t{")) < 0:
        return line
    return line[tab + 1 :]


def _document(decoder: msgspec.json.Decoder[Any], text: bytes) -> tuple[Document | None, str]:
    text = _object_of(text)
    try:
        document = decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        document = _lenient(text)
        if document is None:
            return None, str(error) or type(error).__name__
    return (document, "") if isinstance(document, dict) else (None, "it is not a JSON object")


def _lenient(text: bytes) -> Any:
    """The document where only its encoding is wrong, or it has NaN or Infinity as Python and JavaScript write them."""
    fixed, was_wrong = repaired(text)
    if not was_wrong and b"NaN" not in text and b"Infinity" not in text:
        return None
    try:
        return json.loads(fixed)
    except (ValueError, RecursionError):
        return None
