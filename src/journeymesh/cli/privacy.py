"""``journeymesh privacy …``: former customers' data, erased and refused from then on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.access import AccessOption, access_file
from journeymesh.cli.options import Format, StoreOption, instant, opened_store, settings
from journeymesh.cli.output import say, say_json
from journeymesh.errors import NotFound, UsageError

if TYPE_CHECKING:
    from journeymesh.keys.privacy_records import PrivacyRecords
    from journeymesh.keys.sql import SqlKeyStore
    from journeymesh.keys.tombstones import Tombstones
    from journeymesh.privacy.former_customers import FormerCustomer
    from journeymesh.privacy.treatment import Forgetting, Treated
    from journeymesh.stores.row_store import RowStore

app = typer.Typer(
    help="Erase former customers' data in a store, and keep it from coming back; hold what must stay.",
    no_args_is_help=True,
)

NumberArgument = Annotated[str, typer.Argument(metavar="NUMBER", help="The policy's number.")]
TenantNamed = Annotated[str, typer.Option("--tenant", help="The policy's tenant.")]
WhoOption = Annotated[str, typer.Option("--who", help="Who says so: it is recorded.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why: it is recorded.")]


@dataclass(frozen=True, slots=True)
class _Opened:
    keys: SqlKeyStore
    records: PrivacyRecords
    tombstones: Tombstones


@contextmanager
def _opened() -> Iterator[_Opened]:
    """What the settings name.

    Raises:
        UsageError: they do not name all of it.
    """
    from journeymesh.keys.privacy_records import PrivacyRecords
    from journeymesh.wiring.keys import configured_key_store, configured_tombstones

    with ExitStack() as opened:
        keys = configured_key_store(settings())
        opened.callback(keys.close)
        tombstones = configured_tombstones(settings())
        opened.callback(tombstones.close)
        yield _Opened(keys, PrivacyRecords(keys), tombstones)


@app.command("migrate")
def migrate() -> None:
    """Create the key store with its first keys, and the tombstones where they are named; or upgrade their tables."""
    if settings().tombstones is None and settings().sealed:
        _migrate_keys()
        return
    with _opened() as opened:
        opened.keys.migrate()
        opened.tombstones.migrate()
        opened.tombstones.require_ready(opened.keys)
        say(f"key store       ready, {len(opened.keys.treatments())} treatments")
        say(f"tombstones      ready, {opened.tombstones.count()} terms")


def _migrate_keys() -> None:
    from journeymesh.wiring.keys import configured_key_store

    with closing(configured_key_store(settings())) as keys:
        keys.migrate()
        say(f"key store       ready, {len(keys.treatments())} treatments")


@app.command("run")
def run(
    store: StoreOption = None,
    access: AccessOption = None,
    control: Annotated[
        str | None, typer.Option("--control", help="URL of the strangler's control database, where there is one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show who would be treated, and change nothing.")] = False,
    form: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.table,
) -> None:
    """Erase the data of former customers, those whose last term ended long enough ago by the contract.

    From then on the store accepts and returns nothing of them, also after it was restored from a backup. In older
    backups of a sealed store nobody can decrypt their data; in those of a store in clear it stays readable, until you
    delete them.

    It cannot be undone. Stopped, it goes on where it was left when it is run again.
    """
    from journeymesh.cli.store import scrubbed
    from journeymesh.privacy.treatment import PrivacyRun, step_left
    from journeymesh.services.journeyapi.kept_answers import AnswerForgetting, answers_database
    from journeymesh.wiring.access import access_database, audited_treatments
    from journeymesh.wiring.keys import control_forgetting, unguarded

    if form not in (Format.table, Format.json):
        raise UsageError(f"a run cannot be written as {form}", todo="use --format table or json")
    days = _keep_after_end_days(access)
    with _opened() as opened, opened_store(store) as data, ExitStack() as also:
        opened.tombstones.require_ready(opened.keys if dry_run else None)
        row_store = _row_store(data)
        if dry_run:
            if (step := step_left(opened.records)) is not None:
                say(f"a run was left behind step {step}: `privacy run` goes on with it first", file=sys.stderr)
            _show(_customers(opened, unguarded(row_store), days), form)
            return
        _end_renewal(opened, unguarded(row_store))
        row_store.policies()  # a guarded store erases what tombstones cover; from then on the run looks below it
        row_store = unguarded(row_store)
        forgetting: list[Forgetting] = []
        if control is not None:
            forgetting.append(also.enter_context(control_forgetting(control, row_store.policies)))
        answers = also.enter_context(closing(answers_database(access_database(access_file(access)))))
        forgetting.append(AnswerForgetting(answers))
        recorder = also.enter_context(audited_treatments(access_file(access)))
        work = PrivacyRun(
            stores=[row_store],
            keys=opened.keys,
            records=opened.records,
            tombstones=opened.tombstones,
            forgetting=forgetting,
            recorder=recorder,
            retoken=row_store.retoken,
            on_step=lambda step: say(f"step {step}", file=sys.stderr),
        )
        treated = work.treat(lambda: _customers(opened, row_store, days))
        is_scrubbed = treated.treatment is not None and scrubbed(row_store)
    _say_treated(treated, is_scrubbed)


def _say_treated(treated: Treated, is_scrubbed: bool) -> None:
    """Say what the run did."""
    if treated.treatment is None:
        say("nobody is due")
        return
    gone_at = treated.treatment.keys_gone_at
    say(f"treated         {treated.terms} terms, treatment {treated.treatment.treatment_id}")
    say(
        f"erased          {treated.erased.journeys:,} journeys, {treated.erased.history:,} former contents, "
        f"{treated.erased.refusals:,} refusals, {treated.erased.fixes:,} fixes"
    )
    say(f"forgotten       {treated.forgotten:,} rows of the control database and kept answers")
    say(f"secrets         {treated.secrets:,} destroyed")
    say(f"free space      {'written over' if is_scrubbed else 'not written over: run `journeymesh store scrub`'}")
    say(f"former keys     {'none' if gone_at is None else f'gone at {gone_at.isoformat(timespec=_SECONDS)}'}")


@app.command("status")
def status(form: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.table) -> None:
    """Show runs, tombstones, and how much input they refused. Nobody is named."""
    import msgspec

    from journeymesh.privacy.treatment import step_left

    if form not in (Format.table, Format.json):
        raise UsageError(f"the status cannot be written as {form}", todo="use --format table or json")
    with _opened() as opened:
        opened.tombstones.require_ready(opened.keys)
        runs = [each.finished_at for each in opened.keys.treatments()]
        terms, refused, left = opened.tombstones.count(), opened.tombstones.refused(), step_left(opened.records)
    if form is Format.json:
        shown = {"runs": len(runs), "last_run_at": max(runs, default=None), "run_left_behind_step": left}
        say_json(msgspec.json.encode(shown | {"terms": terms, "refused_rows": refused}).decode())
        return
    last = f", the last ended {max(runs).isoformat(timespec=_SECONDS)}" if runs else ""
    say(f"runs            {len(runs)}{last}" + ("" if left is None else f"; one was left behind step {left}"))
    say(f"tombstones      ready, {terms} terms")
    shown_kinds = ", ".join(f"{rows:,} {kind}" for kind, rows in sorted(refused.items()))
    say(f"refused input   {shown_kinds or 'none'}")


@app.command("hold")
def hold(
    number: NumberArgument,
    who: WhoOption,
    why: WhyOption,
    tenant: TenantNamed = "default",
    until: Annotated[
        str | None, typer.Option("--until", help="A date or RFC 3339. Left out: until it is released.")
    ] = None,
) -> None:
    """Keep a policy's data from being treated, whatever the contract says."""
    from journeymesh.privacy.former_customers import LegalHold, PolicyName
    from journeymesh.privacy.treatment import hold as hold_policy

    ends = instant("--until", until)
    if ends is not None and ends <= datetime.now(UTC):
        raise UsageError("--until is over", todo="give a later date")
    with _opened() as opened:
        hold_policy(opened.records, PolicyName(tenant, number), LegalHold(who=who, why=why, until=ends))
    say(f"policy {number} of tenant {tenant} is held{'' if ends is None else f' until {ends.date()}'}")


@app.command("release")
def release(number: NumberArgument, tenant: TenantNamed = "default") -> None:
    """Release a policy that is held."""
    from journeymesh.privacy.treatment import HOLD

    with _opened() as opened:
        if not opened.records.remove(HOLD, (tenant, number)):
            raise NotFound(f"policy {number} of tenant {tenant} is not held", todo="see: journeymesh privacy held")
    say(f"policy {number} of tenant {tenant} is released")


@app.command("held")
def held() -> None:
    """List the policies that are held: who said so, why, until when."""
    from journeymesh.privacy.treatment import HOLD

    with _opened() as opened:
        found = opened.records.all(HOLD)
    for record in found:
        tenant, number = record.name
        body = record.body
        say(f"{number}  tenant {tenant}  until {body['until'] or 'released'}  {body['why']} ({body['who']})")
    if not found:
        say("no policy is held")


@app.command("decide")
def decide(
    number: NumberArgument,
    successor: Annotated[str, typer.Argument(metavar="SUCCESSOR", help="Number of the policy that followed.")],
    who: WhoOption,
    why: WhyOption,
    same_person: Annotated[
        bool, typer.Option("--same-person/--other-person", help="Whose is the policy that followed on the device?")
    ],
    tenant: TenantNamed = "default",
) -> None:
    """Record whether a policy that followed on the same device or vehicle is the same person's. Of these two alone: a
    later one has to be decided by itself."""
    from journeymesh.privacy.treatment import DECISION

    with _opened() as opened:
        name, body = (tenant, number, successor), {"same_person": same_person, "who": who, "why": why}
        opened.records.put(DECISION, name, body)
    whose = "the same person" if same_person else "another person"
    say(f"policies {number} and {successor} of tenant {tenant}: {whose}")


_SECONDS = "seconds"


def _keep_after_end_days(access: Path | None) -> int:
    from journeymesh.wiring.access import keep_after_end_days

    days = keep_after_end_days(access_file(access))
    if days is None:
        raise UsageError(
            "the contract does not say how long a former customer's data is kept",
            todo="give it the custom property keepAfterEndDays",
        )
    return days


def _row_store(store: object) -> RowStore:
    from journeymesh.stores.row_store import RowStore

    if not isinstance(store, RowStore):
        raise UsageError("this kind of store cannot be treated", todo="move its data into SQLite or PostgreSQL")
    return store


def _end_renewal(opened: _Opened, store: RowStore) -> None:
    """Give a sealed store the rest of its new tokens, where the run before was stopped while it did: until then the
    store refuses to be read, and the run that goes on reads it."""
    from journeymesh.privacy.treatment import step_left
    from journeymesh.stores.protected_store import ProtectedStore
    from journeymesh.stores.protecting import is_renewing

    if step_left(opened.records) == "shredded" and isinstance(store, ProtectedStore) and is_renewing(store.inner):
        with opened.records.only_run():
            store.retoken()


def _customers(opened: _Opened, store: RowStore, days: int) -> list[FormerCustomer]:
    from journeymesh.privacy.former_customers import ended_before, former_customers
    from journeymesh.privacy.treatment import DECISION, HOLD, decisions_in, holds_in

    now, records = datetime.now(UTC), opened.records
    # What tombstones cover and a restored store still has was treated: nobody is due by it again.
    policies = opened.tombstones.without_treated(store.policies())
    return former_customers(
        policies,
        ended_before=ended_before(now, days),
        now=now,
        holds=holds_in(records.all(HOLD)),
        decisions=decisions_in(records.all(DECISION)),
    )


def _show(customers: list[FormerCustomer], form: Format) -> None:
    import msgspec

    from journeymesh.privacy.former_customers import CustomerState

    counts = {state.value: sum(each.state is state for each in customers) for state in CustomerState}
    if form is Format.json:
        rows = [
            {
                "tenant": each.policy.tenant,
                "number": each.policy.number,
                "terms": len(each.terms),
                "ended_at": each.ended_at,
                "state": each.state.value,
                "because": each.because,
            }
            for each in customers
        ]
        say_json(msgspec.json.encode({"counts": counts, "customers": rows}).decode())
        return
    say("  ".join(f"{state} {count}" for state, count in counts.items()))
    for each in customers:
        because = f"  {each.because}" if each.because else ""
        terms = f"{len(each.terms)} terms" if len(each.terms) > 1 else "1 term"
        say(f"{each.state:<9}  {each.policy.number}  {each.policy.tenant}  {terms}  {each.ended_at.date()}{because}")
