"""The calls over a whole book of policies: what is sent, and what its answer is read as."""

from __future__ import annotations

from typing import BinaryIO, Final

from journeymesh.client.answers import Rows
from journeymesh.client.calls import EXPORTS, Call, Format, Instant, period_params, rows_of
from journeymesh.client.exchange import Reply, Request
from journeymesh.client.rows import POLICIES, SUMMARIES, ListedPolicy, Summary
from journeymesh.errors import UsageError
from journeymesh.journeys.summaries import Period

MOST_ROWS: Final = 1_000
"""Of a page."""


def policies(
    product: str | None, status: str | None, page_size: int | None, purpose: str | None, after: str | None
) -> Call[Rows[ListedPolicy]]:
    """A page of the policies that may be known."""
    params = _given(product=product, status=status, limit=page_size or MOST_ROWS, cursor=after)
    request = Request(method="GET", path="/v1/policies", template="/v1/policies", params=params, purpose=purpose)
    return Call(request, lambda reply: rows_of(reply, request, ListedPolicy, POLICIES, None))


def summaries(
    period: Period,
    since: Instant | None,
    until: Instant | None,
    product: str | None,
    status: str | None,
    page_size: int | None,
    purpose: str | None,
    after: str | None,
) -> Call[Rows[Summary]]:
    """A page of the summaries of all policies that may be known."""
    given = _given(product=product, status=status, limit=page_size or MOST_ROWS, cursor=after)
    return _summaries({"period": period, **period_params(since, until), **given}, purpose)


def top(
    by: str,
    count: int,
    period: Period,
    since: Instant | None,
    until: Instant | None,
    product: str | None,
    status: str | None,
    lowest: bool,
    purpose: str | None,
) -> Call[Rows[Summary]]:
    """The summaries with the highest or lowest value of a field.

    Raises:
        UsageError: a summary has no such field, or more rows are wanted than a page has.
    """
    if by not in SUMMARIES.names:
        raise UsageError(f"a summary has no field {by!r}", todo=f"use some of {', '.join(SUMMARIES.names)}")
    if not 1 <= count <= MOST_ROWS:
        raise UsageError(f"{count} rows are no ranking", todo=f"ask for 1 to {MOST_ROWS:,}")
    given = _given(product=product, status=status, limit=count, by=by, order="lowest" if lowest else "highest")
    return _summaries({"period": period, **period_params(since, until), **given}, purpose)


def export_summaries(
    period: Period,
    since: Instant | None,
    until: Instant | None,
    product: str | None,
    status: str | None,
    form: Format,
    purpose: str | None,
    into: BinaryIO,
) -> Call[Reply]:
    """The summaries of all policies that may be known, as a file's bytes."""
    if form not in EXPORTS:
        raise UsageError(f"{form!r} is no format of an export", todo=f"use one of {', '.join(EXPORTS)}")
    request = Request(
        method="GET",
        path="/v1/summaries",
        template="/v1/summaries",
        params={"period": period, **period_params(since, until), **_given(product=product, status=status)},
        accept=EXPORTS[form],
        purpose=purpose,
        into=into,
    )
    return Call(request, lambda reply: reply)


def _summaries(params: dict[str, str], purpose: str | None) -> Call[Rows[Summary]]:
    request = Request(method="GET", path="/v1/summaries", template="/v1/summaries", params=params, purpose=purpose)
    return Call(request, lambda reply: rows_of(reply, request, Summary, SUMMARIES, None))


def _given(**params: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in params.items() if value is not None}
