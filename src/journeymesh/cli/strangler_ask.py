"""``journeymesh strangler ask``: a policy's journeys through the door, as an application gets them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from journeymesh.cli.options import (
    Format,
    FormatOption,
    FromOption,
    LimitOption,
    OutOption,
    TenantOption,
    ToOption,
    check_span,
    instant,
    terms_of,
)
from journeymesh.cli.output import say
from journeymesh.cli.render import PrintedRows, render
from journeymesh.cli.strangler import PlanArgument, opened_plan


def ask(
    plan: PlanArgument,
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Number of the policy.")],
    first: FromOption = None,
    last: ToOption = None,
    tenant: TenantOption = None,
    limit: LimitOption = None,
    form: FormatOption = Format.table,
    out: OutOption = None,
) -> None:
    """List a policy's journeys through the door.

    Which side answered is said on standard error.
    """
    from journeymesh.cli.field_columns import JOURNEY_COLUMNS
    from journeymesh.cli.journeys import paged
    from journeymesh.journeys.journey import JOURNEY_SCHEMA
    from journeymesh.stores.port import JourneyQuery
    from journeymesh.strangler.opened_door import opened_door

    with opened_plan(plan) as installation:
        with opened_door(installation, cached=False) as door:
            found = terms_of(door, policy, tenant)[-1]
            query = JourneyQuery(
                policy=policy,
                tenant=found.tenant,
                started_from=instant("--from", first, found.zone),
                started_to=instant("--to", last, found.zone),
            )
            check_span(query.started_from, query.started_to)
            route = door.routing.of(found)
            listing = PrintedRows(JOURNEY_SCHEMA, paged(door, query, limit), JOURNEY_COLUMNS, empty="no journeys")
            render(listing, form, out, limited=limit is not None)
            where = "in no slice" if route is None else f"slice {route.slice.name}, phase {route.phase}"
            say(f"answered by {'legacy' if route is None else route.answering_name} ({where})", file=sys.stderr)
        if door.answer_counts is not None and door.answer_counts.fault is not None:
            say(f"warning: this read could not be counted: {door.answer_counts.fault}", file=sys.stderr)
