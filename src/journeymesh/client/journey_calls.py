"""The calls of journeyapi. No input or output: both clients carry them out."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Final

import pyarrow as pa

from journeymesh.client import methods
from journeymesh.client.answers import Rows
from journeymesh.client.calls import (
    EXPORTS,
    Call,
    Export,
    Format,
    Instant,
    Listing,
    call,
    export,
    get,
    period_params,
    row_call,
)
from journeymesh.client.exchange import Request
from journeymesh.client.fix_tables import fix_table
from journeymesh.client.rows import (
    FIXES,
    JOURNEYS,
    POLICIES,
    REFUSED_FIXES,
    SUMMARIES,
    Fix,
    Journey,
    ListedPolicy,
    RefusedFix,
    Summary,
)
from journeymesh.errors import UsageError
from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.period_sums import FigurePeriod, Period
from journeymesh.wire import journeys as wire

MOST_ROWS: Final = 1_000
"""Of a page."""
PAGE_ROWS: Final = 100
"""Of a page of a sorted book, which is looked at from its beginning."""


Product = wire.ProductTold
PolicyScore = wire.PolicyScore
PolicyComparison = wire.PolicyComparison
FixRefused = wire.RefusedRow
FixesTaken = wire.TakenFixes


class JourneyCalls:
    """The calls; both clients have them. ``purpose``: why the data is used."""

    purpose: str | None

    @methods.rows
    def journeys(
        self,
        policy: str,
        since: Instant | None = None,
        until: Instant | None = None,
        fields: Sequence[str] | None = None,
        *,
        newest_first: bool = False,
        page_size: int | None = None,
    ) -> Listing[Rows[Journey]]:
        """A policy's journeys that start in ``[since, until)``, oldest first or newest first. Pages are asked for as
        they are read.

        Raises:
            UsageError: a journey has no such field, or an instant has no time zone.
        """
        names = tuple(fields) if fields is not None else None
        if unknown := [name for name in names or () if name not in JOURNEYS.names]:
            raise UsageError(f"a journey has no field {unknown[0]!r}", todo=f"use some of {', '.join(JOURNEYS.names)}")
        chosen = None if names is None else ",".join(names)
        order = "desc" if newest_first else None
        params = {**period_params(since, until), "fields": chosen, "limit": page_size, "order": order}
        request = get("/v1/policies/{policy}/journeys", self.purpose, params, policy=policy)
        return Listing(row_call(request, Journey, JOURNEYS, names))

    @methods.export
    def export(
        self,
        policy: str,
        path: str | PathLike[str],
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        format: Format = "parquet",
    ) -> Export:
        """Write a policy's journeys into a file and return its bytes. On any fault the file is not there."""
        times = period_params(since, until)
        return export(get("/v1/policies/{policy}/journeys", self.purpose, times, policy=policy), format, path)

    @methods.answer
    def summary(
        self, policy: str, period: Period = "month", since: Instant | None = None, until: Instant | None = None
    ) -> Call[Rows[Summary]]:
        """What a policy's journeys add up to in each day, week, month or term, oldest first."""
        params = {"period": period, **period_params(since, until)}
        return row_call(get("/v1/policies/{policy}/summary", self.purpose, params, policy=policy), Summary, SUMMARIES)

    @methods.export
    def export_summary(
        self, policy: str, path: str | PathLike[str], period: Period = "month", *, format: Format = "parquet"
    ) -> Export:
        """Write a policy's summaries into a file and return its bytes. On any fault the file is not there."""
        request = get("/v1/policies/{policy}/summary", self.purpose, {"period": period}, policy=policy)
        return export(request, format, path)

    @methods.answer
    def score(self, policy: str) -> Call[PolicyScore]:
        """The score of the policy's latest term, its parts, and what would raise it."""
        return call(get("/v1/policies/{policy}/score", self.purpose, policy=policy), PolicyScore)

    @methods.answer
    def comparison(
        self, policy: str, period: FigurePeriod = "term", month: str | None = None
    ) -> Call[PolicyComparison]:
        """The policy's figures beside those of the other policies that the caller may know. ``month`` (``2026-11``) is
        the month, or the last one of twelve; None: the present one."""
        params = {"period": period, "month": month}
        return call(get("/v1/policies/{policy}/comparison", self.purpose, params, policy=policy), PolicyComparison)

    @methods.rows
    def policies(
        self, product: str | None = None, status: str | None = None, *, page_size: int | None = None
    ) -> Listing[Rows[ListedPolicy]]:
        """The policies that the caller may know for the purpose, by number. Pages are asked for as they are read."""
        params = {"product": product, "status": status, "limit": page_size or MOST_ROWS}
        return Listing(row_call(get("/v1/policies", self.purpose, params), ListedPolicy, POLICIES))

    @methods.rows
    def summaries(
        self,
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        moved: bool = False,
        page_size: int | None = None,
    ) -> Listing[Rows[Summary]]:
        """What the journeys of all policies that the caller may know add up to, by policy and period. ``moved``: each
        row says what changed most from the month before the last whole one to that, with the period ``term`` alone.

        Raises:
            UsageError: an instant has no time zone.
        """
        limit = page_size or MOST_ROWS
        params = {"period": period, **period_params(since, until), "product": product, "status": status, "limit": limit}
        params |= {"moved": "true"} if moved else {}
        return Listing(row_call(get("/v1/summaries", self.purpose, params), Summary, SUMMARIES))

    @methods.answer
    def top(
        self,
        by: str,
        count: int = 10,
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        lowest: bool = False,
    ) -> Call[Rows[Summary]]:
        """The summaries with the highest value of a field among all policies that the caller may know.

        Raises:
            UsageError: a summary has no such field, or ``count`` is not from 1 to 1,000.
        """
        if by not in SUMMARIES.names:
            raise UsageError(f"a summary has no field {by!r}", todo=f"use some of {', '.join(SUMMARIES.names)}")
        if not 1 <= count <= MOST_ROWS:
            raise UsageError(f"{count} rows are no ranking", todo=f"ask for 1 to {MOST_ROWS:,}")
        ranking = {"limit": count, "by": by, "order": "lowest" if lowest else "highest"}
        params = {"period": period, **period_params(since, until), "product": product, "status": status, **ranking}
        return row_call(get("/v1/summaries", self.purpose, params), Summary, SUMMARIES)

    @methods.rows
    def book(
        self,
        sort: str,
        period: FigurePeriod = "month",
        month: str | None = None,
        *,
        lowest: bool = False,
        least: Mapping[str, float] | None = None,
        most: Mapping[str, float] | None = None,
        policy: str | None = None,
        product: str | None = None,
        status: str | None = None,
        moved: bool = False,
        page_size: int | None = None,
    ) -> Listing[Rows[Summary]]:
        """A row for each term of the policies that the caller may know, sorted by one of ``SORTS``, the highest first.

        ``month`` (``2026-11``) is the month, or the last one of twelve; None: the present one. ``least`` and ``most``
        are bounds by field. ``moved``: each row says what changed most since the period before. Pages are asked for as
        they are read.

        Raises:
            UsageError: a book is not sorted or bounded by such a field.
        """
        for name in (sort, *(least or {}), *(most or {})):
            if name not in SORTS:
                raise UsageError(f"a book is not sorted by {name!r}", todo=f"use some of {', '.join(SORTS)}")
        params: dict[str, Any] = {f"min_{name}": value for name, value in (least or {}).items()}
        params |= {f"max_{name}": value for name, value in (most or {}).items()}
        params |= {"sort": sort, "period": period, "month": month, "order": "lowest" if lowest else "highest"}
        params |= {"policy": policy, "product": product, "status": status, "limit": page_size or PAGE_ROWS}
        params |= {"moved": "true"} if moved else {}
        return Listing(row_call(get("/v1/summaries", self.purpose, params), Summary, SUMMARIES))

    @methods.export
    def export_summaries(
        self,
        path: str | PathLike[str],
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        format: Format = "parquet",
    ) -> Export:
        """Write those summaries into a file and return its bytes. On any fault the file is not there."""
        params = {"period": period, **period_params(since, until), "product": product, "status": status}
        return export(get("/v1/summaries", self.purpose, params), format, path)

    @methods.answer
    def journey(self, journey_id: str) -> Call[Journey]:
        """One journey; the id of one that a late fix replaced leads to its successor."""
        return call(get("/v1/journeys/{journey}", self.purpose, journey=journey_id), Journey)

    @methods.answer
    def track(self, journey_id: str) -> Call[Rows[Fix]]:
        """Where a journey went, fix by fix, as far as its fixes are kept."""
        return row_call(get("/v1/journeys/{journey}/track", self.purpose, journey=journey_id), Fix, FIXES)

    @methods.answer
    def journey_versions(
        self, journey_id: str, *, limit: int | None = None, after: str | None = None
    ) -> Call[wire.JourneyVersions[Journey]]:
        """What a journey was before late fixes changed it, the latest version first, with what the next one has
        otherwise. ``after``: ``next`` of the page before."""
        params = {"limit": limit, "cursor": after}
        request = get("/v1/journeys/{journey}/versions", self.purpose, params, journey=journey_id)
        return call(request, wire.JourneyVersions[Journey])

    @methods.rows
    def journey_refusals(
        self, journey_id: str, *, reason: str | None = None, positions: bool = False, page_size: int | None = None
    ) -> Listing[Rows[RefusedFix]]:
        """The refused fixes of a journey's time by time, and why. ``positions``: with positions, as the track has
        them. Pages are asked for as they are read."""
        request = get(
            "/v1/journeys/{journey}/refusals", self.purpose, _refusal_params(reason, positions, page_size),
            journey=journey_id,
        )  # fmt: skip
        return Listing(row_call(request, RefusedFix, REFUSED_FIXES))

    @methods.rows
    def refusals(
        self,
        policy: str,
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        reason: str | None = None,
        positions: bool = False,
        page_size: int | None = None,
    ) -> Listing[Rows[RefusedFix]]:
        """The refused fixes of a policy's terms in ``[since, until)`` by time, and why. Pages are asked for as they are
        read.

        Raises:
            UsageError: an instant has no time zone.
        """
        params = {**_refusal_params(reason, positions, page_size), **period_params(since, until)}
        request = get("/v1/policies/{policy}/refusals", self.purpose, params, policy=policy)
        return Listing(row_call(request, RefusedFix, REFUSED_FIXES))

    @methods.answer
    def product(self) -> Call[Product]:
        """The data product: contract, freshness, quality."""
        return call(get("/v1/products/journeys"), Product)

    @methods.answer
    def put_fixes(self, fixes: Any, idempotency_key: str | None = None, data: str = "personal") -> Call[FixesTaken]:
        """Hand in fixes: an Arrow table, a Polars or pandas frame, or rows (mappings by column).

        ``data`` is the kind of data: ``personal``, ``treated`` or ``generated``. A service refuses a kind that its
        environment does not admit. Without a key the batch's digest is its key, so the same batch counts once however
        often it is sent.

        Raises:
            UsageError: a column is unknown or missing, or its values have another type.
            TypeError, ValueError: ``fixes`` is neither a table nor an iterable of mappings.
        """
        table = fix_table(fixes)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = sink.getvalue()
        key = idempotency_key or hashlib.blake2b(body, digest_size=16).hexdigest()
        request = Request(
            method="POST",
            path="/v1/fixes",
            template="/v1/fixes",
            headers={"idempotency-key": key, "content-type": EXPORTS["arrow"], "journeymesh-data": data},
            purpose=self.purpose,
            body=body,
        )
        return call(request, FixesTaken)


def _refusal_params(reason: str | None, positions: bool, limit: int | None) -> dict[str, object]:
    return {"reason": reason, "positions": "true" if positions else None, "limit": limit}
