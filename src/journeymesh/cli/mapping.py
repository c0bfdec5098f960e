"""``journeymesh mapping``: check a mapping on a sample of its source, or see what a mapping may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import Format, MappingOption, SourceOption, settings
from journeymesh.cli.source_items import item_lines
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from journeymesh.cli.render import Row

app = typer.Typer(help="Check a mapping, or see its schema.", no_args_is_help=True)
SAMPLE_ROWS = 1000


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a mapping file."""
    import msgspec

    from journeymesh.sources.mapping import mapping_schema

    print(msgspec.json.format(msgspec.json.encode(mapping_schema()), indent=2).decode())


@app.command("check")
def check(
    source: SourceOption = None,
    mapping: MappingOption = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many documents or rows to read.")] = SAMPLE_ROWS,
    form: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.table,
) -> None:
    """Read a sample with a mapping and say, field by field, what is there, with the first offending input."""
    from contextlib import closing

    from journeymesh.sources.mapping import load_mapping
    from journeymesh.wiring import open_source

    if form not in (Format.table, Format.json):
        raise UsageError(f"a check cannot be written as {form}", todo="use --format table or json")
    held = settings()
    named = mapping or held.mapping
    location = source or held.source
    if named is None:
        raise UsageError("no mapping is named", todo="give --mapping FILE, or set JOURNEYMESH_MAPPING")
    read_as = load_mapping(named)
    if location is None:
        print(f"{named} is a mapping of {read_as.collection}, layout {read_as.layout}: give --source to try it")
        return
    with closing(open_source(location, named)) as opened:
        from journeymesh.sources.mapping_check import Sampled, check_mapping

        if isinstance(opened, Sampled):
            from journeymesh.cli.mapping_fields import show_check

            found_check = check_mapping(opened, read_as, sample)
            show_check(found_check, opened.name, len(opened.policies()), form, opened.items())
            return
        from journeymesh.cli.mapping_sample import sample_of

        found = sample_of(opened, sample)
        policies = len(opened.policies())
        items = opened.items()
    told = {"source": opened.name, "fixes": found.fixes, "refused": found.refused, "policies": policies, "items": items}
    if form is Format.json:
        import msgspec

        print(msgspec.json.encode({**told, "fields": found.fields, "refusals": found.refusals}).decode())
        return
    print(f"{found.fixes:,} fixes read, {found.refused:,} inputs refused, {policies:,} policies")
    for row in found.fields:
        print(_field_line(row))
    for line in item_lines(items):
        print(line)
    for row in found.refusals:
        print(f"refused {row['count']:,} × {row['reason']}: first {row['origin']}: {row['detail']}")


def _field_line(row: Row) -> str:
    share = f"{row['present']:.1%}"
    span = "" if row["least"] is None else f"  {row['least']} … {row['greatest']}"
    return f"  {row['field']:<26}{share:>7} present{span}"
