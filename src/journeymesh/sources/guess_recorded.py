"""A mapping proposed for recordings whose format names its columns itself, GPX and NMEA: what is left to guess is the
vehicle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.files import SourceFile
from journeymesh.sources.gpx_files import GPX_FIELDS, GpxFile
from journeymesh.sources.guess_names import guess_names
from journeymesh.sources.mapping_guess import Guess, GuessedField
from journeymesh.sources.nmea_files import NMEA_FIELDS, NmeaFile
from journeymesh.sources.row_reading import RowReading

Recorded = Literal["gpx", "nmea"]
_FIELDS: Final = {"gpx": GPX_FIELDS, "nmea": NMEA_FIELDS}
_FORMATS: Final = {"gpx": "GPX", "nmea": "NMEA 0183"}


def guess_recorded(kind: Recorded, collection: str, files: Sequence[SourceFile]) -> Guess:
    """The mapping of these files, with what the first of them has of each field."""
    fields = _FIELDS[kind]
    tally = FieldTally(fields)
    reading = RowReading(fields, {}, tally)
    reader = GpxFile(files[0], 0, reading) if kind == "gpx" else NmeaFile(files[0], 0, reading)
    rows = 0
    for batch in reader.batches():
        rows += len(batch.fixes)
        if rows:
            break
    guessed = []
    for name, part in fields.present().items():
        count = tally.counts[name]
        if name == "vehicle":
            keys, said = guess_names(files) or ({"path": "file"}, "the file's name")
            guessed.append(GuessedField(name, keys, [said]))
        elif count.found:
            said = f"{count.found:,} of {count.rows:,} points of the first file, by the format {_FORMATS[kind]}"
            guessed.append(GuessedField(name, _keys(part), [said]))
    found = {one.name for one in guessed}
    missing = [name for name in ("vehicle", "fixed_at", "lat", "lon") if name not in found]
    return Guess(collection, "document", rows, guessed, missing, ["file"])


def _keys(part: Any) -> dict[str, Any]:
    """What the mapping says of a field beside what it need not say."""
    return {
        one.name: getattr(part, one.name)
        for one in msgspec.structs.fields(part)
        if getattr(part, one.name) != one.default
    }
