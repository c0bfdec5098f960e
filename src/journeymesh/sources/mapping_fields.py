"""The fields of a mapping: where a value is, and how it is written."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from journeymesh.sources.units import UNITS_TO_SI, AccelUnit, AngleUnit, DistanceUnit, SpeedUnit

Layout = Literal["document", "embedded", "bucketed", "signals"]
Clock = Literal[
    "bson_date", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "mixed", "excel_days", "iso8601", "strftime",
    "offset_s", "offset_ms", "offset_min", "interval",
]  # fmt: skip
CoordinateForm = Literal[
    "degrees", "0_to_360", "hemisphere", "ddmm", "dms", "wkt", "geojson", "lat_lon", "lon_lat",
]  # fmt: skip
BaseClockKind = Literal[
    "bson_date", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "mixed", "excel_days", "iso8601", "strftime",
]  # fmt: skip
IntervalUnit = Literal["s", "ms", "us", "min", "Hz"]
INTERVAL_UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}
"""What one of the unit is in seconds; of ``Hz`` it is the other way round."""
MOST_INTERVAL_S: Final = 86_400.0
"""Between two elements of an array."""

Missing = tuple[str | int | float, ...] | None
"""Values that mean that there is none; None: those of the mapping."""

Part = TypeVar("Part", bound=msgspec.Struct)


BESIDE: Final = "(beside the rows)"
"""The path of an identifier that does not stand in the rows."""


class TextField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An identifier: ``path``. Text stands as it is; whole numbers, UUIDs and ObjectIds are taken as their text.

    For a vehicle that the documents do not name, instead: ``value``, one for all of them; ``file``, a regular
    expression that is looked for in each file's path, where the first group is the identifier: ``device=([^/]+)``; or
    ``collection``, one that is looked for in the name of each collection of a dump or a database: ``^box_(.+)``.
    """

    path: str = BESIDE
    value: str | None = None
    file: str | None = None
    collection: str | None = None
    missing: Missing = None

    @property
    def is_beside(self) -> bool:
        """Whether the identifier does not stand in the rows."""
        return self.value is not None or self.file is not None or self.collection is not None


class PolicyText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text of a policy: ``path``, and ``default`` for documents without it. One of the two may be left out."""

    path: str | None = None
    default: str | None = None


class SpeedField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A speed: ``path``, ``unit`` and, for raw counts, ``scale``."""

    path: str
    unit: SpeedUnit
    scale: float = 1.0
    missing: Missing = None

    @property
    def to_si(self) -> float:
        """Factor to m/s."""
        return UNITS_TO_SI[self.unit] * self.scale


class AngleField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A heading, clockwise from north: ``path`` and ``scale``."""

    path: str
    unit: AngleUnit = "deg"
    scale: float = 1.0
    missing: Missing = None

    @property
    def to_si(self) -> float:
        """Factor to degrees."""
        return self.scale


class CoordinateField(AngleField, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A coordinate in WGS84 degrees: ``path``; ``scale`` for integers such as 1e-7 degrees; ``form``, how it is
    written.

    - ``degrees``: a number, or the text of one; south and west are negative
    - ``0_to_360``: a longitude that counts eastwards all round
    - ``hemisphere``: ``52.5N``, ``W 13.4°``
    - ``ddmm``: degrees and minutes in one number as NMEA has them: ``5230.25``, ``5230.25N``
    - ``dms``: degrees, minutes and seconds: ``52°30'15.2"N``, ``52 30 15.2 N``, ``-13:24:36``
    - ``wkt``: ``POINT(13.4 52.5)``, ``SRID=4326;POINT(13.4 52.5)``
    - ``geojson``: a text: ``{"type":"Point","coordinates":[13.4,52.5]}``
    - ``lat_lon``, ``lon_lat``: both in one text, between them a comma, semicolon, bar, slash or blank: ``52.5,13.4``

    For the last four ``lat`` and ``lon`` have the same path. For ``hemisphere``, ``ddmm`` and ``dms`` the letter N, S,
    E or W stands in the value or at ``hemisphere_path``; ``ddmm`` and ``dms`` may have a sign instead.
    """

    form: CoordinateForm = "degrees"
    hemisphere_path: str | None = None


class AccelField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An acceleration: ``path``, ``unit``; ``negate`` where the sensor's axis points the other way."""

    path: str
    unit: AccelUnit
    scale: float = 1.0
    negate: bool = False
    missing: Missing = None

    @property
    def to_si(self) -> float:
        """Factor to m/s², with the sign."""
        return UNITS_TO_SI[self.unit] * self.scale * (-1.0 if self.negate else 1.0)


class DistanceField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A distance: ``path`` and ``unit``."""

    path: str
    unit: DistanceUnit

    @property
    def to_si(self) -> float:
        """Factor to metres."""
        return UNITS_TO_SI[self.unit]


class IgnitionField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ignition: ``path``, and which values mean on and off. Any other value is refused."""

    path: str
    on: tuple[bool | int | float | str, ...] = (True, 1, "on", "true", "1")
    off: tuple[bool | int | float | str, ...] = (False, 0, "off", "false", "0")
    missing: Missing = None


class BaseClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The instant that a bucket's offsets or intervals count from: at ``path`` or ``paths``; or, where it does not
    stand in the rows, ``value``, one for all of them, or ``file``, a regular expression that is looked for in each
    file's path, where the first group is the instant: ``(\\d{4}-\\d\\d-\\d\\d)``.
    """

    path: str | None = None
    value: str | None = None
    file: str | None = None
    paths: tuple[str, ...] = ()
    clock: BaseClockKind
    format: str | None = None
    zone: str | None = None
    zone_path: str | None = None
    fold: Literal["earlier", "later"] = "earlier"
    missing: Missing = None

    @property
    def all_paths(self) -> tuple[str, ...]:
        """The paths read, in the order in which their texts are joined."""
        return (self.path,) if self.path is not None else self.paths


class ClockField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A clock: where the instant is and how it is written.

    - ``bson_date``: a date of BSON or Parquet, or its ISO 8601 text. A date is understood under every other clock too
    - ``epoch_s``, ``epoch_ms``, ``epoch_us``, ``epoch_ns``: a number (or its text) since 1970 UTC, fractions allowed
    - ``mixed``: a date, an ISO 8601 text, or a number (or its text) since 1970 UTC in seconds, milliseconds,
      microseconds or nanoseconds, whichever its size says, from 1973 on
    - ``excel_days``: days since 1899-12-30 as spreadsheets count them, local time
    - ``iso8601``: text; without an offset it is local time in the zone
    - ``strftime``: text of ``path``, or of several ``paths`` joined by a space, in Python's ``format``
    - ``offset_s``, ``offset_ms``, ``offset_min``: a number that counts from ``base``, for buckets
    - ``interval``: no path; the first element of the array is at ``base``, each other ``interval_s`` later than the one
      before it; or, where the document says it, what stands at ``interval_path`` in ``interval_unit``: ``s``, ``ms``,
      ``us``, ``min``, or ``Hz`` for so many a second

    Local times are in the zone that the document names at ``zone_path``, else in ``zone``, else in UTC: an IANA name,
    a Windows name or an offset such as ``+02:00``. Dates without a zone of their own (Parquet) are local times, and
    under ``bson_date`` with a ``zone`` all dates are. A local time that occurs twice (the clock is put back) is the
    ``earlier`` one unless ``fold`` says ``later``; one that does not occur (the clock is put forward) is refused as
    unparseable.

    ``corrections`` are seconds to add for a vehicle whose clock is off: a table ``{V1: 3600, "0123": -2.5}``, or the
    name of a CSV file beside the mapping with the columns ``vehicle`` and ``seconds``. Of ``fixed_at`` only.
    """

    path: str | None = None
    paths: tuple[str, ...] = ()
    clock: Clock
    format: str | None = None
    zone: str | None = None
    zone_path: str | None = None
    fold: Literal["earlier", "later"] = "earlier"
    base: BaseClock | None = None
    interval_s: float | None = None
    interval_path: str | None = None
    interval_unit: IntervalUnit = "s"
    corrections: dict[str | int, float] | str = {}
    missing: Missing = None

    @property
    def all_paths(self) -> tuple[str, ...]:
        """The paths read, in the order in which their texts are joined."""
        return (self.path,) if self.path is not None else self.paths


def with_missing(part: Part, missing: tuple[str | int | float, ...]) -> Part:
    """The part with these missing markers wherever it has none of its own."""
    changes: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, msgspec.Struct):
            changes[name] = with_missing(value, missing)
        elif name == "missing" and value is None:
            changes[name] = missing
    return replace(part, **changes)
