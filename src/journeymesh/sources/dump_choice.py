"""Which collections of a dump a mapping reads."""

from __future__ import annotations

from journeymesh.errors import MappingInvalid, SourceMissing
from journeymesh.sources.collection_names import BUCKETS, fits, is_pattern, names_several
from journeymesh.sources.dump_archives import Namespace
from journeymesh.sources.dump_files import Dump, DumpedCollection
from journeymesh.sources.mapping import Mapping

_SHOWN = 20
_SERVERS_OWN = ("admin", "config", "local")


def chosen(dump: Dump, mapping: Mapping) -> list[tuple[str, DumpedCollection]]:
    """(what it goes by in places, the collection) of each that the mapping reads.

    A file that was named is read whatever it is called, unless another beside it has the mapped collection's name.

    Raises:
        SourceMissing: the dump has it not, or has no documents of it.
        MappingInvalid: several databases have it and the mapping names none.
    """
    if dump.only is not None:
        mine = _the_file(dump, mapping)
        _refuse_buckets(dump, mapping, [("", mine)])
        return [(mine.collection if names_several(mapping.collections) else mapping.collection, mine)]
    found: dict[int, tuple[str, DumpedCollection]] = {}
    for named in mapping.collections:
        if is_pattern(named):
            fitting = _fitting(dump, named, mapping.database)
            found |= {id(one): (one.collection, one) for one in fitting if id(one) not in found}
        else:
            one = one_named(dump, named, mapping.database)
            found.setdefault(id(one), (named, one))
    _refuse_buckets(dump, mapping, list(found.values()))
    return list(found.values())


def _refuse_buckets(dump: Dump, mapping: Mapping, found: list[tuple[str, DumpedCollection]]) -> None:
    """Refuse a mapping of measurements where a dump has buckets: it would find nothing in them."""
    buckets = next((one for _, one in found if one.stored_as.startswith(BUCKETS)), None)
    if buckets is not None and mapping.layout == "document":
        raise MappingInvalid(
            f"source {dump.location}: {buckets.name} is a time-series collection, of which a dump has the buckets",
            todo="map them: layout: bucketed, with paths such as data.lat[] for measurements and meta.id",
        )


def _fitting(dump: Dump, pattern: str, database: str | None) -> list[DumpedCollection]:
    """The collections that a pattern means, in order of name.

    Raises: as ``chosen``.
    """
    there = [one for one in dump.collections if one.view_on is None and fits(one.collection, pattern)]
    names = sorted({one.collection for one in there if one.database not in _SERVERS_OWN})
    if database is not None:
        names = sorted({one.collection for one in there if one.database == database})
    if not names:
        one_named(dump, pattern, database)  # which says what is there
    return [one_named(dump, name, database) for name in names]


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
    for named in mapping.collections:
        if mine in dump.named(named, mapping.database) or (is_pattern(named) and fits(mine.collection, named)):
            return mine
    found = [one for named in mapping.collections for one in dump.named(named, mapping.database)]
    if found:
        raise SourceMissing(
            f"source {dump.location} is not the mapped collection {mapping.collection!r}",
            todo=f"give {found[0].path}, or correct the mapping's collection",
        )
    return mine
