"""What is written of the table of fields into files: the client's row types, and properties of the data contract."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "src" / "journeymesh"
CONTRACT = SOURCES / "governance" / "catalogue" / "journeys.odcs.yaml"
ROW_TYPES = SOURCES / "client" / "row_types.pyi"


def field_files() -> dict[Path, str]:
    """What these files should have in them."""
    return {ROW_TYPES: row_types(), CONTRACT: contract(CONTRACT.read_text("utf-8"))}


def field_rows() -> list[tuple[str, ...]]:
    """Rows of the page of fields: names in journeys and in summaries, type, unit, how summed, class and meaning."""
    from journeymesh.journeys.fields import FIELDS, summary_field

    rows = []
    for field in FIELDS:
        in_journeys = "" if field.journeys == "absent" else f"`{field.name}`"
        in_summaries = "" if field.summaries == "absent" else f"`{field.summary_name}`"
        kind = str(field.kind if in_journeys else summary_field(field).type).partition("<")[0]
        how = {"sum": "added up", "max": "the highest"}.get(field.summed, "")
        if in_journeys or in_summaries:
            rows.append((in_journeys, in_summaries, kind, field.unit, how, field.classification, field.meaning))
    return rows


def row_types() -> str:
    """The row types for type checkers."""
    from journeymesh.client import row_types as made

    parts = [
        '"""The types of rows of answers. Generated from the code by `make reference`."""',
        "from datetime import date, datetime\nfrom typing import TypedDict",
    ]
    for kind in (
        made.HarshEvent,
        made.HourDriven,
        made.ScorePart,
        made.Move,
        made.Journey,
        made.Summary,
        made.ListedPolicy,
        made.Fix,
        made.RefusedFix,
    ):
        total = "" if kind.__total__ else ", total=False"
        lines = [f"    {name}: {_hint(hint)}" for name, hint in typing.get_type_hints(kind).items()]
        parts.append("\n".join([f"class {kind.__name__}(TypedDict{total}):", *lines]))
    return "\n\n".join(parts) + "\n"


def _hint(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " | ".join(map(_hint, typing.get_args(hint)))
    if typing.get_origin(hint) is list:
        return f"list[{_hint(typing.get_args(hint)[0])}]"
    return "None" if hint is type(None) else str(hint.__name__)


def contract(text: str) -> str:
    """The data contract with the properties that journeys and summaries have."""
    from journeymesh.journeys.fields import FIELDS, summary_field

    journeys = [
        (field.name, field.kind, field.journeys == "required", field.classification, field.meaning)
        for field in FIELDS
        if field.journeys != "absent"
    ]
    summaries = []
    for field in FIELDS:
        if field.summaries != "absent":
            kind, meaning = summary_field(field).type, field.summary_meaning or field.meaning
            summaries.append((field.summary_name, kind, field.summaries == "required", field.classification, meaning))
    for table, properties in (("journeys", journeys), ("summaries", summaries)):
        begin = text.index("    properties:\n", text.index(f"  - name: {table}\n")) + len("    properties:\n")
        end = next(at for at in (begin + i for i in _line_starts(text[begin:])) if not text.startswith("      ", at))
        text = text[:begin] + "".join(_properties(properties, "      ")) + text[end:]
    return text


def _line_starts(text: str) -> Iterable[int]:
    at = 0
    for line in text.splitlines(keepends=True):
        yield at
        at += len(line)


def _properties(fields: Iterable[tuple[str, Any, bool, str, str]], margin: str) -> Iterable[str]:
    """Their lines in the contract: one for each field, more for one with a meaning or an array."""
    import pyarrow as pa

    for name, kind, required, classification, meaning in fields:
        said = {"name": name, "logicalType": _logical(kind)}
        said |= {"required": "true"} if required else {}
        said |= {"classification": classification} if classification else {}
        if not meaning and not pa.types.is_list(kind):
            yield f"{margin}- {{ {', '.join(f'{key}: {value}' for key, value in said.items())} }}\n"
            continue
        said |= {"description": meaning} if meaning else {}
        lines = [f"{key}: {value}" for key, value in said.items()]
        yield f"{margin}- " + f"\n{margin}  ".join(lines) + "\n"
        if pa.types.is_list(kind):
            yield f"{margin}  items:\n{margin}    logicalType: object\n{margin}    properties:\n"
            inside = [
                (field.name, field.type, not field.nullable, "position" if field.name.endswith("_deg") else "", "")
                for field in kind.value_type
            ]
            yield from _properties(inside, margin + " " * 6)


def _logical(kind: Any) -> str:
    import pyarrow as pa

    names = {
        "string": pa.types.is_string, "number": pa.types.is_floating, "integer": pa.types.is_integer,
        "boolean": pa.types.is_boolean, "date": pa.types.is_date, "timestamp": pa.types.is_timestamp,
        "array": pa.types.is_list,
    }  # fmt: skip
    return next(name for name, fits in names.items() if fits(kind))
