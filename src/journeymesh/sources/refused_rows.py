"""Refusals of rows that cannot be read, with the row itself as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np

from journeymesh.errors import MappingInvalid
from journeymesh.instants import from_us
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.clocks import FIRST_US, LAST_US
from journeymesh.sources.column_values import Faults
from journeymesh.sources.files import FileDamaged, SourceFile
from journeymesh.sources.port import SourceItem
from journeymesh.sources.row_keys import RowKeys

CONTENT_BYTES: Final = 65_536


def refusals_of(
    faults: Faults, origins: Sequence[str] | Mapping[int, str], row_content: Callable[[int], object], keys: RowKeys
) -> list[Refusal]:
    """One refusal per faulty row. ``origins`` are by row; ``row_content`` gives what stands in the input."""
    refusals = []
    for row, (reason, detail) in sorted(faults.reasons.items()):
        content = as_json(row_content(row))
        key = keys.key(content.encode(), _line(origins[row]))
        refusals.append(Refusal(reason.code, origins[row], detail, *known_values(faults.met, row), content, key))
    return refusals


def refused_text(origin: str, fault: str, text: bytes, keys: RowKeys) -> Refusal:
    """The refusal of text that is no row and no document. It is kept as a JSON text, cut where it is absurdly long."""
    shown = as_json(text[:CONTENT_BYTES].decode("utf-8", "replace").strip())
    key = keys.key(text.strip(), _line(origin))
    return Refusal(Reason.DOCUMENT_CORRUPT.code, origin, fault, content=shown, input_key=key)


def refused_file(file: SourceFile, error: MappingInvalid | FileDamaged, *, before: bool) -> tuple[SourceItem, Refusal]:
    """(the file, and the refusal that stands for it or for what is left of it). ``before``: some of it was read."""
    what = error.what.removeprefix(f"{file.name}: ").removeprefix(f"{file.name} ")
    item = SourceItem(
        file.name, "read" if before else "refused", what + ("; what came before is read" if before else "")
    )
    fault = f"what follows is refused: {what}" if before else f"the file is refused: {error.what}"
    return item, refused_text(file.name, fault, b"", RowKeys(file.place))


def no_column(file: SourceFile, path: str, columns: Iterable[str], *, is_mapped: bool = True) -> MappingInvalid:
    """That a file has no column which fixes need, and which it has."""
    some = ", ".join(islice(columns, 20))
    todo = f"map it to one of {some}" if is_mapped else f"give a --mapping; the columns are {some}"
    return MappingInvalid(f"{file.name}: there is no column {path!r}", todo=todo)


def as_json(content: object) -> str:
    """The content as JSON text; what JSON does not have, as text."""
    return _ENCODER.encode(content).decode()


def known_values(met: Fixes | None, row: int) -> tuple[str | None, datetime | None, float | None, float | None]:
    """(vehicle, device clock, latitude, longitude) of a row, as far as they could be read."""
    if met is None:
        return None, None, None, None
    code, at_us = int(met.vehicle[row]), int(met.fixed_at_us[row])
    vehicle = met.vehicles[code] if code >= 0 and met.vehicles[code].strip() else None
    at = None if at_us == NOT_REPORTED_US or not FIRST_US <= at_us <= LAST_US else from_us(at_us)
    return vehicle, at, _number(met.lat_deg[row]), _number(met.lon_deg[row])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _line(origin: str) -> int:
    line = origin.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_text)
