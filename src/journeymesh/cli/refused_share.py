"""How much of the input may be refused before a run or a check fails, and how it says which field is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from journeymesh.errors import InputUnusable, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping as Counts

    from journeymesh.sources.mapping import FieldMappings

MOST_REFUSED: Final = "95%"
MaxRefusedOption = Annotated[
    str, typer.Option("--max-refused", help="Fail where a larger share of the input is refused: 95% or 0.95.")
]


@dataclass(frozen=True, slots=True)
class FirstRefused:
    """The first input refused for a reason: where it is and what is wrong with it."""

    origin: str
    detail: str


def share(text: str) -> float:
    """The share, 0 to 1, of ``95%``, ``95`` or ``0.95``.

    Raises:
        UsageError: it is none.
    """
    plain = text.strip()
    is_percentage = plain.endswith("%")
    try:
        value = float(plain.removesuffix("%"))
    except ValueError:
        value = float("nan")
    if is_percentage or value > 1:
        value /= 100
    if not 0 <= value <= 1:
        raise UsageError(f"--max-refused {text!r} is not a share", todo="write 95% or 0.95")
    return value


@dataclass(frozen=True, slots=True)
class SourceRefusals:
    """How much of a source's ``inputs`` is refused, by reason code, with the ``first`` of each.

    ``others`` are not inputs: the mapping's conditions leave them out.
    """

    source: str
    inputs: int
    refused: Counts[str, int]
    first: Counts[str, FirstRefused]
    others: int


def require_share(found: SourceRefusals, fields: FieldMappings, most: float, todo: str) -> None:
    """Fail where more of the input is refused than ``most``, or where there is no input at all. Nothing fails where all
    may be refused.

    Raises:
        InputUnusable: naming the counts, the most frequent reason, the field to blame and an example.
    """
    if most >= 1:
        return
    if not found.inputs and found.others:
        what = f"source {found.source}: the mapping's conditions leave out all {found.others:,} documents"
        raise InputUnusable(what, todo="correct the mapping's where")
    if not found.inputs:
        raise InputUnusable(f"source {found.source} has no input at all", todo="check that it is the right one")
    total = sum(found.refused.values())
    if total / found.inputs <= most:
        return
    reason = min(found.refused, key=lambda name: (-found.refused[name], name))
    what = f"{total:,} of {found.inputs:,} inputs were refused, more than --max-refused {most * 100:.4g}%"
    why = most_frequent(reason, found.refused[reason], found.first.get(reason), fields)
    raise InputUnusable(f"{what}; {why}", todo=todo)


def most_frequent(reason: str, count: int, first: FirstRefused | None, fields: FieldMappings) -> str:
    """``most often clock_unparseable (61), from fixed_at at `ts`: 'noon' is no date, first at fixes.csv:2``."""
    from journeymesh.sources.blame import blamed, shown_detail

    detail = "" if first is None else first.detail
    field = blamed(reason, detail, fields)
    shown = shown_detail(reason, detail)
    parts = [f"most often {reason} ({count:,})"]
    parts += [f"from {field}"] if field else []
    if first is not None:
        parts.append(f"first {first.origin}" + (f": {shown}" if shown else ""))
    return ", ".join(parts)
