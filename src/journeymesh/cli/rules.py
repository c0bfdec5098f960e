"""``journeymesh rules``: what separates one journey from the next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from journeymesh.cli.options import Format, FormatOption, OutOption
from journeymesh.cli.output import say, say_json
from journeymesh.cli.render import Column, PrintedRows, render
from journeymesh.errors import UsageError
from journeymesh.journeys.rules import BUILT_IN, VERSIONS

app = typer.Typer(help="List and show rules.", no_args_is_help=True)


@app.command("list")
def list_rules(form: FormatOption = Format.table, out: OutOption = None) -> None:
    """List the built-in rules."""
    import pyarrow as pa

    from journeymesh.cli.show import text

    names = ("name", "version", "profile", "max_silence_s", "digest")
    earlier = {version: rules for version, rules in VERSIONS.items() if rules not in BUILT_IN.values()}
    shown = (BUILT_IN | earlier).items()
    rows = [{"name": name, **{field: getattr(rules, field) for field in names[1:]}} for name, rules in shown]
    table = pa.Table.from_pylist(rows)
    render(PrintedRows(table.schema, [table], [Column(name, text(name)) for name in names]), form, out, limited=True)


@app.command("show")
def show_rules(
    rules: Annotated[str, typer.Argument(help="Name of built-in rules, or a YAML file.")],
    form: Annotated[Format, typer.Option("--format", help="table (as YAML, a rules file) or json.")] = Format.table,
) -> None:
    """Show rules with every number, as a rules file has them."""
    from journeymesh.stores.used_rules import load_rules

    held: dict[str, Any] = _listed(asdict(load_rules(rules)))
    match form:
        case Format.table:
            import yaml

            say(yaml.safe_dump(held, sort_keys=False, default_flow_style=None), end="")
        case Format.json:
            import msgspec

            say_json(msgspec.json.format(msgspec.json.encode(held), indent=2).decode())
        case _:
            raise UsageError(f"rules cannot be written as {form}", todo="use --format table or json")


def _listed(value: Any) -> Any:
    """Tuples as lists, which YAML and JSON have."""
    match value:
        case dict():
            return {name: _listed(part) for name, part in value.items()}
        case tuple() | list():
            return [_listed(part) for part in value]
        case _:
            return value
