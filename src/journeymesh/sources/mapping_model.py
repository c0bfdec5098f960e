"""What a mapping is: where a legacy document or row has each column of a fix, and each part of a policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import force_setattr

from journeymesh.sources.accuracy import AccuracyField, HdopField, ValidField
from journeymesh.sources.conditions import Wanted
from journeymesh.sources.csv_dialect import CsvDialect
from journeymesh.sources.mapping_fields import (
    AccelField,
    AngleField,
    ClockField,
    CoordinateField,
    DistanceField,
    IgnitionField,
    Layout,
    PolicyText,
    SpeedField,
    TextField,
    with_missing,
)
from journeymesh.sources.paths import array_of
from journeymesh.sources.personal_data import DataKind
from journeymesh.sources.signal_layout import SignalsLayout


class FieldMappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where each column of a fix is. ``vehicle``, ``fixed_at``, ``lat`` and ``lon`` are required."""

    vehicle: TextField
    fixed_at: ClockField
    lat: CoordinateField
    lon: CoordinateField
    received_at: ClockField | None = None
    speed: SpeedField | None = None
    heading: AngleField | None = None
    accel_longitudinal: AccelField | None = None
    accel_lateral: AccelField | None = None
    speed_limit: SpeedField | None = None
    ignition: IgnitionField | None = None
    accuracy: AccuracyField | None = None
    hdop: HdopField | None = None
    valid: ValidField | None = None

    def present(self) -> dict[str, Any]:
        """The fields that are mapped, by name, in the order of the model."""
        return {name: field for name in self.__struct_fields__ if (field := getattr(self, name)) is not None}


NUMBER_COLUMNS: Final[dict[str, str]] = {
    "lat": "lat_deg",
    "lon": "lon_deg",
    "speed": "speed_mps",
    "heading": "heading_deg",
    "accel_longitudinal": "accel_longitudinal_mps2",
    "accel_lateral": "accel_lateral_mps2",
    "speed_limit": "speed_limit_mps",
    "accuracy": "accuracy_m",
}
"""The mapped numbers and the column of ``Fixes`` that each becomes, multiplied by its field's ``to_si``."""


class PolicyMappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a policy's parts are, in another collection of the same source."""

    collection: str
    number: TextField
    valid_from: ClockField
    valid_to: ClockField | None = None
    device: PolicyText | None = None
    vehicle: PolicyText | None = None
    zone: PolicyText | None = None
    tenant: PolicyText | None = None
    product: PolicyText | None = None
    status: PolicyText | None = None
    declared_annual_distance: DistanceField | None = None


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a collection becomes fixes; or several of one kind, by a list or a pattern such as ``fixes_*``.

    ``layout``: ``document``, one document per fix; ``embedded``, fixes in one array of sub-documents; ``bucketed``,
    fixes in arrays beside each other or in an array of sub-documents, counted from shared values of the bucket;
    ``signals``, rows of a file of one signal each, where ``signals`` says how, and the paths of all fields but the
    vehicle's and the clock's are names of signals. ``csv`` says how files of columns are written.
    ``database`` is needed only where a source holds the collection in more than one. ``where: {type: position}`` says
    which documents are for us: by path the value that must be there, or a list of such; of a path with ``[]``, which
    elements. ``missing: ["-", n/a]`` says
    which values mean that there is none, for all fields that do not say so themselves.
    ``data`` says whose movements these are: ``personal``, of people as they drove; ``treated``, depersonalised;
    ``generated``, nobody's.
    """

    version: Literal[1] = 1
    data: DataKind = "personal"
    named: str | tuple[str, ...] = msgspec.field(name="collection")
    database: str | None = None
    layout: Layout = "document"
    where: dict[str, Wanted | tuple[Wanted, ...]] = {}
    missing: tuple[str | int | float, ...] = ()
    fields: FieldMappings
    policies: PolicyMappings | None = None
    csv: CsvDialect | None = None
    signals: SignalsLayout | None = None

    def __post_init__(self) -> None:
        """Give the mapping's missing markers to the fields that have none of their own."""
        if self.missing:
            force_setattr(self, "fields", with_missing(self.fields, self.missing))

    @property
    def collections(self) -> tuple[str, ...]:
        """The names and patterns that are given."""
        return (self.named,) if isinstance(self.named, str) else self.named

    @property
    def collection(self) -> str:
        """What the collection is called; several of them, separated by commas."""
        return ", ".join(self.collections)

    @property
    def array_path(self) -> str | None:
        """The array that fixes are embedded in; None for documents and for arrays beside each other."""
        arrays = {array for _, path in paths_in(self.fields) if (array := array_of(path)) is not None}
        return arrays.pop() if len(arrays) == 1 else None


def mapped_paths(mapping: Mapping) -> list[str]:
    """Every path that the mapping's fields and conditions read, once each."""
    return sorted({path for _, path in paths_in(mapping.fields)} | set(mapping.where))


def paths_in(fields: object, at: str = "fields") -> Iterator[tuple[str, str]]:
    """Every path in the mapping with its place in the file."""
    if not isinstance(fields, msgspec.Struct):
        return
    for name in fields.__struct_fields__:
        value = getattr(fields, name)
        if name in ("path", "zone_path", "hemisphere_path", "interval_path") and value is not None:
            yield f"{at}.{name}", value
        elif name == "paths":
            yield from ((f"{at}.paths[{number}]", path) for number, path in enumerate(value))
        else:
            yield from paths_in(value, f"{at}.{name}")
