"""How a file has its signals, one on each row."""

from __future__ import annotations

import msgspec

from journeymesh.errors import MappingInvalid
from journeymesh.sources.csv_dialect import CsvDialect


class SignalsLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One signal on each row: the paths of its ``name`` and its ``value``, and for how long a value holds."""

    name: str
    value: str
    max_age_s: float = 10.0


def check_layout(where: str, layout: str, signals: SignalsLayout | None, csv: CsvDialect | None) -> None:
    """Refuse sections of a mapping about files that do not go together, or that cannot be followed."""
    fault = None if csv is None else csv.fault
    if (layout == "signals") != (signals is not None):
        fault = "layout signals goes with a section signals"
    elif signals is not None and not signals.max_age_s > 0:
        fault = "signals.max_age_s is not above 0"
    if fault is not None:
        raise MappingInvalid(f"{where}: {fault}", todo="see `journeymesh mapping schema`")
