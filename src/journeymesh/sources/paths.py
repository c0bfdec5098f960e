"""Paths into documents and rows: one meaning for every source.

A path is tried as **one name** first (``gps.lat``, ``Latitude[deg]`` and ``No.`` are names of columns and keys), and
then step by step from dot to dot. A step of digits is a place in an array. Only a bare ``[]`` at the end of a step
stands for every element of an array; with several of them, for every element of the arrays inside of its elements, or,
right behind each other (``[][]``), of the arrays that its elements are. A step in double quotes is taken as it stands,
dots and brackets with it: ``"gps.lat".deg``; a quote inside it is doubled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

MAX_PATH_DEPTH: Final = 16
_KEYED: Final = (dict, Mapping)
"""What has keys: dicts first, for to ask an abstract class takes a microsecond."""


class Path(NamedTuple):
    """A path that was read: the ``name`` to try first (None: no need to), its ``steps``, and what of the steps is the
    array (None: no array) whose every element is meant; ``inner`` are the arrays inside of that one's elements."""

    name: str | None
    steps: tuple[str, ...]
    array: int | None = None
    inner: tuple[int, ...] = ()


@lru_cache(4096)
def parsed(path: str) -> Path:
    """The parts of a path.

    Raises:
        ValueError: it cannot be followed; the text says why.
    """
    steps: list[str] = []
    arrays: list[int] = []
    quoted = False
    at = 0
    while at <= len(path):
        end = _quoted_end(path, at)
        if end is not None:
            quoted = True
            step, at = path[at + 1 : end].replace('""', '"'), end + 1
            marks = 0
            while path.startswith("[]", at):
                marks, at = marks + 1, at + 2
        else:
            stop = path.find(".", at)
            stop = len(path) if stop < 0 else stop
            step, at = path[at:stop], stop
            marks = 0
            while step.endswith("[]"):
                marks, step = marks + 1, step[:-2]
        steps.append(step)
        arrays += [len(steps)] * marks
        at += 1
    if "\0" in path or not path:
        raise ValueError("has an empty or impossible step")
    if arrays and not all(steps[: arrays[0]]):
        raise ValueError("has [] where no array is named")
    array = arrays[0] if arrays else None
    if not all(steps):
        if array is None and not quoted:
            return Path(None, (path,))  # ``No.`` is the name of a column
        raise ValueError("has an empty or impossible step")
    if len(steps) > MAX_PATH_DEPTH:
        raise ValueError(f"has more than {MAX_PATH_DEPTH} steps")
    whole = path if len(steps) > 1 and not quoted and array is None else None
    return Path(whole, tuple(steps), array, tuple(arrays[1:]))


def _quoted_end(path: str, at: int) -> int | None:
    """Where the quoted step that begins at ``at`` has its closing quote; None if none begins there."""
    if not path.startswith('"', at):
        return None
    end = at + 1
    while (end := path.find('"', end)) >= 0:
        if path.startswith('""', end):
            end += 2
            continue
        rest = path[end + 1 :]
        while rest.startswith("[]"):
            rest = rest[2:]
        return end if not rest or rest.startswith(".") else None
    return None


def quoted(step: str) -> str:
    """A step as a path writes it, so that it is taken as it stands."""
    plain = step and "." not in step and not step.startswith('"') and not step.endswith("[]")
    return step if plain else '"' + step.replace('"', '""') + '"'


def is_literal(step: str) -> bool:
    """Whether a server would take the step for several, or for an operator: a key such as ``gps.lat`` or ``$lat``."""
    return "." in step or step.startswith("$")


def column_name(path: str) -> str:
    """What a column at the path is called where names do not nest: without the quotes."""
    return ".".join(parsed(path).steps) if '"' in path else path


def marks_array(path: str) -> bool:
    """Whether the path stands for every element of an array."""
    return parsed(path).array is not None


def array_of(path: str) -> str | None:
    """The path of the array whose elements the path goes into; None where it goes into none."""
    found = parsed(path)
    return None if found.array is None else ".".join(quoted(step) for step in found.steps[: found.array])


def inside_array(path: str) -> str | None:
    """The path from an element of its array on; None for the element itself."""
    found = parsed(path)
    return ".".join(quoted(step) for step in found.steps[found.array :]) or None


@lru_cache(4096)
def _tried(path: str) -> tuple[tuple[str, ...], ...]:
    """What to try in a document, one after the other: steps, whole ones first."""
    found = parsed(path)
    return (found.steps,) if found.name is None else ((found.name,), found.steps)


def first_steps(path: str) -> tuple[str, ...]:
    """The keys of a document that following the path may look at."""
    return tuple(steps[0] for steps in _tried(path))


def reach(document: Any, path: str) -> Any:
    """The value at a path without ``[]`` of a decoded document; None where the path leads nowhere."""
    tries = _tried(path)
    if len(tries) > 1 and isinstance(document, _KEYED) and tries[0][0] in document:
        return document[tries[0][0]]
    for step in tries[-1]:
        if isinstance(document, _KEYED):
            document = document.get(step)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document
