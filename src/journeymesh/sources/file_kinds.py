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
_PACKED: Final = {
    b"PK\x03\x04": "zip: unpack it",
    b"BZh": "bzip2: unpack it with `bunzip2`",
    b"\xfd7zXZ": "xz: unpack it with `unxz`",
    b"\x28\xb5\x2f\xfd": "zstandard: unpack it with `unzstd`",
    b"7z\xbc\xaf": "7-Zip: unpack it",
    b"\x04\x22\x4d\x18": "LZ4: unpack it with `unlz4`",
}
_WORKBOOK: Final = "a workbook: save its sheet as CSV"
_OTHERS: Final = {
    b"ARROW1": "Arrow's own format (Feather): write it as Parquet",
    b"\xff\xff\xff\xff": "perhaps an Arrow stream: write it as Parquet",
    b"ORC": "ORC: write it as Parquet",
    b"Obj\x01": "Avro: write it as Parquet or JSON",
    b"SQLite format 3\0": "a database of SQLite: export its table as CSV",
    b"\x89HDF": "HDF5: write it as Parquet",
    b"\xd0\xcf\x11\xe0": _WORKBOOK,
    b"%PDF": "a PDF, which holds no data",
}
"""What well-known formats begin with, and what to do with them."""
_XML: Final = {
    b"<kml": "KML: convert it to GPX, as with `gpsbabel -i kml -o gpx`",
    b"<trainingcenterdatabase": "TCX: convert it to GPX, as with `gpsbabel -i gtrnctr -o gpx`",
    b"<html": "a page of HTML, perhaps of a login: fetch the file itself",
    b"<!doctype html": "a page of HTML, perhaps of a login: fetch the file itself",
}
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
        inside = raw_head[:200]
        is_workbook = b"[Content_Types].xml" in raw_head or b"xl/" in inside or b"opendocument.spreadsheet" in inside
        return Found(None, _WORKBOOK if packed.startswith("zip") and is_workbook else f"packed with {packed}")
    return _by_content(raw_head, head, known)


def _by_content(raw_head: bytes, head: bytes, known: Kind | None) -> Found:
    text = head.lstrip()
    if raw_head.startswith(b"PAR1"):
        return Found("parquet")
    if known == "parquet":
        return Found("parquet")  # its reader says what is wrong with it
    other = next((what for mark, what in _OTHERS.items() if raw_head.startswith(mark)), None)
    if b"\0" not in raw_head and not raw_head.startswith(b"%PDF"):
        other = None  # a text that happens to begin so
    if raw_head[8:12] == b".FIT":
        other = "Garmin's FIT: convert it to GPX, as with `gpsbabel -i garmin_fit -o gpx`"
    if other is not None:
        return Found(None, other)
    if b"\0" in head and known is None:
        return Found(None, "not text")
    if text.startswith(b"<"):
        is_gpx = b"<gpx" in text or known == "gpx"
        named = next((what for mark, what in _XML.items() if mark in text.lower()), "XML that is not GPX")
        return Found("gpx") if is_gpx else Found(None, named)
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
