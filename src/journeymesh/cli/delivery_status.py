"""``journeymesh delivery status``: one view of every Application."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.delivery import KubeconfigOption
from journeymesh.cli.options import Format, FormatOption, OutOption
from journeymesh.cli.output import say
from journeymesh.cli.render import Column, PrintedRows, Row, render
from journeymesh.cli.strangler_run import stopping
from journeymesh.delivery.tree import require_environment

if TYPE_CHECKING:
    from journeymesh.delivery.status import StatusRow


def status(
    environment: Annotated[str | None, typer.Option("--env", help="Only this environment.", show_default="all")] = None,
    tree: Annotated[
        Path, typer.Option("--tree", help="A checkout of the repository, for the wanted digests and who promoted them.")
    ] = Path("."),
    form: FormatOption = Format.table,
    out: OutOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep running and show every change.")] = False,
    interval_s: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between checks.")] = 2.0,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Show what every Application wants and runs, its drift, heals, tests and promotion.

    Also says where Argo CD shows green although the last sync failed.
    """
    from journeymesh.delivery.cluster import opened_cluster
    from journeymesh.delivery.git import checkout_at
    from journeymesh.delivery.status import read, rows, wants_of

    if environment is not None:
        require_environment(environment)
    wants = wants_of(checkout_at(tree))
    with opened_cluster(kubeconfig) as cluster:
        if not watch:
            _show(rows(read(cluster, environment), wants), form, out)
            return
        shown: list[StatusRow] | None = None
        with stopping() as stop:
            while not stop.is_set():
                found = rows(read(cluster, environment), wants)
                if found != shown:
                    _show_again(found, form, out)
                shown = found
                stop.wait(interval_s)


def _show_again(found: list[StatusRow], form: Format, out: Path | None) -> None:
    if form is Format.table and out is None and sys.stdout.isatty():
        print("\033[H\033[2J", end="")
    _show(found, form, out)
    sys.stdout.flush()


def _show(found: list[StatusRow], form: Format, out: Path | None) -> None:
    import pyarrow as pa

    from journeymesh.cli.show import text

    image = pa.struct([("name", pa.string()), ("wanted", pa.string()), ("running", pa.list_(pa.string()))])
    schema = pa.schema(
        [
            ("environment", pa.string()), ("application", pa.string()), ("service", pa.string()),
            ("revision", pa.string()), ("images", pa.list_(image)), ("sync", pa.string()), ("health", pa.string()),
            ("phase", pa.string()), ("phase_revision", pa.string()), ("message", pa.string()),
            ("adrift", pa.list_(pa.string())), ("heals", pa.int64()), ("healed_at", pa.string()),
            ("tested", pa.string()), ("promoted_by", pa.string()), ("promoted_at", pa.string()),
            ("words", pa.list_(pa.string())),
        ]
    )  # fmt: skip
    columns = (
        Column("application", text("application")),
        Column("revision", lambda row: row["revision"][:8]),
        Column("digest", _digests),
        Column("sync", text("sync")),
        Column("health", text("health")),
        Column("last sync", _last_sync),
        Column("adrift", lambda row: str(len(row["adrift"])) if row["adrift"] else "", right=True),
        Column("healed", _healed),
        Column("e2e", text("tested")),
        Column("promoted", lambda row: f"{row['promoted_by']} {row['promoted_at'][:16]}".strip()),
    )
    table = pa.Table.from_pylist([asdict(each) for each in found], schema=schema)
    render(PrintedRows(schema, [table], columns, empty="no Applications"), form, out, limited=True)
    if form is Format.table and out is None:
        for each in found:
            for words in each.words:
                say(f"{each.application}: {words}")


def _digests(row: Row) -> str:
    from journeymesh.delivery.status import ImageRow

    shown = [ImageRow(each["name"], each["wanted"], tuple(each["running"])) for each in row["images"]]
    return ", ".join(str(each) for each in shown)


def _last_sync(row: Row) -> str:
    phase: str = row["phase"]
    return phase if phase in ("", "Succeeded") else f"{phase} ({row['phase_revision'][:8]})"


def _healed(row: Row) -> str:
    return f"{row['heals']} × {row['healed_at'][11:19]}" if row["heals"] else ""
