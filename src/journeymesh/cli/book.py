"""What the commands over many policies share: which policies, which fields, and what comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import instant
from journeymesh.errors import NotFound, UsageError

if TYPE_CHECKING:
    from datetime import date, datetime

    import pyarrow as pa

    from journeymesh.journeys.policies import Policy
    from journeymesh.stores.port import Store

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only policies of this tenant.")]
ProductOption = Annotated[str | None, typer.Option("--product", help="Only policies of this insurance product.")]
StatusOption = Annotated[str | None, typer.Option("--status", help="Only policies of this status, such as active.")]
ColumnsOption = Annotated[
    str | None, typer.Option("--columns", help="Fields to show, with commas: policy,period_from,distance_m.")
]


def policies_like(store: Store, tenant: str | None, product: str | None, status: str | None) -> list[Policy]:
    """The policies of this tenant, product and status, by number.

    Raises:
        NotFound: no policy has one of them; it is named with those that there are.
    """
    found = store.policies()
    for option, name, wanted in (
        ("--tenant", "tenant", tenant),
        ("--product", "product", product),
        ("--status", "status", status),
    ):
        if wanted is None:
            continue
        known = {getattr(policy, name) for policy in found}
        if wanted not in known:
            some = ", ".join(sorted(known)[:10]) + (", …" if len(known) > 10 else "")
            raise NotFound(
                f"{option} {wanted}: no policy in the store has it",
                todo=f"the store has {some}" if known else "give some to `preprocess` with --policies",
            )
        found = [policy for policy in found if getattr(policy, name) == wanted]
    return found


def fields_of(option: str | None, schema: pa.Schema) -> list[str]:
    """The fields that the option names; all of the schema's where it names none.

    Raises:
        UsageError: the schema has no such field.
    """
    if option is None:
        return list(schema.names)
    names = list(dict.fromkeys(name.strip() for name in option.split(",")))
    for name in names:
        field_named("--columns", name, schema)
    return names


def field_named(option: str, name: str, schema: pa.Schema, *, ranked: bool = False) -> str:
    """The field's name.

    Raises:
        UsageError: the schema has no such field, or (``ranked``) one that is no number.
    """
    import pyarrow as pa

    def is_number(field: pa.Field) -> bool:
        return bool(pa.types.is_integer(field.type) or pa.types.is_floating(field.type))

    known = [field.name for field in schema if not ranked or is_number(field)]
    if name not in known:
        raise UsageError(
            f"{option}: {name!r} is not a {'numeric field' if ranked else 'field'} here", todo=f"use {', '.join(known)}"
        )
    return name


def bound(option: str, text: str | None) -> date | datetime | None:
    """A date, which each policy has on its own clock, or an instant of an RFC 3339 text.

    Raises:
        UsageError: for anything else, naming the option.
    """
    from datetime import date

    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return instant(option, text)
