"""The same documents written for every kind of source, and what each source reads of them."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import bson
import pyarrow as pa
import pyarrow.parquet as pq

from journeymesh.journeys.fixes import NOT_REPORTED_US
from journeymesh.wiring.journeys import open_source

SOURCES = ("bson", "ndjson", "parquet", "csv")


def write(kind: str, folder: Path, documents: list[dict[str, Any]]) -> Path:
    """The documents as a file of this kind, called ``c``. Values that the kind does not have are a ``TypeError``."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "bson":
        path = folder / "c.bson"
        path.write_bytes(b"".join(bson.encode({"_id": n} | one) for n, one in enumerate(documents)))
    elif kind == "ndjson":
        path = folder / "c.ndjson"
        path.write_text("".join(json.dumps(_json(one)) + "\n" for one in documents))
    elif kind == "parquet":
        path = folder / "c.parquet"
        pq.write_table(_table(documents), path)
    else:
        path = folder / "c.csv"
        names = list(dict.fromkeys(name for one in documents for name in one))
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([_cell(one.get(name)) for name in names] for one in documents)
    return path


def read(kind: str, folder: Path, documents: list[dict[str, Any]], mapping: str) -> list[dict[str, Any] | str]:
    """What the source makes of each document, in their order: its fix as plain values, or the reason to refuse it.

    The mapping is of ``collection: c``. Every document must be good for one fix at most.
    """
    path = write(kind, folder, documents)
    (folder / "mapping.yaml").write_text(mapping)
    by_origin = made_of(str(path.parent if kind == "bson" else path), folder / "mapping.yaml")
    first = {"bson": 0, "ndjson": 1, "parquet": 1, "csv": 2}[kind]
    names = [f"c/{number}" if kind == "bson" else f"{path.name}:{number + first}" for number in range(len(documents))]
    return [by_origin[name] for name in names]


def read_live(url: str, folder: Path, documents: list[dict[str, Any]], mapping: str) -> list[dict[str, Any] | str]:
    """As ``read``, of a collection ``c`` in a database of its own on the server at ``url``."""
    from pymongo import MongoClient

    name = f"jm{uuid4().hex[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mapping.yaml").write_text(mapping)
    with MongoClient[dict[str, Any]](url) as client:
        try:
            client[name]["c"].insert_many([{"_id": number} | one for number, one in enumerate(documents)])
            by_origin = made_of(urlsplit(url)._replace(path=f"/{name}").geturl(), folder / "mapping.yaml")
        finally:
            client.drop_database(name)
    return [by_origin[f"c/{number}"] for number in range(len(documents))]


def made_of(location: str, mapping: Path) -> dict[str, dict[str, Any] | str]:
    """What a source makes of its inputs by their origins: the fix as plain values, or the reason to refuse it."""
    source = open_source(location, mapping)
    by_origin: dict[str, dict[str, Any] | str] = {}
    try:
        for batch in source.batches():
            places = source.describe(batch.fixes.origins)
            for row, place in enumerate(places):
                fixes = batch.fixes
                values = {
                    name: None if _absent(value := column[row].item()) else value
                    for name, column in fixes.columns()
                    if name not in ("vehicle", "origin")
                }
                by_origin[place] = {"vehicle": fixes.vehicles[fixes.vehicle[row]]} | {
                    name: value for name, value in values.items() if value is not None
                }
            for refusal in batch.refusals:
                by_origin.setdefault(refusal.origin, refusal.reason)
    finally:
        source.close()
    return by_origin


def _absent(value: Any) -> bool:
    return value in (NOT_REPORTED_US, -1) or (isinstance(value, float) and math.isnan(value))


def _json(value: Any) -> Any:
    match value:
        case dict():
            return {key: _json(inside) for key, inside in value.items()}
        case list():
            return [_json(inside) for inside in value]
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return value
    raise TypeError(f"JSON has no {type(value).__name__}")


def _table(documents: list[dict[str, Any]]) -> pa.Table:
    names = list(dict.fromkeys(name for one in documents for name in one))
    return pa.table({name: pa.array([_arrow(one.get(name)) for one in documents]) for name in names})


def _arrow(value: Any) -> Any:
    match value:
        case bson.ObjectId() | bson.Timestamp() | bson.Regex() | bson.Code() | bson.MinKey() | bson.MaxKey():
            raise TypeError(f"Parquet has no {type(value).__name__}")
        case bson.Binary() if value.subtype:
            raise TypeError("Parquet has no subtypes")
        case bson.Decimal128():
            return value.to_decimal()
        case bson.Int64():
            return int(value)
    return value


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal() | UUID():
            return str(value)
        case bson.Decimal128() | bson.ObjectId():
            return str(value)
        case dt.datetime():
            return value.isoformat()
    raise TypeError(f"CSV has no {type(value).__name__}")
