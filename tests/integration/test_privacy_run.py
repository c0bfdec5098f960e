"""``privacy run``: former customers' data goes, does not come back, and the others' stays as it was."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from tests.support.builders import drive
from tests.support.rooms_databases import database_url

from journeymesh.cli.main import outcome
from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.ledger.audit import Audit, RecordQuery
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.services.journeyapi.ingest import StoreTaker
from journeymesh.services.journeyapi.kept_answers import answers as answers_table
from journeymesh.services.journeyapi.kept_answers import answers_database, key_of
from journeymesh.settings import load_settings
from journeymesh.stores import protecting
from journeymesh.stores.port import JourneyQuery, RefusalQuery
from journeymesh.stores.sql import SqlStore
from journeymesh.stores.used_rules import rules_for
from journeymesh.wiring import open_store
from journeymesh.wiring.keys import configured_key_store

__all__ = ["database_url"]

FORMER = datetime(2021, 6, 10, 9, tzinfo=UTC)
LATER = datetime(2026, 6, 10, 9, tzinfo=UTC)
FORMER_POLICY = "{number: GONE-1, vehicle: car-1, device: box-1, tenant: acme, valid_from: '%s', valid_to: '%s'}"
OTHERS = """
  - {number: STAYS-1, vehicle: car-1, tenant: acme, valid_from: '2023-01-01T00:00:00Z'}
  - {number: STAYS-2, vehicle: car-2, tenant: acme, valid_from: '2020-01-01T00:00:00Z'}
"""


class Household:
    """A folder with sources, settings and an access file; and the commands over it."""

    def __init__(self, folder: Path, store: str, monkeypatch: pytest.MonkeyPatch, *, sealed: bool) -> None:
        self.folder, self.store, self.sealed = folder, store, sealed
        (folder / "tombstone.key").write_text("07" * 32)
        (folder / "tombstone.key").chmod(0o600)
        for name, value in {
            "KEY_STORE": f"sqlite:///{folder}/keys.db",
            "KEY_PROVIDER": f"local://{folder}/provider.keys",
            "TOMBSTONES": f"sqlite:///{folder}/tombstones.db",
            "TOMBSTONE_KEY": str(folder / "tombstone.key"),
            "ACCESS": str(folder / "access" / "access.yaml"),
            "STORE": store,
            "SEALED": str(sealed).lower(),
        }.items():
            monkeypatch.setenv(f"JOURNEYMESH_{name}", value)
        self.command("access", "init", str(folder / "access"))
        self.command("access", "migrate", str(folder / "access" / "access.yaml"))
        self.command("privacy", "migrate")
        former = [drive((12.0, 600), start=FORMER, vehicle=name, every_s=10) for name in ("car-1", "box-1")]
        stay = [
            drive((12.0, 600), start=LATER, vehicle="car-1", every_s=10),
            drive((12.0, 600), start=FORMER, vehicle="car-2", every_s=10),
            drive((12.0, 600), start=LATER, vehicle="car-2", every_s=10),
        ]
        pq.write_table(pa.concat_tables([each.to_arrow() for each in (*former, *stay)]), folder / "all.parquet")
        pq.write_table(pa.concat_tables([each.to_arrow() for each in stay]), folder / "others.parquet")
        self.policies("all.yaml", FORMER_POLICY % ("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"))
        self.policies("others.yaml", None)

    def policies(self, name: str, former: str | None) -> None:
        first = "" if former is None else f"\n  - {former}"
        (self.folder / name).write_text(f"version: 1\npolicies:{first}{OTHERS}")

    def command(self, *arguments: str, code: int = 0) -> None:
        assert outcome(list(arguments)) == code, arguments

    def fill(self, name: str = "all", policies: str | None = None, store: str | None = None) -> None:
        given = ["--policies", str(self.folder / f"{policies or name}.yaml"), "--store", store or self.store]
        self.command("preprocess", "--source", str(self.folder / f"{name}.parquet"), *given)

    def digest(self, store: str | None = None) -> dict[str, str]:
        opened = open_store(store or self.store)
        try:
            return opened.digest()
        finally:
            opened.close()

    def never_had(self) -> dict[str, str]:
        """The digest of a store that never had the former customer."""
        store = f"sqlite:///{self.folder}/never.db"
        self.fill("others", store=store)
        return self.digest(store)


@pytest.fixture(params=["clear", "sealed"])
def household(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Household:
    return Household(tmp_path, database_url, monkeypatch, sealed=request.param == "sealed")


def run(household: Household) -> None:
    pair = ("GONE-1", "STAYS-1", "--tenant", "acme")
    household.command("privacy", "decide", *pair, "--other-person", "--who", "ann", "--why", "x")
    household.command("privacy", "run")


def answered(household: Household) -> int:
    """How much of the former customer is answered by the store, as every service and command opens it."""
    store = open_store(household.store)
    try:
        journeys = store.journeys(JourneyQuery())
        whose = [row for row in journeys.to_pylist() if row["policy"] == "GONE-1" or row["started_at"] < LATER]
        whose = [row for row in whose if row["vehicle"] != "car-2"]
        fixes = sum(len(store.fixes(name, FORMER - timedelta(days=9), FORMER + timedelta(days=9))) for name in NAMES)
        refusals = [each for _, each in store.refusals(RefusalQuery()) if each.vehicle in NAMES]
        return len(whose) + len(store.policies("GONE-1")) + fixes + len(refusals)
    finally:
        store.close()


NAMES = ("car-1", "box-1")


def test_a_dry_run_shows_who_is_due_and_changes_nothing(
    household: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    household.fill()
    before = household.digest()
    capsys.readouterr()
    household.command("privacy", "run", "--dry-run")
    shown = capsys.readouterr().out
    assert "due 0  held 0  undecided 1" in shown
    assert "STAYS-1 followed on the same device or vehicle" in shown
    household.command("privacy", "run")
    assert "nobody is due" in capsys.readouterr().out
    assert household.digest() == before


def test_a_hold_stops_it_until_it_is_released(household: Household, capsys: pytest.CaptureFixture[str]) -> None:
    household.fill()
    before = household.digest()
    named = ("GONE-1", "--tenant", "acme")
    household.command("privacy", "hold", *named, "--who", "ann", "--why", "case 7", "--until", "2099-01-01")
    run(household)
    assert household.digest() == before
    capsys.readouterr()
    household.command("privacy", "held")
    assert "case 7 (ann)" in capsys.readouterr().out
    household.command("privacy", "release", *named)
    household.command("privacy", "release", *named, code=3)
    household.command("privacy", "run")
    assert answered(household) == 0


def test_what_is_treated_is_gone_and_the_others_are_as_if_it_had_never_been(household: Household) -> None:
    household.fill()
    assert answered(household) > 60
    run(household)
    assert answered(household) == 0
    assert household.digest() == household.never_had()


@pytest.mark.parametrize(
    "bounds",
    [
        ("2021-01-01T00:00:00Z", "2022-01-01T00:00:00Z"),
        ("2020-12-01T00:00:00Z", "2022-02-01T00:00:00Z"),
        ("2021-06-01T00:00:00Z", "2021-07-01T00:00:00Z"),
    ],
)
def test_an_import_brings_nothing_back_whatever_its_bounds(household: Household, bounds: tuple[str, str]) -> None:
    household.fill()
    run(household)
    household.policies("again.yaml", FORMER_POLICY % bounds)
    household.fill("all", "again")
    assert answered(household) == 0
    assert household.digest() == household.never_had()


def test_a_late_fix_of_vehicle_or_device_brings_nothing_back(household: Household) -> None:
    household.fill()
    run(household)
    for name in NAMES:
        late = drive((9.0, 300), start=FORMER + timedelta(hours=5), vehicle=name, every_s=10)
        pq.write_table(late.to_arrow(), household.folder / "late.parquet")
        household.fill("late", "others")
    assert answered(household) == 0


def test_a_restored_store_with_restored_keys_answers_nothing(household: Household) -> None:
    if not household.store.startswith("sqlite"):
        pytest.skip("a file is copied: the restore of a server's database is the same to what reads it")
    household.fill()
    store = Path(household.store.removeprefix("sqlite:///"))
    files = (store, household.folder / "keys.db", household.folder / "provider.keys")
    for file in files:
        shutil.copy(file, f"{file}.backup")
    run(household)
    for file in files:
        shutil.copy(f"{file}.backup", file)
        for more in ("-wal", "-shm"):
            Path(f"{file}{more}").unlink(missing_ok=True)
    assert answered(household) == 0
    assert household.digest() == household.never_had()


@pytest.mark.parametrize("stops_in", ["_renew_some", "_renew_the_rest", "_renew_feed"])
def test_stopped_while_a_sealed_store_is_given_its_tokens_the_command_goes_on(
    household: Household, monkeypatch: pytest.MonkeyPatch, stops_in: str
) -> None:
    if not household.sealed:
        pytest.skip("a store in clear has no tokens")
    household.fill()
    pair = ("GONE-1", "STAYS-1", "--tenant", "acme")
    household.command("privacy", "decide", *pair, "--other-person", "--who", "ann", "--why", "x")

    def stop(*_: object) -> None:
        raise StoreUnavailable("stopped here")

    with monkeypatch.context() as stopped:
        stopped.setattr(protecting, stops_in, stop)
        household.command("privacy", "run", code=5)
    household.command("privacy", "run")
    assert answered(household) == 0
    assert household.digest() == household.never_had()


def test_a_run_that_came_to_its_end_says_so_where_the_database_cannot_be_written_over(
    household: Household, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: object) -> bool:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(SqlStore, "scrub", full)
    household.fill()
    run(household)
    household.command("store", "protect")
    shown = capsys.readouterr()
    assert "treated         1 terms" in shown.out
    assert shown.out.count("free space      not written over") == 2
    assert shown.err.count("the disk is full") == 2


def test_a_restored_store_in_clear_gives_up_what_was_treated_before_it_is_sealed(
    household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    if household.sealed or not household.store.startswith("sqlite"):
        pytest.skip("a file in clear is copied")
    household.fill()
    store = Path(household.store.removeprefix("sqlite:///"))
    shutil.copy(store, f"{store}.backup")
    run(household)
    shutil.copy(f"{store}.backup", store)
    for more in ("-wal", "-shm"):
        Path(f"{store}{more}").unlink(missing_ok=True)
    never = household.never_had()
    monkeypatch.setenv("JOURNEYMESH_SEALED", "true")
    household.command("store", "protect")
    with closing(configured_key_store(load_settings())) as keys:
        assert {str(each.number) for each in keys.subjects() if isinstance(each, PolicyTerm)} == {"STAYS-1", "STAYS-2"}
    assert household.digest() == never


def test_without_its_tombstones_nothing_is_answered_or_taken(household: Household) -> None:
    household.fill()
    run(household)
    (household.folder / "tombstones.db").unlink()
    household.command("journeys", "list", "--policy", "STAYS-2", code=5)
    household.command("privacy", "run", code=5)


def test_it_is_audited_under_a_pseudonym_once_for_each_term(household: Household) -> None:
    household.fill()
    run(household)
    database = next((household.folder / "access").glob("*.db"))
    audit = AuditDatabase(f"sqlite:///{database}")
    records = Audit(audit).query(RecordQuery(kind="privacy.treated"))
    audit.close()
    assert len(records) == 1
    assert set(records[0].body) == {"treatment", "term"}
    assert "GONE-1" not in str(records)


def test_fixes_that_are_handed_in_bring_nothing_back_and_are_counted(
    household: Household, capsys: pytest.CaptureFixture[str]
) -> None:
    household.fill()
    run(household)
    late = [drive((9.0, 300), start=FORMER + timedelta(hours=5), vehicle=name, every_s=10) for name in NAMES]
    store = open_store(household.store)
    try:
        StoreTaker(store, rules_for("always-on", "always-on", [store])).take(Fixes.concat(late), "key-1")
    finally:
        store.close()
    assert answered(household) == 0
    capsys.readouterr()
    household.command("privacy", "status", "--format", "json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["runs"], shown["terms"]) == (1, 1)
    assert shown["refused_rows"]["fixes"] == 62
    assert "GONE" not in str(shown)


def test_after_a_run_no_table_of_any_database_names_it(household: Household) -> None:
    """Every column of every table of store, key store, tombstones, audit and kept answers."""
    household.fill()
    databases = [
        household.store, f"sqlite:///{household.folder}/keys.db", f"sqlite:///{household.folder}/tombstones.db",
        *(f"sqlite:///{each}" for each in (household.folder / "access").glob("*.db")),
    ]  # fmt: skip
    answers = answers_database(databases[-1])
    answers.migrate()
    with answers.writing() as connection:
        for key in ("GONE-1", "box-1", "STAYS-2"):
            values = {"key": key_of(None, key), "request": "0", "body": f'{{"detail":"of {key}"}}'.encode(), "at_us": 1}
            connection.execute(sa.insert(answers_table).values(**values))
    answers.close()
    assert {name for _, name in naming(databases, ("GONE-1", "box-1"))} == {"GONE-1", "box-1"}
    run(household)
    assert naming(databases, ("GONE-1", "box-1")) == set()
    tables = {table for table, _ in naming(databases, ("STAYS-2",))}
    assert tables >= {"journeyapi_answers"} | (set() if household.sealed else {"policies", "journeys"})


def naming(databases: list[str], names: tuple[str, ...]) -> set[tuple[str, str]]:
    """(table, name) of each row in which one of the names stands."""
    found = set()
    for url in databases:
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        metadata = sa.MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            for table in metadata.sorted_tables:
                for row in connection.execute(sa.select(table)):
                    texts = [bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v) for v in row]
                    found |= {(table.name, name) for name in names if any(name in text for text in texts)}
        engine.dispose()
    return found


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
