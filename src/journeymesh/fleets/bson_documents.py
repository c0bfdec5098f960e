"""Fixes as a legacy black box's BSON documents, a million a second: one template, its fields filled in as columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import bson
import numpy as np
import numpy.typing as npt
from bson.binary import Binary
from bson.objectid import ObjectId

from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.policies import Policy

U8 = npt.NDArray[np.uint8]

_G_MPS2: Final = 9.80665
_MPH_MPS: Final = 0.44704
_MILE_M: Final = 1609.344
_MARK: Final = 7.123456789e-301
_UNREADABLE: Final = ("0000-00-00T24:61:61Z", "", "not set", "1/0/1900 0:00", "NaN")
_BLOCK: Final = 65_536


def blackbox_documents(fixes: Fixes, first_number: int) -> Iterator[bytes]:
    """Concatenated BSON documents of these fixes, in blocks, in their order.

    Shaped as {_id, deviceId, ts, loc: GeoJSON Point, speedMph, heading, gps: {fix, sats, hdop}, accelG: {x, y, z}};
    ``accelG`` only where fixes carry acceleration. ``first_number`` makes the ids unique over blocks.
    """
    for first in range(0, len(fixes), _BLOCK):
        yield _block(fixes.take(slice(first, first + _BLOCK)), first_number + first)


def _block(fixes: Fixes, first_number: int) -> bytes:
    numbers = np.arange(first_number, first_number + len(fixes))
    ids = _object_ids(fixes, numbers)
    rows = _rows(fixes, numbers, ids)
    odd = np.flatnonzero((fixes.fixed_at_us == NOT_REPORTED_US) | np.isnan(fixes.lat_deg))
    parts, done = [], 0
    for k in odd:
        parts += [rows[done:k].tobytes(), _odd_document(fixes, int(k), rows[k].tobytes())]
        done = int(k) + 1
    return b"".join([*parts, rows[done:].tobytes()])


def _object_ids(fixes: Fixes, numbers: npt.NDArray[np.int64]) -> U8:
    """uint8[n, 12]: the second of receipt, five bytes of the fleet, a counter; unique by the number of the fix."""
    ids = np.empty((len(fixes), 12), np.uint8)
    seconds = (fixes.received_at_us if fixes.received_at_us is not None else fixes.fixed_at_us) // 1_000_000
    ids[:, :4] = seconds.astype(">u4").view(np.uint8).reshape(-1, 4)
    ids[:, 4:] = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)
    return ids


def _rows(fixes: Fixes, numbers: npt.NDArray[np.int64], ids: U8) -> U8:
    """One document a row: uint8[n, bytes]."""
    columns: list[tuple[str, npt.NDArray[np.generic]]] = [
        ("ts", fixes.fixed_at_us // 1000),
        ("lon", fixes.lon_deg),
        ("lat", fixes.lat_deg),
        ("speedMph", np.floor(_reported(fixes.speed_mps, fixes) / _MPH_MPS * 1e4 + 0.5) / 1e4),
        ("heading", _reported(fixes.heading_deg, fixes)),
        ("sats", (7 + numbers % 5).astype(np.int32)),
        ("hdop", 0.8 + (numbers % 7) / 10.0),
    ]
    if fixes.accel_longitudinal_mps2 is not None and fixes.accel_lateral_mps2 is not None:
        columns += [
            ("x", np.floor(fixes.accel_longitudinal_mps2 / _G_MPS2 * 1e4 + 0.5) / 1e4),
            ("y", np.floor(fixes.accel_lateral_mps2 / _G_MPS2 * 1e4 + 0.5) / 1e4),
        ]
    template, places = _template(fixes.vehicles[fixes.vehicle[0]] if len(fixes) else "", accel=len(columns) > 7)
    rows = np.empty((len(fixes), len(template)), np.uint8)
    rows[:] = np.frombuffer(template, np.uint8)
    rows[:, places["_id"] : places["_id"] + 12] = ids
    names = np.array([name.encode() for name in fixes.vehicles])
    letters = names[fixes.vehicle].view(np.uint8).reshape(len(fixes), -1)
    rows[:, places["deviceId"] : places["deviceId"] + letters.shape[1]] = letters
    for name, column in columns:
        width = column.dtype.itemsize
        little = np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<"), copy=False)
        rows[:, places[name] : places[name] + width] = little.view(np.uint8).reshape(-1, width)
    return rows


def _reported(column: npt.NDArray[np.float64] | None, fixes: Fixes) -> npt.NDArray[np.float64]:
    return column if column is not None else np.zeros(len(fixes))


def _template(vehicle: str, *, accel: bool) -> tuple[bytes, dict[str, int]]:
    """A document, and at which byte each of its values is: found by writing marks that occur only once."""
    marks: dict[str, Any] = {
        name: _MARK * (k + 2) for k, name in enumerate(("lon", "lat", "speedMph", "heading", "hdop", "x", "y"))
    }
    document: dict[str, Any] = {
        "_id": ObjectId(b"\xfa\xfb\xfc\xfd" * 3),
        "deviceId": vehicle,
        "ts": bson.DatetimeMS(0x0123_4567_89AB),
        "loc": {"type": "Point", "coordinates": [marks["lon"], marks["lat"]]},
        "speedMph": marks["speedMph"],
        "heading": marks["heading"],
        "gps": {"fix": 3, "sats": 0x5A5B5C5D, "hdop": marks["hdop"]},
    }
    if accel:
        document["accelG"] = {"x": marks["x"], "y": marks["y"], "z": 1.0}
    raw = bson.encode(document)
    values: dict[str, bytes] = {name: np.array(mark, "<f8").tobytes() for name, mark in marks.items()}
    values |= {
        "_id": b"\xfa\xfb\xfc\xfd" * 3,
        "deviceId": vehicle.encode() + b"\0",
        "ts": np.array(0x0123_4567_89AB, "<i8").tobytes(),
        "sats": np.array(0x5A5B5C5D, "<i4").tobytes(),
    }
    return raw, {name: raw.index(value) for name, value in values.items() if value in raw}


def _odd_document(fixes: Fixes, k: int, plain: bytes) -> bytes:
    """The document of a fix that the template cannot hold: no position, or a clock that is no clock."""
    document: dict[str, Any] = bson.decode(
        plain, bson.CodecOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_MS)
    )
    if np.isnan(fixes.lat_deg[k]):
        document["loc"] = None
    if fixes.fixed_at_us[k] == NOT_REPORTED_US:
        document["ts"] = _UNREADABLE[k % len(_UNREADABLE)]
    return bson.encode(document)


def policy_documents(policies: list[Policy]) -> bytes:
    """Concatenated BSON documents of the legacy ``policies`` collection."""
    return b"".join(bson.encode(_policy_document(policy)) for policy in policies)


def _policy_document(policy: Policy) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": policy.number,
        "number": policy.number,
        "deviceId": policy.device,
        "from": policy.valid_from,
        "to": policy.valid_to,
        "tz": policy.zone,
        "status": policy.status,
        "tenant": policy.tenant,
        "product": policy.product,
    }
    if policy.declared_annual_distance_m is not None:
        document["declaredAnnualMiles"] = round(policy.declared_annual_distance_m / _MILE_M)
    return {name: value for name, value in document.items() if value is not None}


def collection_metadata(database: str, collection: str, number: int) -> str:
    """The ``<collection>.metadata.json`` that mongodump writes beside a collection."""
    uuid = Binary(number.to_bytes(16, "big")).hex()
    return (
        '{"options":{},"indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_",'
        f'"ns":"{database}.{collection}"}}],"uuid":"{uuid}","collectionName":"{collection}","type":"collection"}}'
    )
