"""``journeymesh strangler compare --against TOTALS`` and ``--naive``: a third opinion on what the door answers."""

from __future__ import annotations

import sys
import textwrap
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from journeymesh.cli.options import Format
from journeymesh.cli.output import say
from journeymesh.cli.progress import count_progress
from journeymesh.cli.render import Column, render_object
from journeymesh.cli.strangler import opened_plan
from journeymesh.cli.tables import write_table
from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.wiring import open_documents

if TYPE_CHECKING:
    from journeymesh.strangler.installation import Installation
    from journeymesh.strangler.opinion import Opinion, Verdict
    from journeymesh.strangler.routes import Route
    from journeymesh.strangler.third_opinion import OtherNumbers

LEAST_SHARE: Final = 0.995
"""What the exit code asks for where the plan names no gate."""
_SHOWN: Final = 12
_OF: Final = {
    "distance_m": ("distance", 1e-3, "km"),
    "duration_s": ("duration", 1 / 3600, "h"),
    "driving_s": ("driving", 1 / 3600, "h"),
    "journeys": ("journeys", 1.0, ""),
}


class OpinionDiffers(JourneymeshError):
    """Numbers that did not come through the product do not bear out what the door answers."""

    exit_code = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionOptions:
    """What the door is held beside: legacy's totals as a file maps them, a naive pass over a sample, or both."""

    against: Path | None
    naive: str | None
    tolerance: float
    timeout_s: float


def third_opinion(plan: Path, slice_name: str, options: OpinionOptions, form: Format) -> None:
    """Compare, record and show.

    Raises:
        OpinionDiffers: fewer policies agree than have to, or nothing was compared.
    """
    from journeymesh.strangler.opinion import NAIVE, TOLERANCE, TOTALS, record_opinion

    if form is Format.json and options.against is not None and options.naive is not None:
        raise UsageError(
            "--format json can hold one comparison only", todo="ask for one of them, or use --format ndjson"
        )
    if form not in (Format.table, Format.json, Format.ndjson):
        raise UsageError(f"a third opinion cannot be written as {form}", todo="use --format json, ndjson or table")
    with opened_plan(plan) as installation:
        installation.check_targets()
        route = installation.route(slice_name)
        asked = installation.plan.gates.third_opinion or LEAST_SHARE
        results = list(_found(installation, route, options))
        if options.tolerance <= TOLERANCE:
            for kind, found, _ in results:
                record_opinion(installation.control, route, kind, found)
        else:
            say(f"not recorded: gates use a tolerance of at most {100 * TOLERANCE:g} %", file=sys.stderr)
    faults, which = [], {TOTALS: "legacy's totals", NAIVE: "the naive pass"}
    for kind, found, other in results:
        row = _row(route, kind, found, other, options.tolerance, asked)
        render_object(row, form, lambda row, found=found: _show(row, found))  # type: ignore[misc]
        if found.share is None or found.share < asked:
            faults.append(f"{which[kind]}: {_fault(found, asked)}")
    if faults:
        todo = "check the mapping and the totals file: units, zones and paths"
        raise OpinionDiffers(f"slice {slice_name!r}: {'; '.join(faults)}", todo=todo)


def _found(installation: Installation, route: Route, options: OpinionOptions):  # type: ignore[no-untyped-def]
    """(kind, opinion, the numbers that the door was held beside) of what is asked for."""

    from journeymesh.sources.totals import load_totals
    from journeymesh.strangler.legacy_side import ReadLimits
    from journeymesh.strangler.opened_door import opened_door
    from journeymesh.strangler.opinion import NAIVE, TOTALS
    from journeymesh.strangler.policy_book import members_of
    from journeymesh.strangler.slices import Phase
    from journeymesh.strangler.third_opinion import Comparing, sample_of

    totals = None if options.against is None else load_totals(options.against)
    members = members_of(route.slice.selector, installation.policies())
    sample = [] if options.naive is None else sample_of(members, options.naive)
    legacy, limits = installation.plan.legacy, ReadLimits(seconds=options.timeout_s)
    with ExitStack() as opened:
        held: list[Any] = []

        def documents():  # type: ignore[no-untyped-def]
            if not held:
                held.append(opened.enter_context(closing(open_documents(legacy.source, legacy.mapping))))
            return held[0]

        door = opened.enter_context(opened_door(installation, cached=False, limits=limits))
        comparing = Comparing(
            side=replace(door, shadow=None, answer_counts=None),
            rules=installation.rules,
            target=installation.store(route.target) if route.phase is not Phase.LEGACY else None,
            documents=documents,
            tolerance=options.tolerance,
        )
        with count_progress("policies compared") as on_done:
            if totals is not None:
                yield TOTALS, *comparing.with_totals(members, totals, on_done)
            if options.naive is not None:
                yield NAIVE, *comparing.with_naive(sample, on_done)


def _fault(found: Opinion, asked: float) -> str:
    if not found.policies:
        return "nothing was compared"
    if found.share is None:
        return "nothing agrees by itself"
    return f"{found.good:,} of {found.policies:,} policies agree or are explained, {100 * asked:g} % have to"


def _row(
    route: Route, kind: str, found: Opinion, other: OtherNumbers, tolerance: float, asked: float
) -> dict[str, Any]:
    months = None if other.months is None else [month_text(month) for month in other.months]
    return {
        "slice": route.slice.name,
        "kind": kind,
        "answering": route.answering_name,
        "tolerance": tolerance,
        "asked_share": asked,
        "share": found.share,
        "policies": found.policies,
        "good": found.good,
        "classes": found.classes,
        "rows": other.rows,
        "rows_unreadable": other.unreadable,
        "first_fault": other.first_fault,
        "rows_of_other_policies": other.elsewhere,
        "rows_of_several_policies": other.unclear,
        "months": months,
        "not_agreeing": [_verdict(one) for one in found.worst(len(found.verdicts))],
    }


def _verdict(one: Verdict) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "month": month_text(one.month),
        "class": one.found.value,
        "measure": one.measure,
        "door": one.door,
        "other": one.other,
        "reason": one.reason,
    }


def _show(row: dict[str, Any], found: Opinion) -> None:

    is_naive = row["kind"] == "naive"
    beside = "a naive pass" if is_naive else "legacy's totals"
    what = "documents read" if is_naive else "rows"
    span = "" if row["months"] is None else f", {row['months'][0]} to {row['months'][1]}"
    _say_wrapped(f"{row['slice']}: the door ({row['answering']} answers) beside {beside}: {row['rows']:,} {what}{span}")
    for count, told in (
        (row["rows_unreadable"], "fixes could not be read" if is_naive else "rows could not be read"),
        (row["rows_of_other_policies"], "rows are of no policy of the slice"),
        (row["rows_of_several_policies"], "rows are of a vehicle and month that several policies share"),
    ):
        if count:
            first = f" ({row['first_fault']})" if row["first_fault"] and told.startswith("rows could") else ""
            say(f"    {count:,} {told}{first}")
    classes = [{"class": name, "count": count} for name, count in row["classes"].items()]
    columns = [
        Column("class", lambda one: one["class"]),
        Column("months", lambda one: f"{one['count']:,}", right=True),
    ]
    say("")
    write_table(sys.stdout, columns, classes, title="", else_by="use --format json")
    worst = [_verdict(one) for one in found.worst(_SHOWN)]
    if worst:
        say("")
        write_table(sys.stdout, _worst_columns(is_naive), worst, title="", else_by="use --format json")
        left = len(row["not_agreeing"]) - len(worst)
        if left:
            say(f"{left:,} more: use --format json")
    say("")
    _say_wrapped(
        f"{row['good']:,} of {row['policies']:,} policies are within {100 * row['tolerance']:g} % or explained in all "
        f"of their months; {100 * row['asked_share']:g} % have to be, and some month has to agree by itself"
    )


def _say_wrapped(text: str) -> None:
    say("\n".join(textwrap.wrap(text, 80, break_long_words=False)))


def _worst_columns(is_naive: bool) -> list[Any]:

    return [
        Column("policy", lambda one: one["policy"]),
        Column("month", lambda one: one["month"]),
        Column("class", lambda one: one["class"]),
        Column("door", lambda one: amount_text(one["measure"], one["door"]), right=True),
        Column("naive" if is_naive else "legacy", lambda one: amount_text(one["measure"], one["other"]), right=True),
        Column("why", lambda one: one["reason"] or "", below=True),
    ]


def amount_text(measure: str | None, value: float | None) -> str:
    """The amount with its unit: kilometres, hours or journeys."""
    if measure is None or value is None:
        return "–"
    _, factor, unit = _OF[measure]
    return f"{value * factor:,.1f} {unit}" if unit else f"{value:,.0f} journeys"


def month_text(month: int) -> str:
    """A month counted from the year 0 as ``2024-06``."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"
