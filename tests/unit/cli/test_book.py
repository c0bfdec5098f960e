"""Answers over a whole book of policies, on the command line."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.records import journey, journeys, policy

from journeymesh.cli.main import outcome
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.journeys.summaries import SUMMARY_SCHEMA
from journeymesh.stores.port import RulesUsed, StoreBatch
from journeymesh.wiring import open_store

JUNE = datetime(2025, 6, 10, 12, tzinfo=UTC)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with four policies of two tenants and two products: 10, 20, 30 km in June, and 40 km in July."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("JOURNEYMESH_STORE", f"sqlite:///{tmp_path / 'journeys.db'}")
    store = open_store(f"sqlite:///{tmp_path / 'journeys.db'}")
    store.migrate()
    policies = [
        policy("P-1", device="d1", vehicle=None, tenant="north", product="gold", zone="Europe/Berlin"),
        policy("P-2", device="d2", vehicle=None, tenant="north", product="gold", zone="UTC", status="lapsed"),
        policy("P-3", device="d3", vehicle=None, tenant="south", product="basic", zone="UTC"),
        policy("P-4", device="d4", vehicle=None, tenant="south", product="gold", zone="UTC"),
    ]

    def driven(number: int, km: float, start: datetime, night_share: float) -> dict:
        held = policies[number - 1]
        return journey(
            held.device, start, policy=held.number, tenant=held.tenant,
            product=held.product, zone=held.zone, distance_m=km * 1000, night_distance_m=km * 1000 * night_share,
            rules_version=ALWAYS_ON.version,
        )  # fmt: skip

    rows = [
        driven(1, 10.0, JUNE, 0.5),
        driven(2, 20.0, JUNE, 0.1),
        driven(3, 30.0, JUNE, 0.2),
        driven(3, 40.0, JUNE + timedelta(days=30), 0.9),
    ]
    store.write(
        StoreBatch(policies=policies, journeys=journeys(*rows), rules=RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest))
    )
    store.close()
    return tmp_path


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    assert outcome([*arguments, "--format", "json"]) == 0
    rows: list[dict] = json.loads(capsys.readouterr().out)
    return rows


def test_the_top_by_night_share_is_one_command(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(capsys, "summary", "--all", "--period", "term", "--top", "2", "--by", "night_share")
    assert [(row["policy"], row["night_share"]) for row in rows] == [("P-3", 0.6), ("P-1", 0.5)]
    rows = answered(capsys, "summary", "--all", "--period", "term", "--top", "1", "--by", "night_share", "--lowest")
    assert [row["policy"] for row in rows] == ["P-2"]


def test_a_ranking_can_leave_out_who_hardly_drove(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(capsys, "summary", "--all", "--top", "9", "--by", "night_share", "--min-km", "20")
    assert [row["distance_m"] for row in rows] == [40_000.0, 30_000.0, 20_000.0]


def test_km_per_policy_by_month_of_a_product_is_one_command(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        outcome(["summary", "--product", "gold", "--columns", "policy,period_from,distance_m", "--format", "csv"]) == 0
    )
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert rows == [
        {"policy": "P-1", "period_from": "2025-06-01", "distance_m": "10000.0"},
        {"policy": "P-2", "period_from": "2025-06-01", "distance_m": "20000.0"},
    ]


def test_a_book_is_its_policies_one_below_the_other(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = [row for number in ("P-1", "P-2", "P-3") for row in answered(capsys, "summary", number)]
    assert answered(capsys, "summary", "--all") == alone
    assert answered(capsys, "summary", "--tenant", "north", "--status", "lapsed") == alone[1:2]


def test_groups_add_their_policies_up(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(capsys, "summary", "--all", "--group-by", "tenant")
    assert [(r["tenant"], r["period_from"], r["policies"], r["distance_m"], r["night_share"]) for r in rows] == [
        ("north", "2025-06-01", 2, 30_000.0, 0.233333),
        ("south", "2025-06-01", 1, 30_000.0, 0.2),
        ("south", "2025-07-01", 1, 40_000.0, 0.9),
    ]
    months = answered(capsys, "summary", "--all", "--group-by", "month")
    assert [(row["policies"], row["journeys"], row["distance_m"]) for row in months] == [(3, 3, 6e4), (1, 1, 4e4)]
    (whole,) = answered(capsys, "summary", "--all", "--group-by", "term")
    assert (whole["policies"], whole["journeys"], whole["distance_m"]) == (3, 4, 1e5)


def test_a_date_begins_at_midnight_of_each_policys_own_clock(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(f"sqlite:///{book / 'journeys.db'}")
    half_past = datetime(2025, 6, 30, 22, 30, tzinfo=UTC)  # 00:30 on 1 July in Berlin, still June in UTC
    both = [
        journey(device, half_past, policy=number, tenant="north", distance_m=1000.0, rules_version=ALWAYS_ON.version)
        for device, number in (("d1", "P-1"), ("d2", "P-2"))
    ]
    store.write(StoreBatch(journeys=journeys(*both)))
    store.close()
    rows = answered(capsys, "summary", "--all", "--from", "2025-07-01")
    assert [(row["policy"], row["distance_m"]) for row in rows] == [("P-1", 1_000.0), ("P-3", 40_000.0)]
    rows = answered(capsys, "summary", "--all", "--to", "2025-07-01", "--product", "gold")
    assert [(row["policy"], row["distance_m"]) for row in rows] == [("P-1", 10_000.0), ("P-2", 21_000.0)]


def test_a_number_of_two_tenants_needs_the_tenant_and_a_renewed_policy_is_summed_whole(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(f"sqlite:///{book / 'journeys.db'}")
    renewed = policy("P-1", device="d1", vehicle=None, tenant="north", product="silver", valid_from=JUNE)
    other = policy("P-1", device="d9", vehicle=None, tenant="south")
    driven = {"policy": "P-1", "rules_version": ALWAYS_ON.version}
    rows = [
        journey("d1", JUNE + timedelta(days=1), tenant="north", policy_from=JUNE, distance_m=5_000.0, **driven),
        journey("d9", JUNE, tenant="south", distance_m=7_000.0, **driven),
    ]
    store.write(StoreBatch(policies=[renewed, other], journeys=journeys(*rows)))
    store.close()
    for command in (["summary", "P-1"], ["journeys", "list", "--policy", "P-1"], ["report", "P-1", "--out", "x.html"]):
        assert outcome(command) == 2
        assert "policy P-1 exists in several tenants: north, south" in capsys.readouterr().err
        assert outcome([*command, "--tenant", "west"]) == 3
        assert "tenant west has no policy P-1" in capsys.readouterr().err
    assert [row["distance_m"] for row in answered(capsys, "summary", "P-1", "--tenant", "south")] == [7_000.0]
    (june,) = answered(capsys, "summary", "P-1", "--tenant", "north")
    assert (june["journeys"], june["distance_m"], june["product"]) == (2, 15_000.0, "silver")
    terms = answered(capsys, "summary", "P-1", "--tenant", "north", "--period", "term")
    assert [row["distance_m"] for row in terms] == [10_000.0, 5_000.0]
    listed = answered(capsys, "journeys", "list", "--policy", "P-1", "--tenant", "north")
    assert [row["policy_from"] for row in listed] == ["2023-12-02T12:00:00Z", "2025-06-10T12:00:00Z"]
    assert outcome(["report", "P-1", "--tenant", "north", "--out", "x.html"]) == 0
    assert "the latest of 2 terms" in Path("x.html").read_text("utf-8")


def test_a_book_is_written_as_parquet_and_arrow_in_the_schema(book: Path) -> None:
    assert outcome(["summary", "--all", "--format", "parquet", "--out", "book.parquet"]) == 0
    assert outcome(["summary", "--all", "--format", "arrow", "--out", "book.arrow"]) == 0
    table = pq.read_table(book / "book.parquet")
    assert table.schema.equals(SUMMARY_SCHEMA)
    with pa.OSFile(str(book / "book.arrow")) as file:
        assert pa.ipc.open_stream(file).read_all().equals(table)
    assert len(table) == 4


def test_policies_are_listed_by_tenant_product_and_status(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answered(capsys, "policies", "list", "--product", "gold")
    assert [(row["number"], row["tenant"], row["device"]) for row in rows] == [
        ("P-1", "north", "d1"), ("P-2", "north", "d2"), ("P-4", "south", "d4")
    ]  # fmt: skip
    assert [row["number"] for row in answered(capsys, "policies", "list", "--status", "lapsed")] == ["P-2"]
    assert [row["number"] for row in answered(capsys, "policies", "list", "--limit", "1")] == ["P-1"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("summary", 2, "no policy given"),
        ("summary P-1 --all", 2, "exclude each other"),
        ("summary --tenant west", 3, "the store has north, south"),
        ("policies list --status gone", 3, "--status gone"),
        ("summary --all --top 3", 2, "--top 10 --by night_share"),
        ("summary --all --by score", 2, "belong together"),
        ("summary --all --lowest", 2, "--lowest needs --top"),
        ("summary --all --top 3 --by zone", 2, "'zone' is not a numeric field"),
        ("summary --all --columns policy,colour", 2, "'colour' is not a field"),
        ("summary --all --group-by colour", 2, "unknown group 'colour'"),
        ("summary --all --group-by month --period week", 2, "two periods"),
        ("summary --all --from 2025-06-02 --to 2025-06-01", 2, "--to is not after"),
    ],
)
def test_a_question_that_cannot_be_answered_says_so(
    book: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    assert outcome(arguments.split()) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("columns", [30, 40, 80, 200])
@pytest.mark.parametrize("arguments", ["summary --all", "summary P-3", "policies list", "journeys list"])
def test_a_table_is_as_wide_as_the_terminal_and_says_what_it_leaves_out(
    book: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, arguments: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert outcome(arguments.split()) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= columns
    whole = " ".join(told.split())
    assert ("more column" in whole) is (columns < 200)
    assert "…" not in told


def test_a_table_for_a_file_is_eighty_columns_wide(book: Path) -> None:
    assert outcome(["summary", "--all", "--out", "book.txt"]) == 0
    lines = (book / "book.txt").read_text().splitlines()
    assert 60 < max(map(len, lines)) <= 80
    assert "more columns" in " ".join(lines)
