"""Whose a total is and of which month, what is recorded of a comparison, and what a month's evidence says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.mapping import Mapping as DocumentMapping
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.totals import Total, TotalsMapping, TotalsRead, load_totals, totals_of
from journeymesh.stores.memory import MemoryStore
from journeymesh.strangler.control import Control
from journeymesh.strangler.opinion import NAIVE, TOTALS, Class, Opinion, Verdict, opinions_of, record_opinion
from journeymesh.strangler.policy_book import Member, members_of
from journeymesh.strangler.slices import Selector
from journeymesh.strangler.third_opinion import Comparing, by_policy, sample_of
from tests.support.builders import drive
from tests.support.doors import a_control, fill, route
from tests.support.legacy_double import MemoryLegacy

MAY, JUNE = 2024 * 12 + 4, 2024 * 12 + 5
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
TURN = datetime(2024, 5, 21, tzinfo=UTC)
NOW_US = round(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1e6)
KM = 1000.0


def us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def members(*policies: Policy, selector: Selector | None = None) -> list[Member]:
    return members_of(selector or Selector(), policies)


ONE = Policy(number="P1", device="V1", valid_from=BEGIN, zone="Europe/Berlin")
FORMER = Policy(number="P2", device="V2", valid_from=BEGIN, valid_to=TURN)
LATER = Policy(number="P3", device="V2", valid_from=TURN)
OF_NORTH = Policy(number="P1", tenant="north", device="V9", valid_from=BEGIN)
LAST_EVENING = us(datetime(2024, 5, 31, 22, 30, tzinfo=UTC))  # 2024-06-01 00:30 in Berlin


@pytest.mark.parametrize(
    ("total", "whose"),
    [
        (Total({}, policy="P1", tenant="default", month=MAY), ("P1 of default", MAY)),
        (Total({}, policy="P1", tenant="north", month=MAY), ("P1 of north", MAY)),
        (Total({}, policy="P1", month=MAY), "unclear"),  # two tenants use the number
        (Total({}, policy="P4", month=MAY), "elsewhere"),
        (Total({}, policy="P2", month=MAY), ("P2", MAY)),
        (Total({}, vehicle="V1", month=MAY), ("P1 of default", MAY)),
        (Total({}, vehicle="V1", started_us=LAST_EVENING), ("P1 of default", JUNE)),
        (Total({}, vehicle="V9", started_us=LAST_EVENING), ("P1 of north", MAY)),
        (Total({}, vehicle="V2", month=MAY), "unclear"),  # the vehicle's policy changed inside of it
        (Total({}, vehicle="V2", month=MAY - 1), ("P2", MAY - 1)),
        (Total({}, vehicle="V2", month=JUNE), ("P3", JUNE)),
        (Total({}, vehicle="V2", started_us=us(TURN) - 1), ("P2", MAY)),
        (Total({}, vehicle="V2", started_us=us(TURN)), ("P3", MAY)),
        (Total({}, vehicle="V2", started_us=us(BEGIN) - 1), "elsewhere"),
        (Total({}, vehicle="V7", month=MAY), "elsewhere"),
    ],
)
def test_whose_a_total_is_and_of_which_month(total: Total, whose: tuple[str, int] | str) -> None:
    found = by_policy(TotalsRead([total]), members(ONE, FORMER, LATER, OF_NORTH))
    assert (found.unclear, found.elsewhere) == (int(whose == "unclear"), int(whose == "elsewhere"))
    assert list(found.amounts) == ([whose] if isinstance(whose, tuple) else [])


def test_rows_of_one_month_add_up_and_the_latest_instant_counts() -> None:
    rows = [Total({"distance_m": 5.0, "journeys": 1.0}, policy="P1", month=MAY, computed_us=at) for at in (7, 9, 8)]
    found = by_policy(TotalsRead(rows), members(ONE))
    assert found.amounts == {("P1", MAY): {"distance_m": 15.0, "journeys": 3.0}}
    assert found.computed_us == {("P1", MAY): 9}


@pytest.mark.parametrize(("asked", "size"), [("1", 1), ("20", 20), ("5%", 5), ("100%", 100), ("500", 100), ("0.1%", 1)])
def test_a_sample_is_a_number_or_a_share_and_always_the_same(asked: str, size: int) -> None:
    everybody = members(*(Policy(number=f"P{k}", device=f"V{k}", valid_from=BEGIN) for k in range(100)))
    found = sample_of(everybody, asked)
    assert len(found) == size
    assert found == sample_of(list(reversed(everybody)), asked)


@pytest.mark.parametrize("asked", ["0", "-3", "many", "0%", "101%", "0.5", "", "%"])
def test_what_is_no_sample_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="is not a sample size"):
        sample_of(members(ONE), asked)


class Documents:
    """A legacy database that holds these documents of one collection."""

    def __init__(self, held: Sequence[dict[str, Any]], mapping: DocumentMapping | None = None) -> None:
        self.held, self.asked = held, 0
        self.mapping = mapping or load_mapping(
            "collection: boxes\nfields: {vehicle: {path: v}, fixed_at: {path: t, clock: epoch_s}, "
            "lat: {path: lat}, lon: {path: lon}}\n"
        )

    def documents(self, collection: str) -> Iterator[dict[str, Any]]:
        return iter(self.held)

    def of_vehicles(self, vehicles: Sequence[str]) -> Iterator[dict[str, Any]]:
        self.asked += 1
        return (document for document in self.held if document["v"] in vehicles)


@dataclass(slots=True)
class Whole(MemoryLegacy):
    """A source that gives these fixes with all their columns."""

    fixes: Fixes | None = None

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        assert self.fixes is not None
        yield SourceBatch(self.fixes)


def unreachable() -> NoReturn:
    raise SourceUnreadable("legacy is gone", todo="start it")


def totals_file(folder: Path) -> TotalsMapping:
    (folder / "totals.yaml").write_text(
        "collection: monthly\npolicy: {path: p}\nmonth: {path: m, clock: strftime, format: '%Y-%m'}\n"
        "distance: {path: km, unit: km}\ncomputed_at: {path: made, clock: epoch_s}\n"
    )
    return load_totals(folder / "totals.yaml")


def compared(
    folder: Path, fixes: Fixes, rows: Sequence[dict[str, Any]], *policies: Policy, legacy: Documents | None = None,
    at_us: int = NOW_US,
) -> list[Verdict]:  # fmt: skip
    """What comes of holding a store that was made of these fixes beside these totals."""
    source = Whole(held_policies=list(policies))
    source.fixes = fixes
    store = fill(MemoryStore(), source)
    comparing = Comparing(
        side=store, rules=ALWAYS_ON, target=store, documents=lambda: legacy or unreachable(), at_us=at_us
    )
    found = by_policy(totals_of(rows, totals_file(folder)), members(*policies))
    return list(comparing.hold_beside(members(*policies), found, ("distance_m",)).verdicts)


def km_of(minutes: int, at: datetime, vehicle: str = "V1", **more: Any) -> Fixes:
    """So many minutes at 60 km/h: as many kilometres."""
    return drive((KM / 60, 60 * minutes), start=at, vehicle=vehicle, every_s=5, **more)


NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)


def test_what_agrees_needs_neither_legacy_nor_a_second_look(tmp_path: Path) -> None:
    (verdict,) = compared(tmp_path, km_of(30, NOON), [{"p": "P1", "m": "2024-05", "km": 30}], ONE)
    assert verdict.found is Class.AGREES


def test_a_journey_over_the_end_of_a_month_explains_as_much_as_it_is_long(tmp_path: Path) -> None:
    over = km_of(30, datetime(2024, 5, 31, 21, 45, tzinfo=UTC))  # 23:45 to 00:15 in Berlin
    fixes = Fixes.concat([km_of(30, NOON), over])
    rows = [{"p": "P1", "m": "2024-05", "km": 45}, {"p": "P1", "m": "2024-06", "km": 15}]
    may, june = compared(tmp_path, fixes, rows, ONE)
    assert (may.found, june.found) == (Class.EXPLAINED, Class.EXPLAINED)
    assert may.reason == "journeys cross the month's border"
    may, june = compared(tmp_path, fixes, [rows[0] | {"km": 95}, rows[1]], ONE)
    assert (may.found, june.found) == (Class.DIFFERS, Class.EXPLAINED)


def test_months_that_the_totals_do_not_reach_and_the_present_one_are_not_compared(tmp_path: Path) -> None:
    fixes = Fixes.concat([km_of(30, at) for at in (NOON, NOON + timedelta(days=31), NOON + timedelta(days=62))])
    rows = [{"p": "P1", "m": "2024-06", "km": 10}]
    during_june = us(datetime(2024, 6, 20, tzinfo=UTC))
    found = compared(tmp_path, fixes, rows, ONE, at_us=during_june)
    assert [one.found for one in found] == [Class.NOT_COMPARED] * 3
    assert found[1].reason == "the month is not over"
    assert [one.found for one in compared(tmp_path, fixes, rows, ONE)][1] is Class.DIFFERS


def test_totals_of_a_time_before_the_first_fix_are_explained_only_where_that_is_known(tmp_path: Path) -> None:
    rows = [{"p": "P1", "m": "2024-04", "km": 900}, {"p": "P1", "m": "2024-05", "km": 30}]
    fixes = km_of(30, NOON)
    kept = [{"v": "V1", "t": NOON.timestamp(), "lat": 1.0, "lon": 1.0}]
    earlier = {"v": "V1", "t": NOON.timestamp() - 20 * 86_400, "lat": 1.0, "lon": 1.0}
    unreadable = {"v": "V1", "t": "some day", "lat": 1.0, "lon": 1.0}
    for held, found in (
        (Documents(kept), Class.EXPLAINED),
        (Documents([*kept, earlier]), Class.ONLY_LEGACY),  # there are fixes, and the door has no journey of them
        (Documents([*kept, unreadable]), Class.ONLY_LEGACY),
        (Documents([]), Class.ONLY_LEGACY),
        (None, Class.ONLY_LEGACY),  # legacy cannot be asked
    ):
        april, may = compared(tmp_path, fixes, rows, ONE, legacy=held)
        assert (april.found, may.found) == (found, Class.AGREES)


def test_fixes_that_came_after_the_total_explain_what_the_door_has_more(tmp_path: Path) -> None:
    early, late = km_of(60, NOON), km_of(6, NOON + timedelta(days=3))
    made = NOON + timedelta(days=2)
    both = Fixes.concat([_received(early, None), _received(late, NOON + timedelta(days=9))])
    (verdict,) = compared(tmp_path, both, [{"p": "P1", "m": "2024-05", "km": 60, "made": made.timestamp()}], ONE)
    assert verdict.found is Class.EXPLAINED
    assert "came after the total" in str(verdict.reason)
    after_all = NOON + timedelta(days=12)
    (verdict,) = compared(tmp_path, both, [{"p": "P1", "m": "2024-05", "km": 60, "made": after_all.timestamp()}], ONE)
    assert verdict.found is Class.DIFFERS


def _received(fixes: Fixes, at: datetime | None) -> Fixes:
    column = fixes.fixed_at_us.copy()
    if at is not None:
        column[:] = us(at)
    return replace(fixes, received_at_us=column)


class Refusing:
    """A door that cannot answer."""

    def journeys(self, query: object) -> NoReturn:
        unreachable()


def test_a_policy_that_the_door_cannot_answer_for_is_no_good_one() -> None:
    comparing = Comparing(side=Refusing(), rules=ALWAYS_ON, target=None, documents=unreachable)  # type: ignore[arg-type]
    found = comparing.hold_beside(members(ONE), by_policy(TotalsRead(), members(ONE)), ("distance_m",))
    assert (found.policies, found.good, found.share) == (1, 0, None)
    assert found.verdicts[0].reason == "legacy is gone"


GOOD = Opinion([Verdict("P1", MAY, Class.AGREES), Verdict("P2", MAY, Class.DIFFERS)])


def test_the_last_opinion_of_each_kind_is_recorded(tmp_path: Path) -> None:
    control: Control = a_control(tmp_path, route())
    assert opinions_of(control, route()) == {}
    record_opinion(control, route(), TOTALS, Opinion([]))
    record_opinion(control, route(), NAIVE, GOOD)
    assert (opinions_of(control, route())[TOTALS].share, opinions_of(control, route())[TOTALS].policies) == (None, 0)
    record_opinion(control, route(), TOTALS, GOOD)
    found = opinions_of(control, route())
    assert set(found) == {TOTALS, NAIVE}
    assert (found[TOTALS].good, found[TOTALS].policies, found[TOTALS].share) == (1, 2, 0.5)
    assert found[TOTALS].stale is None
    assert opinions_of(control, route("another")) == {}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"target": "lake"}, "recorded when the slice moved from legacy to embedded"),
        ({"source": "embedded", "target": "lake"}, "recorded when the slice moved from legacy to embedded"),
        ({"selector": Selector(product="van")}, "recorded for another set of policies"),
    ],
)
def test_an_opinion_from_before_a_swap_or_of_another_set_no_longer_counts(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    control = a_control(tmp_path, route())
    record_opinion(control, route(), TOTALS, GOOD)
    assert opinions_of(control, route(**changed))[TOTALS].stale == told
