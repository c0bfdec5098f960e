"""The vehicle of a file whose rows do not say it: a constant, a part of the file's path, or a partition's folder."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import regex
from msgspec.structs import replace

from journeymesh.errors import MappingInvalid
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.files import SourceFile
from journeymesh.sources.mapping_fields import BESIDE, ClockField, TextField

if TYPE_CHECKING:
    from journeymesh.sources.mapping_model import FieldMappings

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
        check_pattern(where, name, pattern or "")


def check_pattern(where: str, name: str, pattern: str) -> None:
    """Refuse a regular expression that cannot be used. ``where`` and ``name`` are its place in the mapping."""
    try:
        _compiled(pattern)
    except _Refused as error:
        shown = repr(pattern) if len(pattern) <= 80 else f"{pattern[:80]!r} …"
        todo = "write it as in device=([^/]+)"
        raise MappingInvalid(f"{where}.{name} {shown} {error}", todo=todo) from error


def require_rows_of_files(fields: FieldMappings) -> None:
    """Refuse a clock that counts from what a file's path says, where documents stand in no file of their own."""
    for clock in (fields.fixed_at, fields.received_at):
        if clock is not None and clock.base is not None and clock.base.file is not None:
            todo = "give its value, or a path in the documents"
            raise MappingInvalid("a base from the name of a file is for files of rows or JSON", todo=todo)


def based_on_file(path: str, fields: FieldMappings) -> FieldMappings:
    """The fields with clocks that count from what the path of their file says, where the mapping looks for it there.

    Raises:
        MappingInvalid: the path has nothing of the kind, or what it has cannot be read.
    """
    for name in ("fixed_at", "received_at"):
        clock: ClockField | None = getattr(fields, name)
        base = None if clock is None else clock.base
        if clock is None or base is None or base.file is None:
            continue
        told = _first_group(base.file, path)
        value = replace(base, value=told, file=None)
        try:
            found = clock_us(told, value)
        except Unconvertible as error:
            raise MappingInvalid(f"fields.{name}.base.file: {error}, in {path}", todo="correct it") from error
        if found is None:
            todo = f"correct fields.{name}.base.file; the path is {path}"
            raise MappingInvalid(f"the path of a file does not match {base.file!r}", todo=todo)
        fields = replace(fields, **{name: replace(clock, base=value)})
    return fields


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
        raise MappingInvalid(f"matching {text} with {pattern!r} takes too long", todo=todo) from error
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
