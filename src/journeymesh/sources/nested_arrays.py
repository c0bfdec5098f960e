"""Arrays inside of arrays, as in ``semanticSegments[].timelinePath[].point``: each innermost element is a fix.

A document is read as if each element of the outer array stood there once for each of its inner elements, with that one
in the inner array's place; of an array whose elements are arrays themselves (``tracks[][].lat``), theirs. Of innermost
arrays beside each other, as a GeoJSON line's coordinates and their times, the elements of one number go together. What
stands
beside the inner array is shared by all of them, and they are numbered through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import bson

from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, OPTIONS, decoded
from journeymesh.sources.paths import Path, array_of, parsed, reach

Steps = tuple[str, ...]


class Nesting(NamedTuple):
    """The outer array, as a path and as steps, the steps from an element to each further array in it, and those to
    innermost arrays beside the last of them."""

    path: str
    outer: Steps
    inner: tuple[Steps, ...]
    beside: tuple[Steps, ...] = ()


class NotFlattened(ValueError):
    """A document that cannot be decoded, or whose elements, each with what it shares, are more than one may hold."""


def nesting_of(paths: Iterable[str]) -> Nesting | None:
    """Of the path that goes through the most arrays; None where none goes through two.

    Raises:
        ValueError: another path goes through other arrays; the text names it.
    """
    every = {path: parsed(path) for path in paths}
    deepest = max(every, key=lambda path: len(every[path].inner), default=None)
    if deepest is None or not every[deepest].inner:
        return None
    whole = every[deepest]
    cuts, beside = _cuts(whole), dict[Steps, None]()
    for path, one in every.items():
        ours = _cuts(one)
        last = ours[-1] if ours else 0
        if len(ours) == len(cuts) and ours[:-1] == cuts[:-1] and one.steps[: cuts[-2]] == whole.steps[: cuts[-2]]:
            steps, main = one.steps[cuts[-2] : ours[-1]], whole.steps[cuts[-2] : cuts[-1]]
            if steps and main and steps != main:
                beside[steps] = None
                continue
        into = cuts[len(ours)] if len(ours) < len(cuts) else None
        if ours != cuts[: len(ours)] or one.steps[:last] != whole.steps[:last]:
            raise ValueError(f"path {path!r} goes through other arrays than {deepest!r}")
        if into is not None and ours and one.steps[:into] == whole.steps[:into]:
            raise ValueError(f"path {path!r} leads into an array whose every element is meant by {deepest!r}")
    inner = tuple(whole.steps[start:end] for start, end in pairwise(cuts))
    return Nesting(str(array_of(deepest)), whole.steps[: cuts[0]], inner, tuple(beside))


def flattened(document: Any, nesting: Nesting) -> Any:
    """The document with the innermost elements in the outer array; as it is where that array is not there."""
    array = reach(document, nesting.path)
    if not isinstance(array, list):
        return document
    return _put(
        document, nesting.outer, [one for item in array for one in _elements(item, nesting.inner, nesting.beside)]
    )


def flattened_bson(content: bytes, nesting: Nesting) -> bytes:
    """The same of a raw document.

    Raises:
        NotFlattened: it cannot be decoded, or is larger so than a document may be.
    """
    document = decoded(content)
    if document is None:
        raise NotFlattened("it cannot be decoded")
    whole: bytes = bson.encode(flattened(document, nesting), codec_options=OPTIONS)
    if len(whole) > MAX_DOCUMENT_BYTES:
        raise NotFlattened("its elements, each with what it shares, are larger than a document may be")
    return whole


def _cuts(path: Path) -> tuple[int, ...]:
    return () if path.array is None else (path.array, *path.inner)


def _elements(item: Any, inner: Sequence[Steps], beside: Sequence[Steps] = ()) -> list[Any]:
    """An element as many times as it has innermost ones; once, without any, where an array is not there."""
    if inner and not inner[0] and isinstance(item, list):
        return [deeper for one in item for deeper in _elements(one, inner[1:], beside)]
    if not inner or not isinstance(item, dict):
        return [item]
    if beside and len(inner) == 1:
        return _together(item, (inner[0], *beside))
    found = _at(item, inner[0])
    if not isinstance(found, list):
        return [item] if found is None else [_put(item, inner[0], None)]
    return [_put(item, inner[0], deeper) for one in found for deeper in _elements(one, inner[1:], beside)]


def _together(item: Any, arrays: Sequence[Steps]) -> list[Any]:
    """An element as many times as the longest of its arrays has elements, with those of one number in their places."""
    found = [(steps, value) for steps in arrays if isinstance(value := _at(item, steps), list)]
    without = item
    for steps in arrays:
        if _at(item, steps) is not None:
            without = _put(without, steps, None)
    if not found:
        return [without]
    elements = []
    for number in range(max(len(values) for _, values in found)):
        one = without
        for steps, values in found:
            if number < len(values):
                one = _put(one, steps, values[number])
        elements.append(one)
    return elements


def _at(item: Any, steps: Steps) -> Any:
    """What stands in an element at the end of these steps; None where nothing does."""
    found = item
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _put(document: Any, steps: Sequence[str], value: Any) -> Any:
    """A copy of the document with another value there; what is not on the way is shared."""
    if not steps:
        return value
    if isinstance(document, list):
        place = int(steps[0])
        return [*document[:place], _put(document[place], steps[1:], value), *document[place + 1 :]]
    return {**document, steps[0]: _put(document.get(steps[0]), steps[1:], value)}
