"""``journeymesh strangler compare|diff|accept|reconcile``: how the two sides differ, and what to do about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from journeymesh.cli.options import Format, FormatOption, LimitOption
from journeymesh.cli.output import say
from journeymesh.cli.progress import count_progress
from journeymesh.cli.render import Column
from journeymesh.cli.strangler import PlanArgument, WhoOption, instant_text, opened_plan, show_listing
from journeymesh.errors import JourneymeshError, UsageError

if TYPE_CHECKING:
    from journeymesh.strangler.installation import Installation
    from journeymesh.strangler.reconcile import TargetDifference
    from journeymesh.strangler.routes import Route

SliceArgument = Annotated[str, typer.Argument(metavar="SLICE", help="The slice of the plan.")]


def compare(
    plan: PlanArgument,
    slice_name: SliceArgument,
    everything: Annotated[bool, typer.Option("--all", help="Also policies that were compared before.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="End after this many seconds.")] = 600.0,
    against: Annotated[
        Path | None,
        typer.Option(metavar="TOTALS", help="Compare with legacy's own totals, mapped by this file."),
    ] = None,
    naive: Annotated[
        str | None,
        typer.Option(metavar="SAMPLE", help="Compare it with a naive pass over some policies: 20, or 5%."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="For both: numbers within this share of each other agree.")
    ] = 0.01,
    form: FormatOption = Format.table,
) -> None:
    """Compare the policies that have not been compared yet or that differed; or ask for a third opinion.

    Both sides are asked and compared as shadow reads are; legacy has until --timeout for an answer, for no caller
    waits for it. A policy that cannot be compared is named with the reason and ends the command with exit code 7.

    With --against or --naive the sides are not compared with each other, for they share mapping, walker and pass: what
    the door answers is held beside numbers that did not come through these, by policy and month. Exit code 7: fewer
    policies agree or are explained than the plan's gate asks for (99.5 % where it names none), or nothing was compared.
    """
    if against is not None or naive is not None:
        from journeymesh.cli.strangler_opinion import OpinionOptions, third_opinion

        options = OpinionOptions(against=against, naive=naive, tolerance=tolerance, timeout_s=timeout_s)
        third_opinion(plan, slice_name, options, form)
        return
    from journeymesh.strangler.comparing import compare_policies
    from journeymesh.strangler.counts import compared_policies, coverage_of, reads_of
    from journeymesh.strangler.legacy_side import ReadLimits
    from journeymesh.strangler.mismatches import differing_policies, open_mismatches
    from journeymesh.strangler.opened_door import opened_door
    from journeymesh.strangler.policy_book import members_of

    with opened_plan(plan) as installation:
        route = _shadowed(installation, slice_name)
        members = members_of(route.slice.selector, installation.policies())
        control = installation.control
        done_before = compared_policies(control, slice_name) - differing_policies(control, slice_name)
        left = [member for member in members if everything or member.name not in done_before]
        limits = ReadLimits(seconds=timeout_s)
        with count_progress("policies compared") as on_done, opened_door(installation, limits=limits) as door:
            assert door.shadow is not None
            done = compare_policies(door.shadow, route, left, time.monotonic() + timeout_s, on_done)
            fault = door.shadow.fault
        found = coverage_of(control, slice_name, [member.name for member in members])
        reads = reads_of(control, slice_name)
        mismatches = open_mismatches(control, slice_name)
    told = ", ".join(f"{count:,} {outcome}" for outcome, count in reads.items() if count)
    say(f"{slice_name}: {len(left):,} policies requested, {found.compared:,} of {found.policies:,} compared so far")
    say(f"shadow reads: {told or 'none'}; {mismatches:,} open mismatches")
    if done.left:
        raise _not_compared(slice_name, len(left), done.left, fault)


def diff(
    plan: PlanArgument,
    slice_name: Annotated[str | None, typer.Argument(metavar="[SLICE]", help="Only this slice.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also accepted and resolved ones.")] = False,
    limit: LimitOption = None,
    form: FormatOption = Format.table,
) -> None:
    """List what differs between the sides.

    One line for each cause, with both values and how often it was seen.
    """

    from journeymesh.strangler.mismatches import list_mismatches

    with opened_plan(plan) as installation:
        found = list_mismatches(installation.control, slice_name, only_open=not everything, limit=limit or 200)
    columns = [
        Column("cause", lambda row: row["cause"]),
        Column("slice", lambda row: row["slice"], below=True),
        Column("policy", lambda row: row["policy"], below=True),
        Column("what", lambda row: f"{row['classification']} {row['field']}".strip(), below=True),
        Column("subject", lambda row: row["subject"], below=True),
        Column("source has", lambda row: _short(row["source_value"]), below=True),
        Column("target has", lambda row: _short(row["target_value"]), below=True),
        Column("seen", lambda row: f"{row['seen']:,}", right=True, below=True),
        Column("last", lambda row: instant_text(row["last_seen_us"]), below=True),
        Column("state", lambda row: row["state"], below=True),
    ]
    show_listing([asdict(each) for each in found], columns, form, "no differences found so far")


def accept(
    plan: PlanArgument,
    cause: Annotated[str, typer.Argument(metavar="CAUSE", help="The cause, as shown by `diff`.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the difference is acceptable.")],
    days: Annotated[float, typer.Option("--days", min=0.01, max=3650, help="Accept it for this many days.")],
    who: WhoOption = None,
) -> None:
    """Let a known difference stand for a while.

    It keeps no slice from moving until it runs out.
    """
    from journeymesh.strangler.apply import operator
    from journeymesh.strangler.control import now_us
    from journeymesh.strangler.mismatches import accept_mismatch

    until_us = now_us() + round(timedelta(days=days).total_seconds() * 1e6)
    with opened_plan(plan) as installation:
        accept_mismatch(installation.control, cause, who or operator(), reason, until_us)
    say(f"{cause}: accepted until {instant_text(until_us)}")


def reconcile(
    plan: PlanArgument,
    slice_name: SliceArgument,
    repair: Annotated[bool, typer.Option("--repair", help="Correct the target from upstream.")] = False,
    resume: Annotated[str | None, typer.Option("--resume", help="Continue the comparison with this id.")] = None,
    form: FormatOption = Format.table,
) -> None:
    """Compare everything, and repair it if requested.

    Says which side lacks what. Without --repair nothing is changed.
    """
    import sys

    from journeymesh.strangler.reconcile import recorded_chunks

    rows: list[dict[str, Any]] = []
    with opened_plan(plan) as installation:
        run = installation.reconciliation(slice_name, repair=repair, run_id=resume)
        if form is Format.table:
            say(f"comparing {slice_name}; if it is stopped: --resume {run.run_id}", file=sys.stderr)
        with count_progress("vehicles compared") as on_done:
            for chunk in recorded_chunks(run, is_resumed=resume is not None):
                rows += [_row(difference) for difference in chunk.differences]
                if on_done is not None:
                    on_done(run.counts["vehicles"])
    columns = [
        Column("policy", lambda row: row["policy"] or "–"),
        Column("vehicle", lambda row: row["vehicle"]),
        Column("day", lambda row: row["day"]),
        Column("what", lambda row: f"{row['kind']} {row['field']}".strip()),
        Column("subject", lambda row: row["subject"]),
        Column("source has", lambda row: _short(row["source_value"])),
        Column("target has", lambda row: _short(row["target_value"])),
    ]
    show_listing(rows, columns, form, "nothing differs")
    if form is Format.table:
        told = "repaired" if repair else "would be repaired with --repair"
        counts = run.counts
        say(
            f"{counts['vehicles']:,} vehicles, {counts['days']:,} days compared: {counts['missing']:,} missing, "
            f"{counts['extra']:,} extra, {counts['value']:,} values differ{f'; {told}' if rows else ''}"
        )


def _row(difference: TargetDifference) -> dict[str, Any]:
    row = asdict(difference)
    row |= {"day": str(date(1970, 1, 1) + timedelta(days=difference.day)), "kind": difference.kind.value}
    return row | {name: str(row[name]) for name in ("source_value", "target_value") if row[name] is not None}


def _shadowed(installation: Installation, slice_name: str) -> Route:
    from journeymesh.strangler.slices import is_shadowed

    route = installation.route(slice_name)
    if not is_shadowed(route.phase):
        raise UsageError(
            f"slice {slice_name!r} is in phase {route.phase}: nothing is compared", todo="move it to phase shadow first"
        )
    if not route.complete:
        raise UsageError(
            f"slice {slice_name!r}: its target is not complete ({route.detail})",
            todo="wait for `journeymesh strangler run` to complete it",
        )
    return route


def _not_compared(
    slice_name: str, asked_for: int, left: dict[str, str], fault: JourneymeshError | None
) -> JourneymeshError:
    from journeymesh.strangler.comparing import PoliciesNotCompared

    number, why = next(iter(left.items()))
    told = f": {fault}" if fault is not None else ""
    return PoliciesNotCompared(
        f"slice {slice_name!r}: {len(left):,} of {asked_for:,} policies were not compared, {number} first: {why}{told}",
        todo="bring the feed up to date with `strangler run`, then compare again; finished comparisons are kept",
    )


def _short(value: str | None, most: int = 40) -> str:
    if value is None:
        return "–"
    return value if len(value) <= most else f"{value[: most - 1]}…"
