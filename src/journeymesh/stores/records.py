"""Policies, refusals and runs as flat rows: instants as int64 microseconds, NaN as None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import pyarrow as pa

from journeymesh.instants import from_us, to_us
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA
from journeymesh.stores.port import Run

Row = tuple[Any, ...]

POLICY_COLUMNS: Final = tuple(POLICY_SCHEMA.names)
POLICY_KEY: Final = ("number", "tenant", "valid_from_us")
"""The columns that tell one policy term from another, in the order in which policies are listed and digested."""
REFUSAL_COLUMNS: Final = (*REFUSAL_DIGEST_SCHEMA.names, "origin", "detail", "content")
RUN_COLUMNS: Final = (
    "run_id", "source", "rules_version", "started_at_us", "finished_at_us", "counts", "resume",
)  # fmt: skip


def term_row(term: PolicyTerm) -> tuple[str, str, int]:
    """The term in the order of ``POLICY_KEY``."""
    return term.number, term.tenant, to_us(term.valid_from)


def policy_row(policy: Policy) -> Row:
    """The policy in the order of ``POLICY_COLUMNS``."""
    return (
        policy.number,
        to_us(policy.valid_from),
        _us(policy.valid_to),
        policy.zone,
        policy.device,
        policy.vehicle,
        policy.tenant,
        policy.product,
        policy.status,
        _number(policy.declared_annual_distance_m),
    )


def policy_of(row: Sequence[Any]) -> Policy:
    """The inverse of ``policy_row``."""
    number, valid_from, valid_to, zone, device, vehicle, tenant, product, status, declared = row
    return Policy(
        number=number,
        valid_from=from_us(valid_from),
        valid_to=None if valid_to is None else from_us(valid_to),
        zone=zone,
        device=device,
        vehicle=vehicle,
        tenant=tenant,
        product=product,
        status=status,
        declared_annual_distance_m=declared,
    )


def refusal_row(refusal: Refusal) -> Row:
    """The refusal in the order of ``REFUSAL_COLUMNS``."""
    return (
        refusal.refusal_id,
        refusal.reason,
        refusal.vehicle,
        _us(refusal.fixed_at),
        _number(refusal.lat_deg),
        _number(refusal.lon_deg),
        refusal.origin,
        refusal.detail,
        refusal.content,
    )


def refusal_of(row: Sequence[Any]) -> tuple[str, Refusal]:
    """The (refusal_id, refusal) of a row in the order of ``REFUSAL_COLUMNS``."""
    refusal_id, reason, vehicle, fixed_at, lat_deg, lon_deg, origin, detail, content = row
    instant = None if fixed_at is None else from_us(fixed_at)
    refusal = Refusal(reason, origin, detail, vehicle, instant, lat_deg, lon_deg, content, stored_id=refusal_id)
    return refusal_id, refusal


def run_row(run: Run) -> Row:
    """The run in the order of ``RUN_COLUMNS``, its counts as JSON text."""
    counts = msgspec.json.encode(run.counts, order="sorted").decode()
    started, finished = to_us(run.started_at), _us(run.finished_at)
    return run.run_id, run.source, run.rules_version, started, finished, counts, run.resume


def run_of(row: Sequence[Any]) -> Run:
    """The inverse of ``run_row``."""
    run_id, source, rules_version, started, finished, counts, resume = row
    finished_at = None if finished is None else from_us(finished)
    return Run(run_id, source, rules_version, from_us(started), finished_at, msgspec.json.decode(counts), resume)


def table_from_rows(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """The leading columns of the rows as a table in this schema."""
    if not rows:
        return schema.empty_table()
    columns = list(zip(*rows, strict=True))[: len(schema)]
    return pa.table([pa.array(v, f.type) for v, f in zip(columns, schema, strict=True)], schema=schema)


def _us(instant: datetime | None) -> int | None:
    return None if instant is None else to_us(instant)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
