"""The vehicle of a file whose rows do not say it: a constant, a part of the file's path, or a partition's folder."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, Final
from urllib.parse import unquote

import regex

from journeymesh.errors import MappingInvalid
from journeymesh.sources.files import SourceFile
from journeymesh.sources.mapping_fields import BESIDE, TextField

_COUNTED: Final = regex.compile(r"\{[^{}]*?(\d+)\s*\}")
_LONGEST: Final = 500
_MOST_COMPILED: Final = 1_000_000
_MATCHING_S: Final = 2.0


def check_identifier(where: str, field: TextField, *, only_path: bool = False) -> None:
    """Refuse an identifier of which it is not clear where it stands."""
    given = [name for name in ("path", "value", "file", "collection") if getattr(field, name) not in (None, BESIDE)]
    if len(given) != 1 or (only_path and given != ["path"]):
        names = "path" if only_path else "one of path, value, file and collection"
        raise MappingInvalid(f"{where}: it needs {names}", todo="see `journeymesh mapping schema`")
    if field.value is not None and not field.value.strip():
        raise MappingInvalid(f"{where}.value is empty", todo="name the vehicle")
    for name, pattern in (("file", field.file), ("collection", field.collection)):
        try:
            _compiled(pattern or "")
        except _Refused as error:
            shown = repr(pattern) if pattern is None or len(pattern) <= 80 else f"{pattern[:80]!r} …"
            todo = "write it as in device=([^/]+)"
            raise MappingInvalid(f"{where}.{name} {shown} {error}", todo=todo) from error


def vehicle_of(file: SourceFile, field: TextField) -> str | None:
    """The vehicle of all rows of a file; None where its rows say it. A folder such as ``device=V1`` says it, too, for
    rows without a column ``device``.

    Raises:
        MappingInvalid: the file's path has nothing of the kind that the mapping describes, or looking for it takes
            longer than two seconds, as it does where repetitions stand in repetitions.
    """
    if field.value is not None:
        return field.value
    if field.collection is not None:
        raise MappingInvalid(f"{file.name}: a file is in no collection", todo="use fields.vehicle.file")
    if field.file is None:
        return partition_of(file, field.path)
    name = _first_group(field.file, file.path)
    if not name:
        todo = "correct fields.vehicle.file; the path is " + file.path
        raise MappingInvalid(f"{file.name}: its path does not match {field.file!r}", todo=todo)
    return name


def vehicle_of_collection(collection: str, path: str | None, field: TextField) -> str | None:
    """The vehicle of all documents of a collection, in a dump's file at ``path`` or in a database (None); None where
    the documents say it.

    Raises:
        MappingInvalid: the name, or the path, has nothing of the kind that the mapping describes, or looking for it
            takes longer than two seconds.
    """
    if not field.is_beside:
        return None
    if field.value is not None:
        return field.value
    if field.file is not None:
        if path is None:
            raise MappingInvalid("fields.vehicle.file: a database has no files", todo="use collection, or a path")
        if not (name := _first_group(field.file, path)):
            todo = "correct fields.vehicle.file"
            raise MappingInvalid(f"collection {collection}: its path {path} does not match {field.file!r}", todo=todo)
        return name
    if not (name := _first_group(field.collection or "", collection)):
        todo = "correct fields.vehicle.collection, or name the collections"
        raise MappingInvalid(f"collection {collection} does not match {field.collection!r}", todo=todo)
    return name


def _first_group(pattern: str, text: str) -> str:
    expression = _compiled(pattern)
    try:
        found = expression.search(text, timeout=_MATCHING_S)
    except TimeoutError as error:
        todo = "write it without repetitions in repetitions, as in device=([^/]+)"
        raise MappingInvalid(f"fields.vehicle: matching {text} with {pattern!r} takes too long", todo=todo) from error
    return "" if found is None else unquote((found[1] if expression.groups else found[0]) or "")


def partition_of(file: SourceFile, column: str) -> str | None:
    """What a folder above the file says of the column: ``V1`` for ``device=V1``; None where none does."""
    for folder in reversed(file.path.split("/")[:-1]):
        name, equals, value = folder.partition("=")
        if equals and unquote(name) == column:
            return unquote(value) or None
    return None


class _Refused(Exception):
    """An expression that cannot be used, and why."""


@lru_cache(64)
def _compiled(expression: str) -> Any:
    """The expression, compiled; counted repetitions are written out then, so that they are bounded first."""
    if len(expression) > _LONGEST:
        raise _Refused(f"is longer than {_LONGEST} characters")
    counts = [int(number[:9]) for number in _COUNTED.findall(expression)]
    if prod(max(count, 1) for count in counts) * len(expression) > _MOST_COMPILED:
        raise _Refused("repeats too often in its {…}")
    try:
        return regex.compile(expression)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise _Refused(f"is no regular expression: {error}") from error
