"""Which vehicle files are of, by their names and folders: a regular expression proposed with its evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from journeymesh.sources.file_vehicles import vehicle_of
from journeymesh.sources.files import SourceFile
from journeymesh.sources.guess_words import WORDS, words_of
from journeymesh.sources.mapping_fields import TextField

_DAY: Final = r"(?:19|20)\d\d[-_.]?\d\d(?:[-_.]?\d\d)?"
_DATED: Final = re.compile(rf"{_DAY}(?:[T_ -]*\d\d[-_.:]?\d\d(?:[-_.:]?\d\d)?)?Z?|\d{{10}}|\d{{13}}")
_END: Final = r"\.[^/.]+(?:\.gz)?$"
_FORMS: Final = (
    (rf"([^/]+?)[-_ ]+{_DAY}[^/]*$", "what stands before the date in the file's name"),
    (rf"{_DAY}[^/]*?[-_ ]+([^/0-9][^/]*?){_END}", "what stands behind the date in the file's name"),
    (rf"([^/]+?){_END}", "the file's name"),
    (r"([^/]+)/[^/]*$", "the folder of the file"),
)
_PLAIN: Final = frozenset({
    "data", "export", "exports", "fix", "fixes", "gps", "input", "log", "logs", "output", "points", "position",
    "positions", "raw", "record", "recording", "recordings", "records", "route", "sample", "samples", "track",
    "trace", "traces", "track_log", "tracklog", "tracks", "trajectory", "trip", "trips",
})  # fmt: skip
"""Names that say what is in a file, and not whose it is."""


def guess_names(files: Sequence[SourceFile]) -> tuple[dict[str, Any], str] | None:
    """(the keys of the field ``vehicle``, the evidence in words) for files whose rows name no vehicle; None without
    files."""
    if not files:
        return None
    keyed = _partitions(files)
    forms = [*((form, f"folders such as {some}") for form, some in keyed), *_FORMS]
    for form, words in forms:
        found = _found(files, form)
        if found is None or any(_is_no_name(name) for name in found):
            continue
        if len(files) == 1 and form == _FORMS[-1][0]:
            break
        different = list(dict.fromkeys(found))
        some = ", ".join(different[:3])
        count = f"{len(files):,} of {len(files):,} files" if len(files) > 1 else "the one file"
        said = f"no column names a vehicle; {words}: {count}, {len(different):,} different, such as {some}"
        return {"file": form}, said
    return {"value": "my-vehicle"}, "neither a column nor the files' names identify a vehicle: one for all, name it"


def _found(files: Sequence[SourceFile], form: str) -> list[str] | None:
    """What the form finds in each file's path; None where it finds nothing in one of them."""
    field = TextField(file=form)
    if not all(re.search(form, file.path) for file in files):
        return None
    return [vehicle_of(file, field) or "" for file in files]


def _partitions(files: Sequence[SourceFile]) -> list[tuple[str, str]]:
    """Forms for folders such as ``device=V1`` that stand above every file, those named as a vehicle first."""
    folders = re.findall(r"([^/=]+)=[^/]+(?=/)", files[0].path)
    ranked = sorted(
        folders, key=lambda name: -max((WORDS["vehicle"].get(word, 0) for word in words_of(name)), default=0)
    )
    named = [name for name in ranked if any(word in WORDS["vehicle"] for word in words_of(name))]
    return [(f"{re.escape(name)}=([^/]+)", f"{name}=…") for name in named]


def _is_no_name(name: str) -> bool:
    plain = name.strip().lower()
    return not plain or plain in _PLAIN or _DATED.fullmatch(plain) is not None or not re.search(r"[^\W_]", plain)
