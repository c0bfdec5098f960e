"""What a mapping makes of a sample of documents, field by field, for people and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from journeymesh.cli.options import Format
from journeymesh.cli.source_items import item_lines
from journeymesh.errors import MappingInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeymesh.sources.mapping_check import FieldCheck, MappingCheck
    from journeymesh.sources.port import SourceItem


def show_check(found: MappingCheck, source: str, policies: int, form: Format, items: Sequence[SourceItem] = ()) -> None:
    """Print the check.

    Raises:
        MappingInvalid: a required field was found in no document, so that no fix could be made.
    """
    if form is Format.json:
        import msgspec

        print(msgspec.json.encode({"source": source, "policies": policies, "check": found, "items": items}).decode())
    else:
        _print_table(found, policies)
        print("\n".join(item_lines(items)), end="\n" if item_lines(items) else "")
    if not found.is_usable:
        raise MappingInvalid(
            f"the mapping finds no fix in the first {found.documents:,} documents of {found.collection}",
            todo="correct the paths of vehicle, fixed_at, lat and lon",
        )


def _print_table(found: MappingCheck, policies: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    print(f"{found.documents:,} documents of {found.collection}: {found.rows:,} fixes; {policies:,} policies")
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("field", "path", "found", "types", "from", "to"):
        table.add_column(name, overflow="fold")
    for one in found.fields:
        table.add_row(one.name, one.path, _share(one), _kinds(one), *_span(one))
    console = Console()
    console.print(table)
    for one in found.fields:
        if one.first_offender is not None:
            print(
                f"{one.name}: {one.faults:,} do not fit; first {one.first_offender.origin}: {one.first_offender.detail}"
            )
    if found.corrupt:
        print(f"{found.corrupt:,} documents are corrupt; first {found.first_corrupt}")


def _share(one: FieldCheck) -> str:
    return f"{one.found:,} of {one.rows:,}"


def _kinds(one: FieldCheck) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in one.kinds.most_common())


def _span(one: FieldCheck) -> tuple[str, str]:
    if one.values:
        return ", ".join(one.values), ""
    return tuple(
        "" if end is None else f"{end:.6g}" if isinstance(end, float) else str(end) for end in (one.lowest, one.highest)
    )  # type: ignore[return-value]
