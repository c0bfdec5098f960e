"""``journeymesh summary``: what a policy's journeys add up to, or those of a whole book of policies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from journeymesh.cli.book import (
    ColumnsOption,
    ProductOption,
    StatusOption,
    TenantOption,
    bound,
    field_named,
    fields_of,
    policies_like,
)
from journeymesh.cli.options import (
    Format,
    FormatOption,
    FromOption,
    OutOption,
    RulesOption,
    StoreOption,
    ToOption,
    check_span,
    opened_store,
    settings,
    terms_of,
)
from journeymesh.cli.render import PrintedRows, render
from journeymesh.errors import UsageError
from journeymesh.journeys.rules import VERSIONS, JourneyRules

if TYPE_CHECKING:
    import pyarrow as pa

    from journeymesh.cli.tables import Column
    from journeymesh.stores.port import Store

MOST_TOP: Final = 100_000
"""Rows that a ranking keeps in memory at most."""


class PeriodName(StrEnum):
    """A period of the policy's local time."""

    day = "day"
    week = "week"
    month = "month"
    term = "term"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the rows are and which of them are shown. ``groups`` None: a row is of one policy."""

    period: PeriodName
    groups: tuple[Any, ...] | None
    top: int | None
    by: str | None
    lowest: bool
    min_km: float | None
    columns: str | None


def summary(
    policy: Annotated[str | None, typer.Argument(help="Number of one policy.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All policies in the store.")] = False,
    tenant: TenantOption = None,
    product: ProductOption = None,
    status: StatusOption = None,
    period: Annotated[PeriodName | None, typer.Option("--period", help="What a row covers; default: month.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="Group policies by tenant, product or both, or all of them by month."),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, max=MOST_TOP, help="At most this many rows, ranked by --by.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="The field that --top ranks by.")] = None,
    lowest: Annotated[bool, typer.Option("--lowest", help="With --top: the lowest values first.")] = False,
    min_km: Annotated[
        float | None, typer.Option("--min-km", min=0.0, help="Only rows of this distance or more.")
    ] = None,
    columns: ColumnsOption = None,
    first: FromOption = None,
    last: ToOption = None,
    rules: RulesOption = None,
    store: StoreOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """Show what journeys add up to in each period: of one policy, of many, or of groups of them."""
    from journeymesh.stores.policy_summaries import policy_summaries

    many = every or bool(product or status or (tenant and policy is None))
    if many is (policy is not None):
        raise UsageError(
            "no policy given" if policy is None else "one policy and many exclude each other",
            todo="give the number of one, or ask for many by --all, --tenant, --product or --status",
        )
    _check_ranking(top, by, lowest)
    covered, groups = _grouping(group_by, period)
    shape = _Shape(covered, groups, top, by, lowest, min_km, columns)
    since, until = bound("--from", first), bound("--to", last)
    check_span(_comparable(since), _comparable(until))
    with opened_store(store) as opened:
        chosen = terms_of(opened, policy, tenant) if policy else policies_like(opened, tenant, product, status)
        title = f"{policy} · {chosen[-1].zone} · {chosen[-1].status}" if policy else ""
        title += f" · {len(chosen)} terms" if policy and len(chosen) > 1 else ""
        weights = score_rules(opened, rules).score
        pages = policy_summaries(opened, chosen, covered.value, weights, since, until)
        empty = f"policy {policy} has no journeys here" if policy else "no journeys of these policies"
        render(_listing(pages, shape, title, empty, form), form, out, limited=not many or top is not None)


def _check_ranking(top: int | None, by: str | None, lowest: bool) -> None:
    if (top is None) is not (by is None):
        raise UsageError("--top and --by belong together", todo="write for example --top 10 --by night_share")
    if lowest and top is None:
        raise UsageError("--lowest needs --top", todo="write for example --top 10 --by score --lowest")


def _grouping(group_by: str | None, period: PeriodName | None) -> tuple[PeriodName, tuple[Any, ...] | None]:
    """(the period, what policies are added up by; None: they are not).

    Raises:
        UsageError: a group of that name does not exist, or two periods are named.
    """
    from journeymesh.journeys.summary_groups import GROUP_NAMES

    if group_by is None:
        return period or PeriodName.month, None
    names = list(dict.fromkeys(name.strip() for name in group_by.split(",")))
    periods = [PeriodName(name) for name in names if name in list(PeriodName)]
    groups = tuple(name for name in GROUP_NAMES if name in names)
    for name in names:
        if name not in (*GROUP_NAMES, *PeriodName, "policy"):
            todo = f"use {', '.join((*GROUP_NAMES, 'policy'))} or a period: {', '.join(PeriodName)}"
            raise UsageError(f"--group-by: unknown group {name!r}", todo=todo)
    if len({*periods, *([period] if period else [])}) > 1:
        raise UsageError("--group-by and --period name two periods", todo="name one")
    covered = periods[0] if periods else period or PeriodName.month
    return covered, None if "policy" in names else groups


def _listing(pages: Iterable[pa.Table], shape: _Shape, title: str, empty: str, form: Format) -> PrintedRows:
    import pyarrow as pa

    from journeymesh.cli.field_columns import BOOK_COLUMNS, GROUP_COLUMNS, SUMMARY_COLUMNS
    from journeymesh.cli.show import chosen_columns
    from journeymesh.journeys.summaries import SUMMARY_SCHEMA
    from journeymesh.journeys.summary_groups import first_of, group_schema, summarise_groups

    shown: Sequence[Column]
    if shape.groups is None:
        whole, shown = SUMMARY_SCHEMA, SUMMARY_COLUMNS if title else BOOK_COLUMNS
    else:
        whole = group_schema(shape.groups)
        shown = [column for column in GROUP_COLUMNS if column.field in whole.names]
        pages = _once(lambda read=pages: summarise_groups(read, shape.groups or (), shape.period.value))
    names = fields_of(shape.columns, whole)
    if shape.columns is not None:
        shown = chosen_columns(shown, names)
    if shape.min_km is not None:
        pages = _of_distance(pages, shape.min_km * 1_000.0)
    if shape.by is not None and shape.top is not None:
        ranked = field_named("--by", shape.by, whole, ranked=True)
        if shape.columns is None and ranked not in [column.field for column in shown[:1]]:
            shown = _with_ranked(shown, ranked)
        pages = _once(lambda read=pages: first_of(read, ranked, shape.top or 1, lowest=shape.lowest))
    if form is Format.table:
        return PrintedRows(
            whole, pages, shown, title, empty, more="more rows: use --top with --by, or --format csv for all"
        )
    schema = pa.schema([whole.field(name) for name in names])
    return PrintedRows(schema, (page.select(names) for page in pages), shown, title, empty)


def _with_ranked(shown: Sequence[Column], ranked: str) -> list[Column]:
    """The columns, of which the one that rows are ranked by is not left out."""

    from journeymesh.cli.show import field_column

    columns = list(shown)
    if ranked not in [column.field for column in columns]:
        columns.insert(1, field_column(ranked))
    return [replace(column, rank=-1) if column.field == ranked else column for column in columns]


def _once(make: Any) -> Iterator[pa.Table]:
    """What ``make`` gives, as pages, made when it is read."""
    made = make()
    if made is not None:
        yield made


def _of_distance(pages: Iterable[pa.Table], metres: float) -> Iterator[pa.Table]:
    import pyarrow.compute as pc

    for page in pages:
        yield page.filter(pc.greater_equal(page["distance_m"], metres))


def _comparable(at: Any) -> datetime | None:
    """A bound as an instant: good enough to see that one lies before the other."""
    return at if at is None or isinstance(at, datetime) else datetime.combine(at, time(0), UTC)


def score_rules(store: Store, named: str | None) -> JourneyRules:
    """The rules whose weights the score takes: those named, else the ones the store's journeys were made with.

    Raises:
        UsageError: the rules cannot be told: the store was filled with a rules file, and none is named.
    """
    from journeymesh.stores.used_rules import load_rules

    used = {rules.digest for rules in store.rules()}
    if named is not None:
        return load_rules(named)
    for rules in VERSIONS.values():
        if not used or rules.digest in used:
            return rules
    configured = load_rules(settings().rules)
    if configured.digest in used:
        return configured
    versions = ", ".join(sorted(rules.version for rules in store.rules()))
    raise UsageError(
        f"the journeys were made with rules {versions}", todo="name their file with --rules, for the score"
    )
