"""``journeymesh strangler``: move from legacy to a store, slice by slice, and see how far it is."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from journeymesh.cli.options import Format, FormatOption, LimitOption
from journeymesh.cli.output import say, say_json
from journeymesh.cli.render import Column, PrintedRows, render
from journeymesh.errors import UsageError
from journeymesh.journeys.answers import plain
from journeymesh.wiring import open_installation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import msgspec

    from journeymesh.strangler.apply import MoveOutcome
    from journeymesh.strangler.installation import Installation
    from journeymesh.strangler.opinion import RecordedOpinion
    from journeymesh.strangler.status import SliceStatus

app = typer.Typer(
    help="Move from legacy to a store, slice by slice: every step but retiring can be taken back.",
    no_args_is_help=True,
)
plan_app = typer.Typer(help="Check a plan file.", no_args_is_help=True)
app.add_typer(plan_app, name="plan")

PlanArgument = Annotated[Path, typer.Argument(help="The plan (YAML): where every slice should be.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it goes into the history.")]
WhoOption = Annotated[str | None, typer.Option("--who", help="Who does it (default: this user and host).")]


@contextmanager
def opened_plan(plan: Path) -> Iterator[Installation]:
    """What the plan names, closed at the end.

    Raises:
        StoreUnavailable: nothing is recorded of it yet.
    """
    with open_installation(plan) as installation:
        installation.require_control()
        yield installation


@app.command("apply")
def apply(
    plan: PlanArgument,
    why: WhyOption = "",
    who: WhoOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the moves and their gates; change nothing.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="SLICE=PHASE instead of the plan's; commit it too.")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Move slices to where the plan wants them.

    Each slice whose gates are open is moved; for the others the closed gates are printed, and the exit code is 7.
    """
    from journeymesh.cli.strangler_clients import say_other_clients
    from journeymesh.strangler.gates import GateClosed

    with open_installation(plan, changed=_phases(settings or [])) as installation:
        installation.control.migrate()
        applying = installation.applying(who)
        if form is Format.table and any(each.phase == "retired" for each in installation.plan.slices):
            say_other_clients(installation.other_clients())
        outcomes = applying.dry_run() if dry_run else applying.apply(why)
    _show_outcomes(outcomes, form, dry_run)
    refused = [each for each in outcomes if not each.moved]
    if refused and not dry_run:
        gates = "; ".join(f"{each.slice}: {', '.join(each.closed)}" for each in refused)
        raise GateClosed(f"not moved: {gates}", todo="see `journeymesh strangler status`, then apply again")


@app.command("swap")
def swap(
    plan: PlanArgument,
    slice_name: Annotated[str, typer.Argument(metavar="SLICE", help="The slice to move to another store.")],
    to: Annotated[str, typer.Option("--to", help="The plan's store to move it to.")],
    why: WhyOption = "",
    who: WhoOption = None,
) -> None:
    """Begin to replace the store behind a slice.

    The store that answers becomes the source, the other one its target. What to commit to the plan is shown.
    """

    with open_installation(plan, swapped={slice_name: to}) as installation:
        installation.control.migrate()
        outcomes = installation.applying(who).apply(why or f"swap to {to}")
        wanted = installation.plan.slice(slice_name)
    _show_outcomes(outcomes, Format.table, False)
    say(f"commit this for slice {slice_name}: source: {wanted.source}, target: {wanted.target}, phase: shadow")


@app.command("status")
def status(plan: PlanArgument, form: FormatOption = Format.table) -> None:
    """Show every slice and what it waits for.

    Its phase, which side answers, how full and how late the target is, what was compared, and every closed gate.
    """
    from journeymesh.cli.strangler_clients import say_other_clients
    from journeymesh.strangler.foreign_runs import others_text
    from journeymesh.strangler.status import status_of, unfinished, with_other_clients

    with opened_plan(plan) as installation:
        unreadable = installation.check_targets()
        policies = installation.policies_at_hand()
        clients = installation.other_clients(policies.unread.get("legacy"))
        found = status_of(installation.plan, installation.control, policies, unreadable)
        found = with_other_clients(found, clients)
        left = unfinished(installation.control)
    columns = [
        Column("slice", lambda row: row["slice"]),
        Column("phase", _phase, below=True),
        Column("answers", lambda row: row["answering"], below=True),
        Column(
            "target",
            lambda row: row["target"] + ("" if row["complete"] or row["phase"] == "legacy" else " (incomplete)"),
            below=True,
        ),
        Column(
            "policies",
            lambda row: "unknown" if row["policies"] is None else f"{row['policies']:,}",
            right=True,
            below=True,
        ),
        Column("backfill", _backfill, below=True),
        Column("lag", _lag, below=True),
        Column("shadow reads", _shadow, below=True),
        Column("mismatches", lambda row: f"{row['open_mismatches']:,}", right=True, below=True),
        Column("refused", _refused, below=True),
    ]
    _listing(found, columns, form, "no slice is recorded yet: run `journeymesh strangler apply`")
    for side, fault in policies.unread.items():
        say(f"warning: policies of slices that {side} answers are not known: {fault}", file=sys.stderr)
    if form is not Format.table:
        return
    for each in found:
        for opinion in each.third_opinions:
            say(f"{each.slice}: {_opinion(opinion)}")
        if each.foreign_runs:
            say(f"{each.slice}: {others_text(each.target, each.foreign_runs)}")
        if each.next is not None:
            say(f"{each.slice}: {f'before {each.next}:' if each.closed_gates else f'ready for {each.next}'}")
            for gate in each.closed_gates:
                say(f"    {gate}")
    for told in _unusable(found):
        say(told)
    say_other_clients(clients)
    if left:
        say(f"unfinished: retiring {', '.join(left)}; `journeymesh strangler apply` continues it")


@app.command("lag")
def lag(plan: PlanArgument, form: FormatOption = Format.table) -> None:
    """Show how far each target is behind.

    What is unknown is shown as unknown, never as 0.
    """
    from journeymesh.strangler.status import feeds_status

    with opened_plan(plan) as installation:
        found = feeds_status(installation.control)
    columns = [
        Column("upstream", lambda row: row["upstream"]),
        Column("target", lambda row: row["target"], below=True),
        Column("state", lambda row: row["state"].replace("_", " "), below=True),
        Column("lag", lambda row: _seconds(row["lag_s"]), right=True, below=True),
        Column("events", lambda row: f"{row['events']:,}", right=True, below=True),
        Column("fault", lambda row: row["fault"] or "", below=True),
    ]
    _listing(found, columns, form, "no feed has started yet: run `journeymesh strangler run`")


@app.command("history")
def history(
    plan: PlanArgument,
    slice_name: Annotated[str | None, typer.Option("--slice", help="Only this slice.")] = None,
    limit: LimitOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Show who moved what, when and why.

    Newest first; refused moves and faults of a target are there too.
    """
    from journeymesh.strangler.status import history_of

    with opened_plan(plan) as installation:
        found = history_of(installation.control, slice_name, limit or 100)
    columns = [
        Column("at", lambda row: instant_text(row["at_us"])),
        Column("slice", lambda row: row["slice"], below=True),
        Column("move", _move, below=True),
        Column("outcome", lambda row: row["outcome"], below=True),
        Column("who", lambda row: row["who"], below=True),
        Column("why", lambda row: row["why"], below=True),
        Column("detail", lambda row: row["detail"] or "", below=True),
    ]
    _listing(found, columns, form, "nothing has happened yet")


@plan_app.command("check")
def plan_check(plan: PlanArgument) -> None:
    """Check the plan file alone: its keys, names, stores and sets. Nothing is opened."""
    from journeymesh.strangler.plan import load_plan

    found = load_plan(plan)
    say(f"plan {plan}: {len(found.slices)} slices, {len(found.stores)} stores, valid")


@plan_app.command("schema")
def plan_schema() -> None:
    """The JSON Schema of a plan file."""
    import msgspec

    from journeymesh.strangler.plan import plan_schema

    say_json(msgspec.json.format(msgspec.json.encode(plan_schema()), indent=2).decode())


def _phases(settings: Sequence[str]) -> dict[str, str]:

    found = {}
    for setting in settings:
        name, separator, phase = setting.partition("=")
        if not separator:
            raise UsageError(f"--set {setting!r} is not SLICE=PHASE", todo="write for example --set pilot=shadow")
        found[name] = phase
    return found


def _show_outcomes(outcomes: Sequence[MoveOutcome], form: Format, dry_run: bool) -> None:

    if form in (Format.json, Format.ndjson):
        import msgspec

        for each in outcomes:
            row = {"slice": each.slice, "kind": each.kind, "before": each.before, "after": each.after}
            say_json(msgspec.json.encode(plain(row | {"moved": each.moved, "closed_gates": each.closed})).decode())
        return
    if not outcomes:
        say("every slice is where the plan wants it")
    for each in outcomes:
        step = f"{each.before or 'not recorded'} → {each.after or 'forgotten'}"
        if each.moved:
            say(f"{each.slice}: {step}{' (would move)' if dry_run else ''}")
        else:
            say(f"{each.slice}: {step} refused")
            for gate in each.closed:
                say(f"    {gate}")


def show_listing(rows: list[dict[str, Any]], columns: Sequence[Column], form: Format, empty: str) -> None:
    """Write the rows in the form asked for."""
    import msgspec
    import pyarrow as pa

    if form in (Format.json, Format.ndjson):
        encoded = msgspec.json.encode(rows)
        say_json(msgspec.json.format(encoded, indent=2).decode() if form is Format.json else _lines(rows))
        return
    if form is not Format.table:
        for row in rows:
            row.update({k: msgspec.json.encode(v).decode() for k, v in row.items() if isinstance(v, dict | list)})
    table = pa.Table.from_pylist(rows) if rows else pa.table({})
    render(PrintedRows(table.schema, [table] if rows else [], columns, empty=empty), form)


def _listing(found: Sequence[msgspec.Struct], columns: Sequence[Column], form: Format, empty: str) -> None:
    import msgspec

    show_listing([msgspec.to_builtins(each) for each in found], columns, form, empty)


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    import msgspec

    return "\n".join(msgspec.json.encode(row).decode() for row in rows)


def _phase(row: dict[str, Any]) -> str:
    wanted = row["planned"]
    return str(row["phase"]) if wanted in (None, row["phase"]) else f"{row['phase']} (plan: {wanted})"


def _backfill(row: dict[str, Any]) -> str:
    held = row["backfill"]
    if held is None:
        return "–" if row["phase"] == "legacy" else "not started"
    if held["state"] == "complete":
        return f"complete, {held['fixes']:,} fixes"
    share = 100 * held["vehicles_done"] / max(held["vehicles"], 1)
    left = "" if held["eta_s"] is None else f", {timedelta(seconds=round(held['eta_s']))} left"
    return f"{held['state']} {share:.0f} %, {held['fixes_per_s']:,.0f} fixes/s{left}"


def _lag(row: dict[str, Any]) -> str:
    if row["phase"] == "legacy":
        return "–"
    state = str(row["lag_state"]).replace("_", " ")
    return state if row["lag_s"] is None else f"{_seconds(row['lag_s'])} ({state})"


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f} s"


def _shadow(row: dict[str, Any]) -> str:
    counts = row["shadow_reads"] or {}
    reads = sum(value or 0 for value in counts.values())
    share = "unknown share" if row["shadow_coverage"] is None else f"{100 * row['shadow_coverage']:.0f} %"
    return f"{reads:,}, {share} of policies"


def _unusable(found: Sequence[SliceStatus]) -> Iterator[str]:
    """What is known of policies that cannot be used: the same for every slice."""
    held = next((each.unusable_policies for each in found), None)
    if held is None or not held.count:
        return
    yield f"policies of legacy that cannot be used, and are in no slice: {held.count:,}"
    for each in held.first:
        yield f"    {each.number or f'one without a number (quarantine: {each.refusal_id})'}: {each.reason}"
    if held.count > len(held.first):
        yield f"    and {held.count - len(held.first):,} more: see `journeymesh quarantine` of the target"


def _opinion(held: RecordedOpinion) -> str:
    bears_out = "legacy's totals confirm" if held.kind == "totals" else "a naive pass confirms"
    share = "nothing" if held.share is None else f"{100 * held.share:.1f} % of {held.policies:,} policies"
    stale = "" if held.stale is None else f"; out of date: {held.stale}"
    return f"{bears_out} {share} ({instant_text(held.at_us)}){stale}"


def _refused(row: dict[str, Any]) -> str:
    held = row["refusals"]
    if held is None:
        return ""
    read, lately = held["documents"], held["window_documents"]
    of_all = "" if not read else f" of {read:,} documents ({100 * min(held['refused'] / read, 1):.1f} %)"
    more = "" if not lately else f", lately {held['window_refused']:,} more of {lately:,}"
    state = "; an open question" if held["question"] else "; accepted for now" if held["accepted"] else ""
    return f"{held['refused']:,}{of_all}{more}{state}"


def _move(row: dict[str, Any]) -> str:
    before, after = row["before"], row["after"]
    return str(after or before) if before == after else f"{before or '–'} → {after or '–'}"


def instant_text(at_us: int) -> str:
    """The instant in UTC, to the second."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
