"""``journeymesh summary``: what a policy's journeys add up to."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import (
    Format,
    FormatOption,
    FromOption,
    OutOption,
    RulesOption,
    StoreOption,
    ToOption,
    check_span,
    instant,
    opened_store,
    policy_of,
)
from journeymesh.cli.render import Listing, render
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from journeymesh.journeys.rules import JourneyRules
    from journeymesh.stores.port import Store


class PeriodName(StrEnum):
    """A period of the policy's local time."""

    day = "day"
    week = "week"
    month = "month"
    term = "term"


def summary(
    policy: Annotated[str, typer.Argument(help="Number of the policy.")],
    period: Annotated[PeriodName, typer.Option("--period", help="What a row covers.")] = PeriodName.month,
    first: FromOption = None,
    last: ToOption = None,
    rules: RulesOption = None,
    store: StoreOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """Show what a policy's journeys add up to in each period."""
    from journeymesh.cli.show import SUMMARY_COLUMNS
    from journeymesh.journeys.summaries import SUMMARY_SCHEMA, summarise
    from journeymesh.stores.port import JourneyQuery

    with opened_store(store) as opened:
        found = policy_of(opened, policy)
        query = JourneyQuery(
            policy=policy,
            started_from=instant("--from", first, found.zone),
            started_to=instant("--to", last, found.zone),
        )
        check_span(query.started_from, query.started_to)
        table = summarise(opened.journeys(query), found, period.value, score_rules(opened, rules).score)
    title = f"{policy} · {found.zone} · {found.status}"
    listing = Listing(SUMMARY_SCHEMA, [table], SUMMARY_COLUMNS, title, empty=f"policy {policy} has no journeys here")
    render(listing, form, out, limited=True)


def score_rules(store: Store, named: str | None) -> JourneyRules:
    """The rules whose weights the score takes: those named, else the ones the store's journeys were made with.

    Raises:
        UsageError: the rules cannot be told: the store was filled with a rules file, and none is named.
    """
    from journeymesh.cli.options import settings
    from journeymesh.journeys.rules import BUILT_IN
    from journeymesh.wiring import load_rules

    used = {rules.digest for rules in store.rules()}
    if named is not None:
        return load_rules(named)
    for rules in BUILT_IN.values():
        if not used or rules.digest in used:
            return rules
    configured = load_rules(settings().rules)
    if configured.digest in used:
        return configured
    versions = ", ".join(sorted(rules.version for rules in store.rules()))
    raise UsageError(
        f"the journeys were made with rules {versions}", todo="name their file with --rules, for the score"
    )
