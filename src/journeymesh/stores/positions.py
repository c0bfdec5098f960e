"""Positions of the change feed: a count of changes, as text. Each change of a vehicle has a position of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from journeymesh.errors import UsageError
from journeymesh.stores.port import StoreChanges


def changes_page(
    after: str | None, limit: int, read: Callable[[int, int], tuple[int, Sequence[tuple[str, int]]]]
) -> StoreChanges:
    """A page of changes. ``read(after, limit)`` gives the store's position and, from the same state of the store, the
    first ``limit`` (vehicle, position of its last change) behind ``after``, by position.

    Raises:
        UsageError: ``after`` is no position, or ``limit`` is not positive.
    """
    if limit < 1:
        raise UsageError(f"{limit} changes cannot be read at once", todo="ask for at least 1")
    first = position_number(after)
    present, found = read(first, limit + 1)
    complete = len(found) <= limit
    position = max(first, present) if complete else found[limit - 1][1]
    page = found[:limit]
    vehicles, last = tuple(vehicle for vehicle, _ in page), tuple(str(at) for _, at in page)
    return StoreChanges(str(position), vehicles, complete, last)


def position_number(after: str | None) -> int:
    """The number of a position; 0, before all changes, for None.

    Raises:
        UsageError: it is no position.
    """
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise UsageError(f"{after!r} is no position of a store", todo="give one that `changes` returned, or none")
    return int(after)
