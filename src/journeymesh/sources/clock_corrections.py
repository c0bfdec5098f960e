"""What is added to the clock of a vehicle that is known to be off."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import I32, I64, NOT_REPORTED_US
from journeymesh.sources.clocks import FIRST_US, LAST_US
from journeymesh.sources.mapping_fields import ClockField

MOST_SECONDS: Final = 2e9
"""More than the 1024 weeks after which GPS begins again, three times."""
COLUMNS: Final = ["vehicle", "seconds"]


def check_corrections(where: str, clock: ClockField | None, *, allowed: bool) -> None:
    """Refuse corrections that mean nothing.

    Raises:
        MappingInvalid: naming the vehicle.
    """
    if clock is None or not clock.corrections or isinstance(clock.corrections, str):
        return
    if not allowed:
        raise MappingInvalid(f"{where}: corrections are of fixed_at", todo="leave them out: this is no vehicle's clock")
    for vehicle, seconds in clock.corrections.items():
        if not math.isfinite(seconds) or abs(seconds) > MOST_SECONDS:
            raise MappingInvalid(f"{where}: correction of {vehicle}: {seconds} s is too much", todo="give seconds")


def read_corrections(where: str, path: Path) -> dict[str | int, float]:
    """The corrections in a CSV file with the columns ``vehicle`` and ``seconds``.

    Raises:
        MappingInvalid: it cannot be read, or a row says nothing; naming the line.
    """
    todo = "give a CSV file with the columns vehicle and seconds"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            if [name.strip() for name in next(rows, [])] != COLUMNS:
                raise MappingInvalid(f"{where}: {path.name}: its columns are not vehicle and seconds", todo=todo)
            found: dict[str | int, float] = {}
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                at = f"{where}: {path.name}, line {rows.line_num}"
                vehicle = row[0].strip()
                try:
                    seconds = float(row[1])
                except (ValueError, IndexError):
                    raise MappingInvalid(f"{at}: no number of seconds", todo=todo) from None
                if not vehicle or vehicle in found:
                    fault = f"{vehicle} is there twice" if vehicle else "no vehicle"
                    raise MappingInvalid(f"{at}: {fault}", todo=todo)
                found[vehicle] = seconds
            return found
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MappingInvalid(f"{where}: {path.name} cannot be read: {error}", todo=todo) from error


def table_of(clock: ClockField) -> dict[str, float]:
    """Seconds by vehicle; a number in the mapping is the vehicle of that text."""
    return {} if isinstance(clock.corrections, str) else {str(name): s for name, s in clock.corrections.items()}


def corrected(at_us: I64, vehicles: Iterable[str], codes: I32, clock: ClockField, sign: int = 1) -> I64:
    """The instants with what their vehicles' clocks are off added, within the calendar; int64[n] in µs."""
    if not clock.corrections:
        return at_us
    table = table_of(clock)
    shifts = np.array([*(round(table.get(name, 0.0) * 1e6) for name in vehicles), 0], np.int64)[codes]
    there = (at_us != NOT_REPORTED_US) & (shifts != 0)
    found = at_us.copy()
    found[there] = np.clip(at_us[there] + sign * shifts[there], FIRST_US, LAST_US)
    return found
