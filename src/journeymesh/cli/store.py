"""``journeymesh store``: the store itself."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from journeymesh.cli.options import Format, StoreOption, opened_store, require_schema, settings
from journeymesh.cli.output import say, say_json
from journeymesh.cli.progress import count_progress
from journeymesh.cli.render import PrintedRows, render, replacing
from journeymesh.errors import StoreCorrupt, StoreUnavailable, UsageError
from journeymesh.journeys.answers import plain
from journeymesh.wiring import open_store
from journeymesh.wiring.journeys import bare_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from journeymesh.stores.port import Store
    from journeymesh.stores.row_store import RowStore

app = typer.Typer(help="Migrate, verify, seal, compact and export a store.", no_args_is_help=True)


@app.command("migrate")
def migrate(store: StoreOption = None) -> None:
    """Create the store's schema, or upgrade it to this version's."""

    with closing(open_store(store or settings().store)) as opened:
        before, needs = opened.schema_version()
        opened.migrate()
    say(f"schema {needs}, already up to date" if before == needs else f"schema {before or 'none'} → {needs}")


@app.command("verify")
def verify(
    store: StoreOption = None,
    form: Annotated[Format, typer.Option("--format", help="table or json.")] = Format.table,
) -> None:
    """Check that a store does not contradict itself, and print its digests: equal content, equal digests.

    Where stores are to be sealed, rows that are in clear yet are counted instead, by kind.
    """
    if form not in (Format.table, Format.json):
        raise UsageError(f"a verification cannot be written as {form}", todo="use --format table or json")
    if settings().sealed:
        _require_sealed(store or settings().store, form)
    with opened_store(store) as opened:
        faults = list(_faults(opened))
        schema = opened.schema_version()[0]
        digests = opened.digest()
        rules = sorted({rules.version for rules in opened.rules()})
    if form is Format.json:
        import msgspec

        told: dict[str, Any] = {"schema": schema, "rules": rules, "digests": digests, "faults": faults}
        say_json(msgspec.json.encode(told).decode())
    else:
        lines = [f"schema      {schema}", f"rules       {', '.join(rules) or 'none'}"]
        lines += [f"{part:<11} {digest}" for part, digest in sorted(digests.items())]
        say("\n".join([*lines, *(f"fault       {fault}" for fault in faults)]))
    if faults:
        raise StoreCorrupt(f"the store has {len(faults)} faults, first: {faults[0]}", todo="run `preprocess` again")


def _require_sealed(url: str, form: Format) -> None:
    """Refuse a store that has rows in clear, saying how many of which kind."""
    import msgspec

    from journeymesh.stores.protecting import clear_rows

    with _row_store(url) as bare:
        clear = {kind: count for kind, count in clear_rows(bare).items() if count}
    if not clear:
        return
    if form is Format.json:
        say_json(msgspec.json.encode({"in_clear": clear}).decode())
    else:
        say("\n".join(f"in clear    {count:,} {kind}" for kind, count in clear.items()))
    raise StoreCorrupt(
        f"the store has {sum(clear.values()):,} rows in clear", todo="seal it with: journeymesh store protect"
    )


@contextmanager
def _row_store(url: str) -> Iterator[RowStore]:
    """The store as it stands in the database, closed at the end.

    Raises:
        UsageError: it is a lake, or has another schema than this program. NotFound: there is no such store.
    """
    from journeymesh.stores.row_store import RowStore

    with closing(bare_store(url, must_exist=True)) as opened:
        if not isinstance(opened, RowStore):
            raise UsageError("a lake cannot be sealed", todo="move its data into SQLite or PostgreSQL")
        require_schema(opened, url)
        yield opened


@app.command("protect")
def protect_store(store: StoreOption = None) -> None:
    """Seal what a store has in clear by the key store's keys, and write over what that leaves in the database's files.

    A store that was restored from a backup is given the tokens of the present keys. Stop what uses the store first: it
    is refused until this has come to its end. Stopped, it goes on where it was when it is run again.
    """
    from journeymesh.stores.protecting import protect
    from journeymesh.wiring.keys import configured_key_store, require_sealable

    url = store or settings().store
    with _row_store(url) as bare, closing(configured_key_store(settings())) as keys:
        require_sealable(bare)
        _give_up_treated(bare)
        done = protect(bare, keys)
        is_scrubbed = scrubbed(bare)
    for kind, count in done.rows.items():
        say(f"sealed          {count:,} {kind}")
    if done.unreadable:
        say(f"unreadable      {done.unreadable:,} rows of terms whose secrets were destroyed")
    say(f"free space      {'written over' if is_scrubbed else _NOT_SCRUBBED}")
    if not settings().sealed:
        say("set sealed = true in the settings of everything that opens this store", file=sys.stderr)


def _give_up_treated(bare: RowStore) -> None:
    """Erase what tombstones cover of a store in clear, as a restored one: it would be sealed by secrets that live."""
    from journeymesh.stores.protecting import is_sealed
    from journeymesh.stores.refusing_store import erase_treated
    from journeymesh.wiring.keys import require_ready, tombstones_if_named

    tombstones = tombstones_if_named(settings())
    if tombstones is None:
        return
    with closing(tombstones):
        require_ready(tombstones, settings())
        if not is_sealed(bare):
            erase_treated(bare, tombstones)


@app.command("scrub")
def scrub(store: StoreOption = None) -> None:
    """Write a store's database anew, without what deleted rows left in its files. It locks the store meanwhile."""
    with _row_store(store or settings().store) as bare:
        if not bare.scrub():
            raise StoreUnavailable("the database's log could not be emptied", todo=_NOT_SCRUBBED)
    say("written over")


def scrubbed(store: RowStore) -> bool:
    """Whether the store's database could be written anew, at the end of what stands whether it could or not."""
    try:
        return store.scrub()
    except StoreUnavailable as error:
        say(str(error), file=sys.stderr)
        return False


_NOT_SCRUBBED: Final = "not written over: stop what uses the store, then run `journeymesh store scrub`"


@app.command("compact")
def compact(
    store: StoreOption = None,
    grace_s: Annotated[
        float, typer.Option("--grace-s", min=0.0, help="How long replaced files stay for readers, in seconds.")
    ] = 3600.0,
) -> None:
    """Merge a lake's small files and drop its superseded rows; its content stays as it is."""
    from journeymesh.stores.lake import LakeStore

    with opened_store(store) as opened:
        if not isinstance(opened, LakeStore):
            raise UsageError("this store has nothing to compact", todo="name a lake: --store lake:///FOLDER")
        done = opened.compact(grace_s)
    say(
        f"{done.merged} files merged into {done.made}, {done.dropped_rows} superseded rows dropped, "
        f"{done.removed_files} old files removed"
    )


@app.command("recompute")
def recompute_store(
    rules: Annotated[
        str, typer.Option("--rules", help="Built-in rules (always-on, always-on-2026.1 …) or a YAML file.")
    ],
    store: StoreOption = None,
    allow_mixed_rules: Annotated[
        bool, typer.Option("--allow-mixed-rules", help="Let journeys whose fixes are not kept stay as they are.")
    ] = False,
) -> None:
    """Recompute the store's journeys by other rules, from its kept fixes. It can be stopped and run again."""
    from journeymesh.engines.recompute import recompute
    from journeymesh.stores.used_rules import load_rules

    loaded = load_rules(rules)
    with opened_store(store) as opened, count_progress("vehicles") as on_vehicle:
        report = recompute(opened, loaded, allow_mixed_rules=allow_mixed_rules, on_vehicle=on_vehicle)
    if not report.before:
        say(f"by rules {report.version} already, nothing to do")
        return
    say(f"rules           {', '.join(report.before)} → {report.version}")
    say(f"vehicles        {report.vehicles:,}")
    say(f"journeys        {report.journeys:,} new, {report.changed:,} changed, {report.removed:,} removed")
    if report.lost:
        say(f"not recomputed  {report.lost:,} journeys of {report.lost_vehicles:,} vehicles: their fixes are not kept")


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="A folder to write into, created if missing.")],
    store: StoreOption = None,
) -> None:
    """Write journeys, policies and quarantine as canonical NDJSON, and print the store's digests."""
    from journeymesh.cli.journeys import paged
    from journeymesh.cli.quarantine import refusal_listing
    from journeymesh.journeys.journey import JOURNEY_SCHEMA
    from journeymesh.stores.port import JourneyQuery, RefusalQuery

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {out}: {error.strerror}", todo="name another folder") from error
    with opened_store(store) as opened:
        journeys = PrintedRows(JOURNEY_SCHEMA, paged(opened, JourneyQuery()), ())
        render(journeys, Format.ndjson, out / "journeys.ndjson")
        render(refusal_listing(opened, RefusalQuery()), Format.ndjson, out / "quarantine.ndjson")
        _write_policies(opened, out / "policies.ndjson")
        digests = opened.digest()
    for part, digest in sorted(digests.items()):
        say(f"{part:<11} {digest}")


def _write_policies(store: Store, path: Path) -> None:
    import msgspec

    with replacing(path) as temporary, temporary.open("wb") as file:
        for policy in store.policies():
            file.write(msgspec.json.encode(plain(asdict(policy))) + b"\n")


def _faults(store: Store) -> Iterator[str]:
    """What in the store contradicts itself, in words."""
    from journeymesh.cli.journeys import paged
    from journeymesh.stores.port import JourneyQuery

    has, needs = store.schema_version()
    if has != needs:
        yield f"schema {has}, this program needs {needs}"
    by_version: dict[str, set[str]] = {}
    for rules in store.rules():
        by_version.setdefault(rules.version, set()).add(rules.digest)
    for version, held in sorted(by_version.items()):
        if len(held) > 1:
            yield f"rules version {version} has {len(held)} different contents"
    if len(by_version) > 1:
        yield f"journeys of {len(by_version)} rules versions are mixed: {', '.join(sorted(by_version))}"
    policies = {policy.term for policy in store.policies()}
    last: dict[str, tuple[Any, str]] = {}
    for page in paged(store, JourneyQuery()):
        names = ["journey_id", "vehicle", "policy", "tenant", "policy_from", "started_at", "ended_at", "rules_version"]
        for row in page.select(names).to_pylist():
            if row["policy"] is not None and (row["policy"], row["tenant"], row["policy_from"]) not in policies:
                yield f"journey {row['journey_id']} names a term of policy {row['policy']} that does not exist"
            if row["rules_version"] not in by_version:
                yield f"journey {row['journey_id']} was made by rules {row['rules_version']}, which are not recorded"
            before = last.get(row["vehicle"])
            if before is not None and row["started_at"] < before[0]:
                yield f"journeys {before[1]} and {row['journey_id']} of one vehicle overlap"
            last[row["vehicle"]] = (row["ended_at"], row["journey_id"])
