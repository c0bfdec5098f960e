"""``journeymesh mapping``: check a mapping on a sample of its source, or see what a mapping may hold."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.mapping_fields import as_json, check_lines
from journeymesh.cli.options import Format, MappingOption, RulesOption, SourceOption, opened_store, settings
from journeymesh.cli.output import say, say_json
from journeymesh.cli.refused_share import (
    MOST_REFUSED,
    FirstRefused,
    MaxRefusedOption,
    SourceRefusals,
    most_frequent,
    require_share,
    share,
)
from journeymesh.cli.source_items import item_lines
from journeymesh.errors import MappingInvalid, UsageError
from journeymesh.wiring import open_source

if TYPE_CHECKING:
    from journeymesh.sources.mapping import FieldMappings
    from journeymesh.sources.mapping_check import MappingCheck

app = typer.Typer(help="Check a mapping, or see its schema.", no_args_is_help=True)
SAMPLE_ROWS = 1000


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a mapping file."""
    import msgspec

    from journeymesh.sources.mapping import mapping_schema

    say_json(msgspec.json.format(msgspec.json.encode(mapping_schema()), indent=2).decode())


@app.command("guess")
def guess(source: Annotated[str, typer.Argument(help="Any source that `preprocess` reads.")]) -> None:
    """Propose a mapping: YAML on standard output, with the evidence of each field as comments.

    Ends with exit code 2 where nothing was found for a field that fixes need, or hardly a fix can be used.
    """
    from journeymesh.cli.mapping_guess import guess as propose

    propose(source)


@app.command("list")
def list_shipped() -> None:
    """List the mappings that come with journeymesh, for formats that many have."""
    from journeymesh.sources.shipped_mappings import shipped

    for name, summary in shipped().items():
        say(f"{name:<24} {summary}")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A name that `mapping list` shows.")]) -> None:
    """Print a mapping that comes with journeymesh, to use as it is or to start from."""
    from journeymesh.sources.shipped_mappings import shipped_text

    say(shipped_text(name), end="")


@app.command("check")
def check(
    source: SourceOption = None,
    mapping: MappingOption = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Read at least this many documents or rows.")
    ] = SAMPLE_ROWS,
    rules: RulesOption = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Use the rules that this store's journeys were made with.")
    ] = None,
    max_refused: MaxRefusedOption = MOST_REFUSED,
    form: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.table,
) -> None:
    """Read a sample with a mapping and say, field by field, what is there, with the first offending input.

    Ends with exit code 2 where no fix can be used, and with 10 where more than --max-refused says is refused.
    """

    from journeymesh.sources.mapping import load_mapping
    from journeymesh.sources.mapping_check import check_mapping
    from journeymesh.sources.tabular import OWN_FIELDS
    from journeymesh.stores.used_rules import rules_for

    if form not in (Format.table, Format.json):
        raise UsageError(f"a check cannot be written as {form}", todo="use --format table or json")
    most_refused = share(max_refused)
    held = settings()
    named = mapping or held.mapping
    location = source or held.source
    if location is None:
        if named is None:
            raise UsageError("no mapping given", todo="give --mapping FILE, or set JOURNEYMESH_MAPPING")
        read_as = load_mapping(named)
        say(f"{named} is a mapping of {read_as.collection}, layout {read_as.layout}: give --source to try it")
        return
    fields = OWN_FIELDS if named is None else load_mapping(named).fields
    with ExitStack() as stack:
        stores = [] if store is None else [stack.enter_context(opened_store(store))]
        opened = stack.enter_context(closing(open_source(location, named)))
        found = check_mapping(opened, fields, sample, rules_for(rules, held.rules, stores))
    if form is Format.json:
        say_json(as_json(found))
    else:
        say("\n".join([*check_lines(found), *item_lines(found.items)]))
    judge_check(found, fields, most_refused)


def judge_check(found: MappingCheck, fields: FieldMappings, most_refused: float) -> None:
    """Fail where a run would find nothing, or almost nothing.

    Raises:
        MappingInvalid: there is no fix that can be used.
        InputUnusable: almost all is refused.
    """
    first = {reason: FirstRefused(one.origin, one.detail) for reason, one in found.first.items()}
    if not found.is_usable:
        extent = "" if found.is_whole else "the first "
        why = ""
        if found.refused:
            reason = next(iter(found.refused))
            why = f"; {most_frequent(reason, found.refused[reason], first.get(reason), fields)}"
        if found.others:
            why += f", and its conditions leave out {found.others:,}"
        raise MappingInvalid(
            f"the mapping finds no fix in {extent}{found.inputs:,} inputs of {found.source}{why}",
            todo=_remedy(found),
        )
    refusals = SourceRefusals(found.source, found.inputs, found.refused, first, found.others)
    require_share(refusals, fields, most_refused, "correct the mapping")


def _remedy(found: MappingCheck) -> str:
    if found.clocks_that_fit:
        return " and ".join(f"give {name} {instead}" for name, instead in found.clocks_that_fit.items())
    match next(iter(found.refused), None):
        case None if found.others:
            return "correct the mapping's where"
        case None:
            return "check that it is the right source"
        case "document_corrupt":
            return "correct the file, or name its format"
        case _:
            return "correct the mapping of the field to blame"
