"""What a location names: which kind of source it is, and whether a mapping is one for it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from journeymesh.errors import MappingInvalid, SourceMissing, UsageError
from journeymesh.safe_text import shown_url
from journeymesh.sources.dump_bytes import is_dump
from journeymesh.sources.files import files_of
from journeymesh.sources.mapping import Mapping, load_mapping

_PARQUET_ENDINGS: Final = (".parquet", ".pq")
_BSON_ENDINGS: Final = (".bson", ".bson.gz", ".archive", ".archive.gz")
_LIVE: Final = ("mongodb://", "mongodb+srv://")


def kind_of(location: str, mapping: Mapping | None = None) -> Literal["parquet", "files", "mongodb", "mongodump"]:
    """The kind of a source; ``files`` are of text, or of several kinds.

    Raises:
        SourceMissing: nothing is there.
    """
    if location.startswith(_LIVE):
        return "mongodb"
    is_pattern = any(sign in location for sign in "*?[") and not Path(location).exists()
    if "://" not in location and not is_pattern and not Path(location).exists():
        raise SourceMissing(f"source {location} does not exist", todo="give the path or URL of the source")
    if location.lower().endswith(_BSON_ENDINGS) or is_dump(location):
        return "mongodump"
    names = [file.path.lower() for file in files_of(location)]
    if any(name.endswith(_BSON_ENDINGS) for name in names):
        return "mongodump"
    if not all(name.endswith(_PARQUET_ENDINGS) for name in names):
        return "files"
    if mapping is None:
        return "parquet"
    vehicle = mapping.fields.vehicle
    is_beside = vehicle.is_beside or any(f"/{vehicle.path.lower()}=" in name for name in names)
    return "files" if is_beside or mapping.layout != "document" else "parquet"


def mapping_of_documents(location: str, mapping: Mapping | None) -> Mapping:
    """The mapping, where it is one of documents of a database.

    Raises:
        UsageError: there is none. MappingInvalid: it is of one signal a row.
    """
    if mapping is None:
        raise UsageError(
            f"source {shown_url(location)} needs a mapping",
            todo="give --mapping FILE; `journeymesh mapping schema` says what it holds",
        )
    if mapping.layout == "signals":
        raise MappingInvalid(
            "layout signals is for files of one signal a row", todo="use layout: document, with the signals' paths"
        )
    return mapping


def live_mapping(location: str, mapping_path: str | Path | None) -> Mapping:
    """The mapping of a live MongoDB that is queried by vehicle and followed.

    Raises:
        UsageError: the location is of another kind, or no mapping was given.
        MappingInvalid: the file cannot be used, or no query finds the vehicle by it.
    """
    if not location.startswith(_LIVE):
        raise UsageError(
            f"source {shown_url(location)} cannot be queried by vehicle and followed",
            todo="give a mongodb:// URL of a live database",
        )
    from journeymesh.sources.mongodb_queries import has_literal

    mapping = mapping_of_documents(location, None if mapping_path is None else load_mapping(Path(mapping_path)))
    if mapping.fields.vehicle.is_beside:
        raise MappingInvalid(
            "fields.vehicle: a source that is queried by vehicle needs it in the documents",
            todo="give the path of a field; `journeymesh preprocess` reads the others",
        )
    if has_literal(mapping.fields.vehicle.path):
        raise MappingInvalid(
            f"fields.vehicle: no query finds the key of {mapping.fields.vehicle.path}, which has a dot in it",
            todo="run `journeymesh preprocess`, which reads whole documents, or rename the field",
        )
    return mapping
