"""``journeymesh report``: a policy's journeys as one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from journeymesh.cli.options import RulesOption, StoreOption, TenantOption, opened_store, terms_of
from journeymesh.cli.output import say
from journeymesh.cli.render import replacing

if TYPE_CHECKING:
    from journeymesh.journeys.fixes import Fixes
    from journeymesh.journeys.policies import Policy
    from journeymesh.journeys.rules import JourneyRules
    from journeymesh.reports.basemap import Basemap
    from journeymesh.stores.port import Store


def report(
    policy: Annotated[str, typer.Argument(help="Number of the policy.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    tenant: TenantOption = None,
    basemap: Annotated[
        str | None,
        typer.Option(
            "--basemap",
            help="Load this map's tiles: https://…/{z}/{x}/{y}.png. Its server learns which areas are viewed.",
        ),
    ] = None,
    basemap_credit: Annotated[
        str | None, typer.Option("--basemap-credit", help="The map's attribution, as shown on it.")
    ] = None,
    rules: RulesOption = None,
    store: StoreOption = None,
) -> None:
    """Write a policy's journeys as one HTML file that needs no network."""
    from journeymesh.cli.summary import score_rules
    from journeymesh.reports.basemap import Basemap

    beneath = None if basemap is None else Basemap.of(basemap, basemap_credit)
    with opened_store(store) as opened:
        write_report(opened, terms_of(opened, policy, tenant), score_rules(opened, rules), out, beneath)
    say(f"report: {out}")


def write_report(
    store: Store, terms: Sequence[Policy], rules: JourneyRules, out: Path, basemap: Basemap | None = None
) -> None:
    """Write the page of a policy with all its terms, whole or not at all."""
    from journeymesh.journeys.summaries import summarise_each
    from journeymesh.reports.page import ReportOptions, policy_report
    from journeymesh.stores.port import JourneyQuery, RefusalQuery

    policy = terms[-1]
    journeys = store.journeys(JourneyQuery(policy=policy.number, tenant=policy.tenant))

    def track(row: dict[str, Any]) -> Fixes | None:
        fixes = store.fixes(row["vehicle"], row["started_at"], row["ended_at"])
        return fixes if len(fixes) else None

    refused: Counter[str] = Counter()
    for term in terms:
        for name in {term.device, term.vehicle} - {None}:
            query = RefusalQuery(vehicle=name, fixed_from=term.valid_from, fixed_to=term.valid_to)
            refused.update(refusal.reason for _, refusal in store.refusals(query))
    page = policy_report(
        policy,
        journeys,
        {
            "term": summarise_each(journeys, terms, "term", rules.score),
            "month": summarise_each(journeys, terms, "month", rules.score),
        },
        track,
        ReportOptions(refused, rules.score, terms=len(terms), basemap=basemap),
    )
    with replacing(out) as temporary:
        temporary.write_text(page, "utf-8")
