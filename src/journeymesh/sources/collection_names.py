"""Which collections a mapping means: one by its name, several by a list or a pattern such as ``fixes_*``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from journeymesh.errors import MappingInvalid, UsageError

BUCKETS: Final = "system.buckets."
"""What the server puts before a time-series collection's name to name the collection of its buckets."""


def check_names(place: str, named: Sequence[str]) -> None:
    """Refuse a mapping that names no collection.

    Raises:
        MappingInvalid: a name is empty, or there is none.
    """
    if not named or not all(named):
        todo = "give a name, a list, or a pattern as in fixes_*"
        raise MappingInvalid(f"{place}: collection names none", todo=todo)


def is_pattern(name: str) -> bool:
    """Whether this stands for every collection of which the name fits."""
    return "*" in name or "?" in name


def names_several(named: Sequence[str]) -> bool:
    """Whether there may be more than one collection, now or later."""
    return len(named) > 1 or is_pattern(named[0])


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern means this collection. The server's own, such as ``system.views``, no pattern means."""
    own = name.removeprefix(BUCKETS)
    return not own.startswith(("system.", "$")) and fnmatchcase(own, pattern.removeprefix(BUCKETS).replace("[", "[[]"))


def one_of(named: Sequence[str], what: str) -> str:
    """The one collection that is named.

    Raises:
        UsageError: several are, and ``what`` is done with one.
    """
    if not names_several(named):
        return named[0]
    raise UsageError(f"{what} one collection, and the mapping names {', '.join(named)}", todo="name one of them")


def named_in(named: Iterable[str], there: Iterable[str], *, buckets: bool) -> tuple[list[str], list[str]]:
    """(the collections of a live database that are meant, in order; the names and patterns that mean none).

    A time-series collection is there under two names: by its own it shows measurements, and ``buckets`` asks for the
    other, as it does in a dump.
    """
    known = set(there)
    found: dict[str, None] = {}
    missing = []
    for one in named:
        if is_pattern(one):
            own = sorted({name.removeprefix(BUCKETS) for name in known if fits(name, one)})
        else:
            own = [one.removeprefix(BUCKETS)] if {one, f"{BUCKETS}{one}", one.removeprefix(BUCKETS)} & known else []
        for name in own:
            stored = f"{BUCKETS}{name}"
            found[stored if stored in known and (buckets or name not in known) else name] = None
        if not own:
            missing.append(one)
    return list(found), missing
