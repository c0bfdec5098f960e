"""``journeymesh audit …``: what was decided, and whether the record of it still holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from journeymesh.cli.access import AccessOption, access_file
from journeymesh.cli.options import Format, FormatOption, LimitOption, OutOption
from journeymesh.cli.output import say
from journeymesh.cli.render import Column, PrintedRows, Row, render
from journeymesh.journeys.answers import rfc3339

app = typer.Typer(no_args_is_help=True, help="Read, sign and verify the audit.")


@app.command("list")
def listed(
    access: AccessOption = None,
    limit: LimitOption = 20,
    kind: Annotated[str | None, typer.Option("--kind", help="Only records of this kind.")] = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """List the newest records. Every other format has their whole bodies."""
    import msgspec
    import pyarrow as pa

    from journeymesh.cli.show import text
    from journeymesh.journeys.fields import INSTANT
    from journeymesh.ledger.audit import RecordQuery
    from journeymesh.wiring.access import open_audit

    with open_audit(access_file(access)) as (audit, _, _):
        held = audit.query(RecordQuery(limit=min(limit or 1000, 1000), kind=kind, newest_first=True))
    schema = pa.schema(
        [("at", INSTANT), ("writer", pa.string()), ("number", pa.int64()), ("kind", pa.string()), ("body", pa.string())]
    )
    table = pa.table(
        {
            "at": pa.array([each.at_us for each in held], pa.int64()).cast(INSTANT),
            "writer": [each.writer for each in held],
            "number": [each.number for each in held],
            "kind": [each.kind for each in held],
            "body": [msgspec.json.encode(each.body).decode() for each in held],
        },
        schema=schema,
    )
    columns = (
        Column("at (UTC)", lambda row: rfc3339(row["at"])),
        Column("kind", text("kind")),
        Column("outcome", _of_body("reason", "step")),
        Column("capability", _of_body("capability")),
        Column("purpose", _of_body("purpose")),
        Column("subject", _of_body("subject")),
        Column("record", lambda row: f"{row['writer']}#{row['number']}"),
    )
    render(PrintedRows(schema, [table], columns, empty="no records"), form, out, limited=True)


def _of_body(*names: str) -> Callable[[Row], str]:
    """What a record's body has under the first of these names that it has."""

    def show(row: Row) -> str:
        body = json.loads(row["body"])
        return next((str(body[name]) for name in names if body.get(name) is not None), "")

    return show


@app.command("checkpoint")
def checkpoint(access: AccessOption = None) -> None:
    """Sign the heads of all chains and keep that elsewhere: without it neither a cut tail nor a rewrite is seen."""
    from journeymesh.wiring.access import open_audit

    with open_audit(access_file(access)) as (audit, signer, kept):
        made = audit.checkpoint(signer, kept)
        say(f"{made.name}: {len(made.heads)} chains, {sum(head.number for head in made.heads):,} records")


@app.command("verify")
def verify(access: AccessOption = None) -> None:
    """Verify every chain against the signed checkpoints. Names the first bad record of each; exit code 5 for any."""
    from journeymesh.wiring.access import open_audit

    with open_audit(access_file(access)) as (audit, signer, kept):
        found = audit.verify(kept, signer.keys)
    say(f"{found.records:,} records of {found.chains} chains, {found.checkpoints} checkpoints")
    for finding in found.findings:
        say(f"bad: {finding}", file=sys.stderr)
    if not found.holds:
        raise typer.Exit(5)
    say("the audit is intact")
