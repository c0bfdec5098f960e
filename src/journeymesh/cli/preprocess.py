"""``journeymesh preprocess``: a source becomes journeys in a store."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import (
    Format,
    MappingOption,
    RulesOption,
    SourceOption,
    StoreOption,
    opened_store,
    settings,
)
from journeymesh.cli.output import say, say_json
from journeymesh.cli.progress import run_progress
from journeymesh.cli.refused_share import (
    MOST_REFUSED,
    FirstRefused,
    MaxRefusedOption,
    SourceRefusals,
    require_share,
    share,
)
from journeymesh.cli.source_items import item_lines
from journeymesh.errors import UsageError
from journeymesh.safe_text import shown_url
from journeymesh.wiring import load_policies, open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeymesh.engines.port import RunOptions, RunReport
    from journeymesh.sources.port import SourceItem


def preprocess(
    source: SourceOption = None,
    mapping: MappingOption = None,
    store: StoreOption = None,
    rules: RulesOption = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Threads; left out, every core.")] = None,
    policies: Annotated[str | None, typer.Option("--policies", help="Policies file, instead of the mapping's.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="personal, treated or generated; left out, what the mapping says.")
    ] = None,
    keep_fixes: Annotated[
        str | None, typer.Option("--keep-fixes", help="How long fixes are kept: all, none or 400d.")
    ] = None,
    memory_mb: Annotated[
        int | None, typer.Option("--memory-mb", min=32, help="MiB of columns in memory at once.")
    ] = None,
    allow_mixed_rules: Annotated[
        bool, typer.Option("--allow-mixed-rules", help="Allow results of two rules versions in one store.")
    ] = False,
    max_refused: MaxRefusedOption = MOST_REFUSED,
    form: Annotated[Format, typer.Option("--format", help="How to write the report: table or json.")] = Format.table,
) -> None:
    """Turn a source's fixes into journeys in a store. It can be stopped and run again: nothing counts twice.

    Ends with exit code 10 where nothing, or more than --max-refused says, of the input could not be used.
    """
    most_refused = share(max_refused)
    if form not in (Format.table, Format.json):
        raise UsageError(f"the run's report cannot be written as {form}", todo="use --format table or json")

    from journeymesh.engines.memory import keep_decoded_memory

    keep_decoded_memory()
    from journeymesh.cli.unmet_policies import unmet_policies
    from journeymesh.engines.local import run
    from journeymesh.engines.port import Retention, RunOptions
    from journeymesh.settings import retention_of
    from journeymesh.sources.personal_data import data_kind
    from journeymesh.stores.used_rules import rules_for

    held = settings()
    location = source or held.source
    if location is None:
        raise UsageError("no source given", todo="give --source, or set JOURNEYMESH_SOURCE")
    named = mapping or held.mapping
    with (
        closing(open_source(location, named, None if data is None else data_kind(data, "--data"))) as opened_source,
        opened_store(store or held.store, create=True) as opened,
        run_progress() as on_progress,
    ):
        options = RunOptions(
            rules=rules_for(rules, held.rules, [opened]),
            policies=load_policies(file) if (file := policies or held.policies) else None,
            retention=Retention(retention_of(keep_fixes or held.keep_fixes)),
            jobs=jobs or held.jobs or usable_cores(),
            memory_bytes=(memory_mb or held.memory_mb) * 2**20,
            allow_mixed_rules=allow_mixed_rules,
        )
        report = run(opened_source, opened, options, on_progress)
        items = opened_source.items()
        unmet = unmet_policies(report, opened)
    tell(report, options, shown_url(store or held.store), form, items)
    if unmet is not None:
        say(f"note: {unmet}", file=sys.stderr)
    judge_run(report, opened_source.name, named, most_refused)


def judge_run(report: RunReport, source: str, mapping: str | None, most_refused: float) -> None:
    """Fail where the run could use nothing, or almost nothing, of what it read.

    Raises:
        InputUnusable: naming the field to blame. A run that goes on where an earlier one ended may read nothing.
    """
    from journeymesh.sources.mapping import load_mapping
    from journeymesh.sources.tabular import OWN_FIELDS

    counts = report.counts
    refused = {name.removeprefix("refused_"): n for name, n in counts.items() if name.startswith("refused_") and n}
    inputs = counts["accepted"] + counts["duplicates"] + counts["refused"]
    if report.is_resumed and not inputs:
        return
    first = {code: FirstRefused(one.origin, one.detail) for code, one in report.examples.items()}
    require_share(
        SourceRefusals(source, inputs, refused, first, counts["other_documents"]),
        OWN_FIELDS if mapping is None else load_mapping(mapping).fields,
        most_refused,
        "see `journeymesh mapping check` and `journeymesh quarantine list`; what was usable is in the store",
    )


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tell(report: RunReport, options: RunOptions, store: str, form: Format, items: Sequence[SourceItem] = ()) -> None:
    """The run's report: one JSON object, or a few lines for people."""
    if form is Format.json:
        import msgspec

        rate = report.counts["read"] / report.seconds if report.seconds else None
        told = {"run_id": report.run_id, "rules_version": options.rules.version, "seconds": report.seconds}
        told |= {"fixes_per_s": rate, "counts": report.counts, "items": items}
        say_json(msgspec.json.encode(told).decode())
        return
    say("\n".join([*report_lines(report, options.rules.version, store), *item_lines(items)]))


def report_lines(report: RunReport, rules_version: str, store: str) -> list[str]:
    """What was read, what became of it, what was refused and how to see it."""
    counts = report.counts
    rate = counts["read"] / report.seconds if report.seconds else 0.0
    changed = f" ({counts['journeys_changed']:,} changed, {counts['journeys_removed']:,} removed)"
    unusable = f", and {counts['policies_refused']:,} that cannot be used" if counts["policies_refused"] else ""
    touched = counts["journeys_changed"] or counts["journeys_removed"]
    lines = [
        f"read            {counts['read']:,} fixes of {counts['vehicles']:,} vehicles"
        f" in {report.seconds:.1f} s ({rate:,.0f}/s)",
        f"journeys        {counts['journeys']:,}{changed if touched else ''} by rules {rules_version}",
        f"harsh events    {counts['harsh_events']:,}",
        f"accepted        {counts['accepted']:,}, of which {counts['outside_journey']:,} in no journey"
        f" and {counts['outside_policy']:,} outside any policy",
        *([f"policies        {counts['policies']:,}{unusable}"] if unusable else []),
        f"duplicates      {counts['duplicates']:,}",
        f"refused         {counts['refused']:,}",
    ]
    if counts.get("values_unreadable"):
        lines.append(f"unreadable      {counts['values_unreadable']:,} fixes used without a value, kept in quarantine")
    if counts.get("speed_doubted"):
        told = "of which the reported speed contradicts the way travelled: their speed is taken from positions"
        lines.append(f"speed doubted   {counts['speed_doubted']:,} fixes, {told}")
    if counts.get("other_documents"):
        left = "documents, or elements of arrays, that the mapping's conditions leave out"
        lines.append(f"others          {counts['other_documents']:,} {left}")
    reasons = {name: n for name, n in counts.items() if name.startswith("refused_") and n}
    lines += [
        f"  {n:>10,}    {name.removeprefix('refused_')}"
        for name, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
    if counts["refused"] or unusable:
        lines.append(f"see them with   journeymesh quarantine list --store {store}")
    return lines
