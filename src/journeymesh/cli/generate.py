"""``journeymesh generate``: a seeded fleet with its truth."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from journeymesh.cli.output import say
from journeymesh.cli.progress import count_progress
from journeymesh.errors import UsageError


class FleetFormat(StrEnum):
    """What the fleet is written as."""

    mongodump = "mongodump"
    parquet = "parquet"
    csv = "csv"


class OrderName(StrEnum):
    """In which order the fixes stand in the file."""

    clustered = "clustered"
    arrival = "arrival"
    shuffled = "shuffled"


def generate(
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")],
    seed: Annotated[
        int, typer.Option("--seed", help="Random seed; the same seed gives the same fleet, byte for byte.")
    ] = 1,
    vehicles: Annotated[int, typer.Option("--vehicles", help="How many vehicles.")] = 20,
    days: Annotated[int, typer.Option("--days", help="How many days.")] = 28,
    first_day: Annotated[str, typer.Option("--first-day", help="The first day.")] = "2025-03-10",
    profile: Annotated[str, typer.Option("--profile", help="always-on or engine-switched recorders.")] = "always-on",
    interval_s: Annotated[int, typer.Option("--interval-s", help="Seconds between fixes.")] = 1,
    zone: Annotated[list[str] | None, typer.Option("--zone", help="Time zone; may be repeated.")] = None,
    faults: Annotated[
        bool, typer.Option("--faults/--no-faults", help="Whether to add spikes, clock faults and the like.")
    ] = True,
    form: Annotated[FleetFormat, typer.Option("--format", help="The format to write.")] = FleetFormat.mongodump,
    order: Annotated[OrderName, typer.Option("--order", help="The order of the fixes.")] = OrderName.clustered,
) -> None:
    """Generate a fleet of vehicles whose true journeys are known, for trials."""
    from journeymesh.fleets.spec import FaultRates, FleetSpec
    from journeymesh.fleets.writers import write_fleet

    try:
        begins = date.fromisoformat(first_day)
    except ValueError as error:
        raise UsageError(f"--first-day {first_day!r} is not a date", todo="write 2025-03-10") from error
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} already exists", todo="name a folder that is new or empty")
    given: dict[str, Any] = {"zones": tuple(zone)} if zone else {}
    spec = FleetSpec(
        seed=seed,
        vehicles=vehicles,
        days=days,
        first_day=begins,
        profile=profile.replace("-", "_"),  # type: ignore[arg-type]
        interval_s=interval_s,
        faults=FaultRates() if faults else FaultRates.none(),
        **given,
    )
    with count_progress("fixes written") as on_written:
        written = write_fleet(spec, out, format=form.value, order=order.value, on_written=on_written)
    counted = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in written.counts.items())
    say(f"source    {written.source}\ntruth     {written.truth}")
    if written.policies:
        say(f"policies  {written.policies}")
    say(counted)
