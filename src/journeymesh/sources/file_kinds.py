"""What a file is: by its name where that says it, else by its first bytes."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from journeymesh.sources.files import SourceFile, opened
from journeymesh.sources.text_encoding import Utf8Stream

Kind = Literal["columns", "json", "gpx", "nmea", "parquet"]

ENDINGS: Final[dict[str, Kind]] = {
    ".csv": "columns",
    ".tsv": "columns",
    ".tab": "columns",
    ".ndjson": "json",
    ".jsonl": "json",
    ".json": "json",
    ".geojson": "json",
    ".gpx": "gpx",
    ".nmea": "nmea",
    ".nma": "nmea",
    ".parquet": "parquet",
    ".pq": "parquet",
}
BY_CONTENT: Final = (".txt", ".log", ".dat", ".plt", ".rec", ".asc", ".out", ".xml", "")
"""Endings that recordings have, and much else."""
_HEAD_BYTES: Final = 4096
_PACKED: Final = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}
_BEFORE_JSON: Final = re.compile(rb"[^{}\t]*(?:\t[^{}\t]*)*\t\{.*\}\s*")
_SENTENCE: Final = re.compile(rb"^[^\n$!]{0,40}[$!][A-Z]{2}[A-Z]{3},", re.MULTILINE)


class Found(NamedTuple):
    """The kind of a file, or why it has none that can be read."""

    kind: Kind | None
    reason: str = ""


def ending_of(name: str) -> str:
    """``.csv`` of ``Fixes.CSV.gz``; empty where there is none."""
    plain = name.lower().removesuffix(".gz")
    stem, dot, ending = plain.rpartition(".")
    return dot + ending if stem else ""


def kind_of(file: SourceFile, *, named: bool) -> Found:
    """What the file is. ``named``: the user named it, it is not just there in a folder.

    Raises:
        SourceUnreadable: it cannot be opened.
    """
    own = file.path.rpartition("/")[2]
    ending = ending_of(own)
    known = ENDINGS.get(ending)
    if not named and own.startswith((".", "_")):
        return Found(None, "hidden")
    if not named and known is None and ending not in BY_CONTENT:
        return Found(None, f"unknown ending {ending}")
    with opened(file, whole=False) as raw:
        raw_head = raw.read(_HEAD_BYTES)
        raw.seek(0)
        head = Utf8Stream(raw).peek(_HEAD_BYTES)
    packed = next((name for mark, name in _PACKED.items() if raw_head.startswith(mark)), None)
    if packed:
        return Found(None, f"packed with {packed}: unpack it")
    return _by_content(raw_head, head, known)


def _by_content(raw_head: bytes, head: bytes, known: Kind | None) -> Found:
    text = head.lstrip()
    if raw_head.startswith(b"PAR1"):
        return Found("parquet")
    if known == "parquet":
        return Found("parquet")  # its reader says what is wrong with it
    if b"\0" in head and known is None:
        return Found(None, "not text")
    if text.startswith(b"<"):
        is_gpx = b"<gpx" in text or known == "gpx"
        return Found("gpx") if is_gpx else Found(None, "XML that is not GPX")
    if re.match(rb"\{|\[\s*(\{|\]|$)", text):
        return Found("json")
    if known is None and _is_json_behind_tabs(text):
        return Found("json")
    if _SENTENCE.search(text) and known in (None, "nmea"):
        return Found("nmea")
    return Found(known or "columns")


def _is_json_behind_tabs(text: bytes) -> bool:
    """Whether every line ends with an object behind a tab, as recorders and logs write it."""
    lines = text.splitlines()
    whole = [line for line in (lines[:-1] or lines) if line.strip()]  # the last one may be cut
    return bool(whole) and all(_BEFORE_JSON.fullmatch(line) for line in whole)
