"""What a dump holds: which collections there are, where their bytes are, and which files are none."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from journeymesh.errors import SourceMissing, SourceUnreadable
from journeymesh.sources.collection_names import BUCKETS
from journeymesh.sources.dump_archives import ArchiveBytes, prelude
from journeymesh.sources.dump_bytes import Content, Reading, chunks_of, content_of, opened
from journeymesh.sources.files import filesystem_of
from journeymesh.sources.port import SourceItem

_ENDINGS: Final = (".bson.gz", ".bson")
_METADATA: Final = (".metadata.json", ".metadata.json.gz")
_PRELUDE: Final = ("prelude.json", "prelude.json.gz")
_DEPTH: Final = 6
_METADATA_BYTES: Final = 16 << 20

THE_OPLOG: Final = "the oplog of a dump with --oplog: changes made while it ran are not replayed"


@dataclass(frozen=True, slots=True)
class DumpedCollection:
    """One collection of a dump: a file of its own, or a namespace of an archive.

    ``collection`` is what people call it, ``stored_as`` what the file or the archive's blocks do: of a time-series
    collection the dump has the buckets. ``view_on`` names what a view shows: a dump has no documents of it.
    """

    filesystem: Any
    path: str
    database: str
    collection: str
    stored_as: str
    in_archive: bool
    size: int | None
    view_on: str | None = None

    @property
    def name(self) -> str:
        """``database.collection``."""
        return f"{self.database}.{self.collection}"


@dataclass(slots=True)
class Dump:
    """What is in a dump: its collections, and the files and namespaces in which no documents are looked for.

    ``only`` is the file that was named, where one was: its neighbours are known for the policies' sake.
    """

    location: str
    collections: list[DumpedCollection] = field(default_factory=list)
    others: list[SourceItem] = field(default_factory=list)
    only: str | None = None

    def named(self, collection: str, database: str | None) -> list[DumpedCollection]:
        """The collections of this name; a time-series collection goes by its own name and by that of its buckets."""
        there = [one for one in self.collections if database in (None, one.database)]
        exact = [one for one in there if collection in (one.stored_as, one.collection) and one.view_on is None]
        as_stored = [one for one in exact if one.stored_as == collection]
        bare = collection.removeprefix(BUCKETS)
        return as_stored or exact or [one for one in there if one.collection == bare]


def dump_at(location: str) -> Dump:
    """What is at this place: ``<dir>/<database>/<collection>.bson``, the database's folder, one file, or an archive;
    gzipped or not; here or wherever fsspec reaches. The content decides, not the name.

    Raises:
        SourceMissing: nothing is there. SourceUnreadable: it is there and is no dump.
    """
    try:
        filesystem, path = filesystem_of(location)
        if filesystem.isdir(path):
            dump = _folder(location, filesystem, path.rstrip("/"), _DEPTH)
            if not dump.collections:
                todo = "give the folder or the archive that mongodump wrote"
                raise SourceMissing(f"source {location}: no .bson file is there", todo=todo)
            return dump
        if not filesystem.exists(path):
            raise SourceMissing(f"source {location} does not exist", todo="give the path of a mongodump")
        return _file(location, filesystem, path)
    except OSError as error:
        raise SourceUnreadable(f"source {location} cannot be read: {error}", todo="check the path") from error


def _file(location: str, filesystem: Any, path: str) -> Dump:
    content, _ = content_of(filesystem, path)
    if content == "archive":
        return Dump(location, *_announced(location, filesystem, path))
    if content == "other" and not path.endswith(_ENDINGS):
        todo = "give a folder, a .bson file or an --archive of mongodump"
        raise SourceUnreadable(f"source {location}: it is not an archive of mongodump", todo=todo)
    folder = path.rpartition("/")[0]
    dump = _folder(location, filesystem, folder, 1)
    dump.only = path
    if not any(one.path == path for one in dump.collections):
        name = path.rpartition("/")[2].partition(".")[0]
        dump.collections.append(_collection(filesystem, path, folder.rpartition("/")[2], name))
    return dump


def _collection(filesystem: Any, path: str, database: str, stored_as: str) -> DumpedCollection:
    logical = stored_as.removeprefix(BUCKETS)
    return DumpedCollection(filesystem, path, database, logical, stored_as, False, filesystem.size(path))


def _folder(location: str, filesystem: Any, folder: str, depth: int) -> Dump:
    """The collections below a folder, and what else lies there."""
    dump = Dump(location)
    paths = _files_below(filesystem, folder, depth)
    bson = [path for path in paths if path.endswith(_ENDINGS)]
    databases = {path.rpartition("/")[0] for path in bson}
    metadata = {path for path in paths if path.endswith(_METADATA)}
    for path in paths:
        parent, _, name = path.rpartition("/")
        shown = path.removeprefix(folder).lstrip("/")
        if path in metadata or name in _PRELUDE:
            continue
        ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
        if depth == 1 and ending is None:
            continue  # beside the one file that was named, only collections of its database count
        stem = name if ending is None else name.removesuffix(ending)
        has_metadata = any(f"{parent}/{stem}{one}" in metadata for one in _METADATA)
        below = any(other.startswith(f"{parent}/") for other in databases)
        if stem == "oplog" and below and not has_metadata:
            dump.others.append(SourceItem(shown, "skipped", THE_OPLOG))
        elif _kind(filesystem, path, ending is not None) == "archive":
            try:
                announced, others = _announced(shown, filesystem, path)
            except SourceUnreadable as error:
                dump.others.append(SourceItem(shown, "refused", error.what))
            else:
                dump.collections += announced
                dump.others += others
        elif ending is not None:
            database = unquote(parent.rpartition("/")[2])
            dump.collections.append(_collection(filesystem, path, database, unquote(stem)))
        else:
            dump.others.append(SourceItem(shown, "skipped", "not a file of mongodump"))
    dump.collections += _views(filesystem, dump, sorted(metadata))
    return dump


def _kind(filesystem: Any, path: str, by_name: bool) -> Content:
    """What the file holds. Elsewhere than on this machine a look costs a round trip, and an ending is believed."""
    protocol = filesystem.protocol
    if by_name and "file" not in ((protocol,) if isinstance(protocol, str) else protocol):
        return "bson"
    try:
        return content_of(filesystem, path)[0]
    except SourceUnreadable:
        return "bson" if by_name else "other"


def _files_below(filesystem: Any, folder: str, depth: int) -> list[str]:
    """The files in a folder and so deep below it, each once though links lead to it by several ways."""
    found: dict[str, str] = {}
    for path in sorted(filesystem.find(folder, maxdepth=depth), key=lambda path: (path.count("/"), path)):
        found.setdefault(os.path.realpath(path) if os.path.lexists(path) else path, path)
    return sorted(found.values())


def _views(filesystem: Any, dump: Dump, metadata: Sequence[str]) -> list[DumpedCollection]:
    """The views of which only the metadata was dumped."""
    with_documents = {(one.path.rpartition("/")[0], one.collection) for one in dump.collections}
    views = []
    for path in metadata:
        parent, _, name = path.rpartition("/")
        collection = unquote(name.partition(".metadata.json")[0])
        if (parent, collection) in with_documents:
            continue
        options = _options(_metadata_text(filesystem, path))
        if isinstance(options.get("viewOn"), str):
            database = unquote(parent.rpartition("/")[2])
            view_on = str(options["viewOn"])
            views.append(DumpedCollection(filesystem, path, database, collection, collection, False, None, view_on))
    return views


def _metadata_text(filesystem: Any, path: str) -> str:
    reading = Reading()
    text = b""
    with opened(filesystem, path) as raw:
        for chunk in chunks_of(raw, reading):
            text += chunk.tobytes()
            if len(text) > _METADATA_BYTES:
                break
    return text.decode("utf-8", "replace")


def _options(metadata: str) -> dict[str, Any]:
    """The collection's options in the text of its metadata; empty where there are none or it is no such text."""
    try:
        content = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    options = content.get("options") if isinstance(content, dict) else None
    return options if isinstance(options, dict) else {}


def _announced(location: str, filesystem: Any, path: str) -> tuple[list[DumpedCollection], list[SourceItem]]:
    """What an archive announces.

    Raises:
        SourceUnreadable: it ends or is damaged before its collections are all announced.
    """
    reading = Reading()
    with opened(filesystem, path) as raw:
        announced = prelude(ArchiveBytes(chunks_of(raw, reading), reading))
    if reading.fault is not None:
        todo = "give a folder, a .bson file or an --archive of mongodump"
        raise SourceUnreadable(f"source {location}: {reading.fault}", todo=todo)
    size = filesystem.size(path)
    found, others = [], []
    for one in announced:
        database, stored_as = str(one.get("db")), str(one.get("collection"))
        logical = stored_as.removeprefix(BUCKETS)
        if one.get("type") == "timeseries":
            stored_as = f"{BUCKETS}{logical}"
        if not one.get("db"):
            others.append(SourceItem(f"{location}: {stored_as}", "skipped", THE_OPLOG))
            continue
        view_on = _options(str(one.get("metadata", ""))).get("viewOn")
        shows = str(view_on or "another collection") if view_on or one.get("type") == "view" else None
        found.append(DumpedCollection(filesystem, path, database, logical, stored_as, True, size, shows))
    return found, others
