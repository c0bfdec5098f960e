"""What commands share: options and what they fall back to, opening a store, dates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.errors import NotFound, UsageError
from journeymesh.safe_text import shown_url
from journeymesh.wiring import open_store

if TYPE_CHECKING:
    from journeymesh.journeys.policies import Policy
    from journeymesh.settings import Settings
    from journeymesh.stores.port import JourneyReads, Store


class Format(StrEnum):
    """How a listing is written."""

    table = "table"
    json = "json"
    ndjson = "ndjson"
    csv = "csv"
    parquet = "parquet"
    arrow = "arrow"


StoreOption = Annotated[
    str | None, typer.Option("--store", help="URL of the store, for example sqlite:///journeys.db.")
]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="Mongodump, Parquet, CSV, JSON, GPX, NMEA or mongodb:// URL.")
]
MappingOption = Annotated[str | None, typer.Option("--mapping", help="Mapping file (YAML).")]
RulesOption = Annotated[
    str | None, typer.Option("--rules", help="Built-in rules (always-on, engine-switched) or a YAML file.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to write the listing.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Write to this file.")]
FromOption = Annotated[
    str | None, typer.Option("--from", help="First start: 2019-05-27 (the policy's zone) or RFC 3339.")
]
ToOption = Annotated[str | None, typer.Option("--to", help="Starts before this: a date or RFC 3339.")]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="The policy's tenant, where several use its number.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many.")]


def settings() -> Settings:
    """The settings of this process."""
    from journeymesh.settings import load_settings

    return load_settings()


@contextmanager
def opened_store(url: str | None, *, create: bool = False) -> Iterator[Store]:
    """The store of the option, else of the settings; closed at the end.

    Raises:
        NotFound: there is no such store, or nothing was ever written to it.
        UsageError: it has another schema than this program.
    """

    at = url or settings().store
    with closing(open_store(at, must_exist=not create)) as store:
        has, needs = store.schema_version()
        if not create:
            require_schema(store, at)
        elif has != needs:
            store.migrate()
        yield store


def require_schema(store: Store, url: str) -> None:
    """Refuse a store that was never written to, or is of another version.

    Raises:
        NotFound: it has no schema. UsageError: it has another one than this program.
    """
    has, needs = store.schema_version()
    if has is None:
        raise NotFound(f"store {shown_url(url)} has no journeys", todo="fill it with `journeymesh preprocess`")
    if has != needs:
        raise UsageError(
            f"store {shown_url(url)} has schema {has}, this program needs {needs}",
            todo="run `journeymesh store migrate`",
        )


def terms_of(store: JourneyReads, number: str, tenant: str | None = None) -> list[Policy]:
    """The terms of the policy with this number, the latest last.

    Raises:
        NotFound: naming some policies that are there.
        UsageError: several tenants have a policy of this number, and none of them is named.
    """
    from journeymesh.journeys.policies import by_time

    terms = store.policies(number)
    found = [policy for policy in terms if tenant in (None, policy.tenant)]
    tenants = list(dict.fromkeys(policy.tenant for policy in found))
    if len(tenants) > 1:
        raise UsageError(
            f"policy {number} exists in several tenants: {', '.join(tenants)}", todo="name one with --tenant"
        )
    if found:
        return sorted(found, key=by_time)
    if terms:
        others = ", ".join(dict.fromkeys(policy.tenant for policy in terms))
        raise NotFound(f"tenant {tenant} has no policy {number}", todo=f"tenants with this number: {others}")
    known = list(dict.fromkeys(policy.number for policy in store.policies()))
    some = ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
    todo = f"it has {some}" if known else "it has no policies: give some to `preprocess` with --policies"
    raise NotFound(f"policy {number} is not in the store", todo=todo)


def instant(option: str, text: str | None, zone: str = "UTC") -> datetime | None:
    """The instant of ``2019-05-27`` (midnight in ``zone``) or of an RFC 3339 text with its offset.

    Raises:
        UsageError: for anything else, naming the option.
    """
    from zoneinfo import ZoneInfo

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=ZoneInfo(zone))
        return at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option} {text!r} is not a date", todo="write 2019-05-27 or 2019-05-27T08:30:00Z") from error


def check_span(first: datetime | None, last: datetime | None) -> None:
    """Refuse a span that ends before it begins."""
    if first is not None and last is not None and last <= first:
        raise UsageError("--to is not after --from", todo="give a later --to; it is the first instant left out")
