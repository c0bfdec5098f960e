"""``journeymesh report``: a policy's journeys as one page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from journeymesh.cli.options import RulesOption, StoreOption, opened_store, policy_of

if TYPE_CHECKING:
    from journeymesh.journeys.fixes import Fixes
    from journeymesh.journeys.policies import Policy
    from journeymesh.journeys.rules import JourneyRules
    from journeymesh.stores.port import Store


def report(
    policy: Annotated[str, typer.Argument(help="Number of the policy.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    rules: RulesOption = None,
    store: StoreOption = None,
) -> None:
    """Write a policy's journeys as one HTML file that needs no network."""
    from journeymesh.cli.summary import score_rules

    with opened_store(store) as opened:
        write_report(opened, policy_of(opened, policy), score_rules(opened, rules), out)
    print(f"report: {out}")


def write_report(store: Store, policy: Policy, rules: JourneyRules, out: Path) -> None:
    """Write the page of a policy, whole or not at all."""
    from journeymesh.cli.render import replacing
    from journeymesh.journeys.summaries import summarise
    from journeymesh.reports.page import policy_report
    from journeymesh.stores.port import JourneyQuery, RefusalQuery

    journeys = store.journeys(JourneyQuery(policy=policy.number))

    def track(row: dict[str, Any]) -> Fixes | None:
        fixes = store.fixes(row["vehicle"], row["started_at"], row["ended_at"])
        return fixes if len(fixes) else None

    refused: Counter[str] = Counter()
    for name in {policy.device, policy.vehicle} - {None}:
        query = RefusalQuery(vehicle=name, fixed_from=policy.valid_from, fixed_to=policy.valid_to)
        refused.update(refusal.reason for _, refusal in store.refusals(query))
    page = policy_report(
        policy,
        journeys,
        {
            "term": summarise(journeys, policy, "term", rules.score),
            "month": summarise(journeys, policy, "month", rules.score),
        },
        track,
        refusals=refused,
        score_rules=rules.score,
    )
    with replacing(out) as temporary:
        temporary.write_text(page, "utf-8")
