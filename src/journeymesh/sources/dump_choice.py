"""Which collections of a dump a mapping reads."""

from __future__ import annotations

from journeymesh.errors import MappingInvalid, SourceMissing
from journeymesh.sources.dump_archives import BUCKETS, Namespace
from journeymesh.sources.dump_files import Dump, DumpedCollection
from journeymesh.sources.mapping import Mapping

_SHOWN = 20


def chosen(dump: Dump, mapping: Mapping) -> list[tuple[str, DumpedCollection]]:
    """(what it goes by in places, the collection) of each that the mapping reads.

    A file that was named is read whatever it is called, unless another beside it has the mapped collection's name.

    Raises:
        SourceMissing: the dump has it not, or has no documents of it.
        MappingInvalid: several databases have it and the mapping names none.
    """
    if dump.only is not None:
        return [(mapping.collection, _the_file(dump, mapping))]
    return [(mapping.collection, one_named(dump, mapping.collection, mapping.database))]


def namespaces_of(one: DumpedCollection) -> list[Namespace]:
    """The namespaces whose blocks may hold its documents, in an archive: a time-series collection's have two names."""
    return [(one.database, name) for name in (one.collection, f"{BUCKETS}{one.collection}")]


def one_named(dump: Dump, collection: str, database: str | None) -> DumpedCollection:
    """The one collection of this name.

    Raises: as ``chosen``.
    """
    found = dump.named(collection, database)
    wanted = collection if database is None else f"{database}.{collection}"
    if not found:
        there = ", ".join(sorted({one.name for one in dump.collections})[:_SHOWN]) or "none"
        todo = "correct the mapping's collection or the source"
        raise SourceMissing(f"source {dump.location} has no collection {wanted!r}, only {there}", todo=todo)
    if len({one.database for one in found}) > 1:
        several = ", ".join(sorted({one.database for one in found}))
        raise MappingInvalid(
            f"source {dump.location} has {collection!r} in several databases ({several})",
            todo="name one as database in the mapping",
        )
    if len(found) > 1:
        several = ", ".join(sorted({one.path for one in found}))
        todo = "give one of them"
        raise SourceMissing(f"source {dump.location} has {wanted!r} more than once ({several})", todo=todo)
    if found[0].view_on is not None:
        raise SourceMissing(
            f"source {dump.location}: {wanted!r} is a view on {found[0].view_on!r}, and a dump has no documents of it",
            todo=f"map {found[0].view_on!r}, or dump with --viewsAsCollections",
        )
    return found[0]


def _the_file(dump: Dump, mapping: Mapping) -> DumpedCollection:
    (mine,) = [one for one in dump.collections if one.path == dump.only]
    found = dump.named(mapping.collection, mapping.database)
    if mine not in found and found:
        raise SourceMissing(
            f"source {dump.location} is not the mapped collection {mapping.collection!r}",
            todo=f"give {found[0].path}, or correct the mapping's collection",
        )
    return mine
