"""What moved in each row of the book: the same as computed from both periods' own rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from journeymesh.access.decision import Ask
from journeymesh.governance.obligations import Obligations
from journeymesh.journeys.moves import moved
from journeymesh.journeys.summaries import SEVERAL_VERSIONS
from journeymesh.services.journeyapi.moved_rows import with_moved
from journeymesh.services.journeyapi.sorted_book import every_row
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import StoreBatch
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import Served
from tests.unit.services.test_journeyapi_book import OWN, walked

NOW = datetime.now(UTC)
THIS_MONTH = NOW.replace(day=1, hour=12, minute=0, second=0, microsecond=0)
WHOLE = (THIS_MONTH - timedelta(days=1)).replace(day=1)
BEFORE = (WHOLE - timedelta(days=1)).replace(day=1)
BEGIN = BEFORE - timedelta(days=400)


@pytest.fixture(params=["kept", "computed"])
def keeps_figures(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the store's own figures answer."""
    return bool(request.param == "kept")


def served(
    keeps_figures: bool,
    obligations: Obligations = OWN,
    renewed: datetime = WHOLE + timedelta(days=3),
    former_versions: Sequence[str] = (),
) -> Served:
    """Three policies: one drives more and by night, one less, one as before; the first was renewed in between. Its
    former term's journeys are of these versions in turn; it is lapsed then."""
    policies = [records.policy(f"P-{n}", vehicle=f"car-{n}", valid_from=BEGIN) for n in range(3)]
    policies[0] = replace(policies[0], valid_to=renewed, status="lapsed" if former_versions else "active")
    rows = []
    for n in range(3):
        for month, factor in ((BEFORE - timedelta(days=365), 2.0), (BEFORE, 1.0), (WHOLE, (3.0, 0.4, 1.0)[n])):
            for day in (0, 9, 18):
                start, distance_m = month + timedelta(days=day), 40_000.0 * factor * (1 + n)
                changed: dict[str, Any] = {"policy": f"P-{n}", "policy_from": BEGIN, "distance_m": distance_m}
                changed["night_distance_m"] = 0.1 * factor * distance_m
                if n == 0 and start >= renewed:
                    changed["policy_from"] = renewed
                elif n == 0 and former_versions:
                    changed["rules_version"] = former_versions[len(rows) % len(former_versions)]
                rows.append(records.journey(f"car-{n}", start, **changed))
    store = MemoryStore()
    second = records.policy("P-0", vehicle="car-0", valid_from=renewed)
    store.write(StoreBatch(policies=[*policies, second], journeys=records.journeys(*rows)))
    return Served(store, decisions=Told(obligations), keeps_figures=keeps_figures)


def by_term(rows: list[Any]) -> dict[Any, Any]:
    return {(row["policy"], row["policy_from"]): row for row in rows}


def in_month(api: Served, month: datetime, period: str = "month") -> dict[Any, Any]:
    return by_term(walked(api, f"/v1/summaries?period={period}&month={month:%Y-%m}&sort=journeys", 100))


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_months_row_says_what_moved_since_the_month_before(keeps_figures: bool, limit: int) -> None:
    with served(keeps_figures) as api:
        before, after = in_month(api, BEFORE), in_month(api, WHOLE)
        rows = walked(api, f"/v1/summaries?month={WHOLE:%Y-%m}&sort=distance_m&moved=true", limit)
        assert len(rows) == len(after) == 4
        found = by_term(rows)
        for term, row in after.items():
            assert found[term] == {**row, "moved": moved(before.get(term), row)}, term
        # It drives less, so that as many events are more a kilometre, and a smaller share of it by night.
        assert [each["measure"] for each in found["P-1", iso(BEGIN)]["moved"]] == [
            "harsh_events_per_100km",
            "night_share",
        ]


def test_twelve_months_are_held_against_the_twelve_before(keeps_figures: bool) -> None:
    with served(keeps_figures) as api:
        a_year_ago = WHOLE.replace(year=WHOLE.year - 1)
        before, after = (in_month(api, month, "last_12_months") for month in (a_year_ago, WHOLE))
        rows = walked(api, f"/v1/summaries?month={WHOLE:%Y-%m}&period=last_12_months&sort=score&moved=true", 100)
        assert {term: row["moved"] for term, row in by_term(rows).items()} == {
            term: moved(before.get(term), row) for term, row in after.items()
        }
        assert before


@pytest.mark.parametrize("path", ["/v1/summaries?period=term", "/v1/summaries?period=term&sort=distance_m"])
@pytest.mark.parametrize("limit", [1, 100])
def test_a_terms_row_says_what_moved_in_the_last_whole_month(keeps_figures: bool, path: str, limit: int) -> None:
    with served(keeps_figures) as api:
        before, after = in_month(api, BEFORE), in_month(api, WHOLE)
        rows = walked(api, f"{path}&moved=true", limit)
        assert len(rows) == 4
        expected = {
            (number, begin[:10]): moved(before.get((number, begin)), row) for (number, begin), row in after.items()
        }
        assert {(row["policy"], row["period_from"]): row["moved"] for row in rows} == expected
        assert sum(bool(each) for each in expected.values()) == 2  # the renewed one has nothing before it to compare


def test_a_masked_number_is_never_named_and_a_masked_period_is_not_compared(keeps_figures: bool) -> None:
    hidden = Obligations(rows=OWN.rows, mask=frozenset({"night_share"}))
    with served(keeps_figures, hidden) as api:
        rows = walked(api, "/v1/summaries?period=term&moved=true", 100)
        named = [each["measure"] for row in rows for each in row["moved"] or ()]
        assert "distance_m_per_day" in named
        assert "night_share" not in named
    with served(keeps_figures, Obligations(rows=OWN.rows, mask=frozenset({"period_from"}))) as api:
        assert api.get("/v1/summaries?period=term&moved=true").status_code == 403
        assert api.get("/v1/summaries?period=term&sort=score&moved=true").status_code == 403


def test_what_is_too_old_to_leave_is_not_compared_with(keeps_figures: bool) -> None:
    path = f"/v1/summaries?month={WHOLE:%Y-%m}&sort=journeys"
    with served(keeps_figures) as api:
        assert sum(bool(row["moved"]) for row in walked(api, f"{path}&moved=true", 100)) == 2
    days = (NOW - WHOLE).days + 3
    with served(keeps_figures, Obligations(rows=OWN.rows, retention_days=days)) as api:
        rows = walked(api, f"{path}&moved=true", 100)
        assert [{name: row[name] for name in row if name != "moved"} for row in rows] == walked(api, path, 100)
        assert [row["moved"] for row in rows] == [None] * 4


@pytest.mark.parametrize("renewed", [BEFORE + timedelta(days=20), WHOLE + timedelta(days=3)])
@pytest.mark.parametrize("path", [f"month={WHOLE:%Y-%m}&sort=journeys", "period=term", "period=term&sort=journeys"])
def test_a_term_of_two_rules_versions_that_is_not_listed_refuses_nothing(
    keeps_figures: bool, path: str, renewed: datetime
) -> None:
    with served(keeps_figures, renewed=renewed, former_versions=("r-1", "r-2")) as api:
        plain = walked(api, f"/v1/summaries?{path}&status=active", 100)
        rows = walked(api, f"/v1/summaries?{path}&status=active&moved=true", 100)
        assert [{name: row[name] for name in row if name != "moved"} for row in rows] == plain
        assert {row["policy"]: row["moved"] is None for row in rows} == {"P-0": True, "P-1": False, "P-2": False}


def test_a_listed_term_of_two_rules_versions_refuses_its_page(keeps_figures: bool) -> None:
    with served(keeps_figures, former_versions=("r-1", "r-2")) as api:
        for moved_too in ("", "&moved=true"):
            for status in ("", "&status=lapsed"):
                answer = api.get(f"/v1/summaries?month={WHOLE:%Y-%m}&sort=journeys{status}{moved_too}")
                assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "rules-conflict")


def test_a_listed_term_of_two_rules_versions_is_not_compared(keeps_figures: bool) -> None:
    with served(keeps_figures) as api:
        deps = api.app.state["dependencies"]
        decision = api.decisions.decide("analyst", Ask(product="journeys", capability="summaries:read"))
        policies = deps.known.of(decision, deps.policies.every())
        query = FiguresQuery("default", "month", WHOLE.date(), "journeys", marks_mixed=True)
        rows = every_row(deps, decision, policies, query)
        mixed = rows.set_column(
            rows.column_names.index("rules_version"), "rules_version", pa.array([SEVERAL_VERSIONS] * len(rows))
        )
        assert with_moved(deps, decision, policies, mixed, query)["moved"].to_pylist() == [None] * 4


@pytest.mark.parametrize("query", ["period=month", "period=term&by=score", "period=term&from=2024-01-01T00:00:00Z"])
def test_what_moved_is_said_for_the_book_alone(keeps_figures: bool, query: str) -> None:
    with served(keeps_figures) as api:
        assert api.get(f"/v1/summaries?{query}&moved=true").status_code == 400


def test_as_csv_what_moved_is_its_json(keeps_figures: bool) -> None:
    with served(keeps_figures) as api:
        text = api.get("/v1/summaries?period=term&moved=true", accept="text/csv").text
        assert text.splitlines()[0].endswith('"moved"')
        assert '""measure"":""night_share""' in text


def iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
