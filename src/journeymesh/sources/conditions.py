"""``where`` of a mapping: which documents, rows and elements of arrays are for us. The others are counted, and are no
faults.

A condition whose path has no ``[]`` is asked of a document once, with all its elements; one with ``[]`` is asked of
each element. A value is equal to what is wanted as MongoDB compares them: numbers by their value whatever their type,
texts letter by letter, true and false to themselves only; null is a value that is null or not there. An ObjectId equals
its text. CSV has no types, so there a number, true or false and null equal the text that reads so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import bson
import numpy as np
import numpy.typing as npt

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import I32
from journeymesh.sources.paths import is_literal, marks_array, parsed

Wanted = str | int | float | bool | None
Where = Mapping[str, Wanted | tuple[Wanted, ...]]
Mask = npt.NDArray[np.bool_]


def wanted_at(where: Where) -> list[tuple[str, tuple[Wanted, ...]]]:
    """(path, the values of which the one there must be) for each condition; all of them must be met."""
    return [(path, value if isinstance(value, tuple) else (value,)) for path, value in where.items()]


def check_where(place: str, where: Where) -> None:
    """Refuse conditions that no document could be asked.

    Raises:
        MappingInvalid: naming the condition.
    """
    for path, wanted in wanted_at(where):
        if not wanted:
            raise MappingInvalid(f"{place}: where: {path!r} has no value", todo="give a value, or a list of them")


def of_documents(where: Where) -> Where:
    """The conditions that a document meets or not, whatever its elements are."""
    return {path: wanted for path, wanted in where.items() if not marks_array(path)}


def of_elements(where: Where) -> Where:
    """The conditions that each element of an array meets or not."""
    return {path: wanted for path, wanted in where.items() if marks_array(path)}


def equals(value: Any, wanted: Iterable[Wanted]) -> bool:
    """Whether a value of a typed source is one of those."""
    return any(_same(value, one) for one in wanted)


def _same(value: Any, wanted: Wanted) -> bool:
    if value is None or wanted is None:
        return value is None and wanted is None
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, bson.Decimal128):
        value = value.to_decimal()
    if isinstance(wanted, str):
        return str(value) == wanted if isinstance(value, (str, bson.ObjectId)) else False
    return isinstance(value, (int, float, Decimal)) and bool(value == wanted)


def meets(value_at: Callable[[str], Any], where: Where) -> bool:
    """Whether the document whose values ``value_at`` gives by path is for us."""
    return all(equals(value_at(path), wanted) for path, wanted in wanted_at(where))


def wanted_rows(
    distinct: Callable[[str], tuple[Sequence[Any], I32, Any]], where: Where, rows: int, *, untyped: bool = False
) -> Mask | None:
    """bool[rows]: which rows of columns are for us; None where all of them are.

    ``distinct`` gives a column's values, and the rows' codes into them, -1 for null. ``untyped``: they are texts only.
    """
    ours = np.ones(rows, np.bool_)
    for path, wanted in wanted_at(where):
        values, codes, _ = distinct(path)
        fits = [equals(value, wanted) or (untyped and _reads_as(value, wanted)) for value in values]
        ours &= np.array([*fits, None in wanted], np.bool_)[codes]
    return None if ours.all() else ours


def _reads_as(value: Any, wanted: Iterable[Wanted]) -> bool:
    """Whether a text says a number, a truth or nothing that is wanted."""
    if not isinstance(value, str):
        return False
    text = value.strip()
    for one in wanted:
        if one is None:
            met = not text
        elif isinstance(one, bool):
            met = text.casefold() == ("true" if one else "false")
        elif isinstance(one, str):
            met = False
        else:
            try:
                met = float(text) == one
            except ValueError:
                met = False
        if met:
            return True
    return False


def server_query(where: Where) -> dict[str, Any]:
    """What a MongoDB server can leave out, if no more: never a document that is for us.

    A dotted path is not asked for: it may be one key with a dot in it, which a query does not find.
    """
    plain = [(parsed(path).steps, wanted) for path, wanted in wanted_at(of_documents(where))]
    return {
        steps[0]: {"$in": _server_values(wanted)}
        for steps, wanted in plain
        if len(steps) == 1 and not is_literal(steps[0])
    }


def exact_query(where: Where) -> dict[str, Any]:
    """What finds documents that are for us and no other; a key with a dot in it is not found.

    Whether all elements of an array are for us is not asked: ``MongodbRemover`` takes no such conditions.
    """
    query: dict[str, Any] = {}
    for path, wanted in wanted_at(where):
        query[".".join(parsed(path).steps)] = {"$in": _server_values(wanted), "$not": {"$type": "array"}}
        steps = parsed(path).steps
        for at in range(1, len(steps)):
            if not steps[at].isdigit():
                query.setdefault(".".join(steps[:at]), {"$not": {"$type": "array"}})
    return query


def both(query: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The query that finds what both find."""
    return {"$and": [query, more]} if query and more else query or more


def _server_values(wanted: Iterable[Wanted]) -> list[Any]:
    values: list[Any] = list(wanted)
    values += [bson.ObjectId(one) for one in values if isinstance(one, str) and _is_id(one)]
    return values


def _is_id(text: str) -> bool:
    return len(text) == 24 and text == text.lower() and bson.ObjectId.is_valid(text)
