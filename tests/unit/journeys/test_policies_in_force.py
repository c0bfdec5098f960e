"""Which policy a journey belongs to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.builders import NOON, NOW_US, drive, made

from journeymesh.errors import PoliciesInvalid
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import GrowingTimeline, PoliciesByName, Policy, replaced_by
from journeymesh.journeys.policy_conflicts import without_conflicts
from journeymesh.journeys.rules import ENGINE_SWITCHED

FIRST = Policy(number="P1", device="V1", valid_from=NOON - timedelta(days=365), valid_to=NOON, zone="Europe/London",
               tenant="north", product="young")  # fmt: skip
SECOND = Policy(number="P2", device="V1", valid_from=NOON, valid_to=NOON + timedelta(days=365), zone="Europe/Paris")


@pytest.mark.parametrize(("ahead_s", "number"), [(-1, "P1"), (0, "P2"), (1, "P2")])
def test_a_journey_belongs_to_the_policy_in_force_at_its_start(ahead_s, number):
    fixes = drive((10.0, 120), start=NOON + timedelta(seconds=ahead_s))
    (journey,) = made(fixes, ENGINE_SWITCHED, FIRST, SECOND)
    assert journey["policy"] == number


def test_a_policy_is_over_at_the_instant_of_its_end():
    before, at = (drive((10.0, 120), start=NOON + timedelta(seconds=s)) for s in (-1, 0))
    assert made(before, ENGINE_SWITCHED, FIRST)[0]["policy"] == "P1"
    assert made(at, ENGINE_SWITCHED, FIRST)[0]["policy"] is None


def test_tenant_product_and_zone_come_from_the_policy():
    (journey,) = made(drive((10.0, 120), start=NOON - timedelta(hours=1)), ENGINE_SWITCHED, FIRST, SECOND)
    assert (journey["tenant"], journey["product"], journey["zone"]) == ("north", "young", "Europe/London")


def test_fixes_outside_any_policy_are_counted_and_their_journey_is_kept():
    fixes = drive((10.0, 120), start=NOON - timedelta(seconds=60))
    result = make_journeys(fixes, ENGINE_SWITCHED, [FIRST], NOW_US)
    assert result.counts.outside_policy == 61
    (stranger,) = made(drive((10.0, 120), vehicle="V9"), ENGINE_SWITCHED, FIRST)
    assert (stranger["policy"], stranger["tenant"], stranger["zone"]) == (None, None, "UTC")


def test_a_policy_insures_a_device_or_a_vehicle():
    policy = replace(FIRST, device=None, vehicle="VIN7", valid_to=None)
    assert made(drive((10.0, 120), vehicle="VIN7"), ENGINE_SWITCHED, policy)[0]["policy"] == "P1"


def test_each_vehicle_has_its_own_policy():
    other = replace(SECOND, number="P3", device="V2")
    fixes = Fixes.concat([drive((10.0, 120)), drive((10.0, 120), vehicle="V2")])
    assert [j["policy"] for j in made(fixes, ENGINE_SWITCHED, SECOND, other)] == ["P2", "P3"]


def test_of_two_policies_in_force_at_once_one_is_used_or_neither():
    assert without_conflicts([FIRST, SECOND]) == ([FIRST, SECOND], [])
    longer = replace(FIRST, valid_to=NOON + timedelta(seconds=1))
    used, (one, other) = without_conflicts([longer, SECOND])
    assert (used, one.policy, other.policy) == ([], longer, SECOND)
    assert "policy P1 of tenant north and policy P2 of tenant default are both in force for V1" in one.detail
    beside = replace(SECOND, tenant="north")
    used, (late,) = without_conflicts([beside, longer])
    assert (used, late.policy) == ([longer], beside)
    assert late.detail.startswith("policies P1 and P2 are both in force for V1 from")
    assert late.reason.startswith("policies P1 and P2 are both in force for one vehicle from")
    used, (twice,) = without_conflicts([FIRST, replace(FIRST, product="old")])
    assert len(used) == 1
    assert "given twice" in twice.detail


def test_a_policy_renewed_under_its_number_is_two_terms_and_each_has_its_own_journeys():
    renewed = replace(SECOND, number="P1", tenant="north")
    assert without_conflicts([FIRST, renewed]) == ([FIRST, renewed], [])
    fixes = [drive((10.0, 120), start=NOON + timedelta(hours=h)) for h in (-1, 1)]
    first, second = made(Fixes.concat(fixes), ENGINE_SWITCHED, renewed, FIRST)
    assert (first["policy"], second["policy"]) == ("P1", "P1")
    assert (first["policy_from"], second["policy_from"]) == (FIRST.valid_from, NOON)
    assert (first["product"], second["product"]) == ("young", "default")
    assert (first["zone"], second["zone"]) == ("Europe/London", "Europe/Paris")
    _, (refused,) = without_conflicts([replace(FIRST, valid_to=None), renewed])
    assert refused.detail.startswith("two terms of policy P1 are in force for V1 from")


def test_two_tenants_may_use_one_number():
    other = replace(FIRST, device="V2", tenant="south")
    assert without_conflicts([FIRST, other])[1] == []
    fixes = Fixes.concat([drive((10.0, 120), vehicle=name, start=NOON - timedelta(hours=1)) for name in ("V1", "V2")])
    assert [j["tenant"] for j in made(fixes, ENGINE_SWITCHED, FIRST, other)] == ["north", "south"]


def test_a_corrected_beginning_takes_the_place_of_the_term_and_a_renewal_does_not():
    renewed = replace(SECOND, number="P1", tenant="north")
    assert replaced_by([renewed], [FIRST]) == []
    assert replaced_by([FIRST], [FIRST]) == []
    corrected = replace(FIRST, valid_from=FIRST.valid_from + timedelta(days=1))
    assert replaced_by([corrected], [FIRST, renewed]) == [FIRST]
    assert replaced_by([replace(FIRST, tenant="south")], [FIRST, renewed]) == []
    assert replaced_by([replace(corrected, tenant="south")], [FIRST, renewed]) == []
    others = [replace(corrected, number="P9"), replace(corrected, device="V9", vehicle="V1 of another")]
    assert replaced_by(others, [FIRST]) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zone": "Europe/Atlantis"}, "unknown time zone"),
        ({"device": None}, "neither a device nor a vehicle"),
        ({"valid_from": datetime(2024, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"valid_to": datetime(2020, 1, 1, tzinfo=UTC)}, "ends before it begins"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(change, said):
    with pytest.raises(PoliciesInvalid, match=said):
        replace(FIRST, **change)


def test_a_timeline_that_grows_says_what_one_of_all_vehicles_says():
    other = replace(SECOND, number="P3", device="V2", zone="Europe/Paris")
    book = PoliciesByName.of([FIRST, SECOND, other])
    growing = GrowingTimeline(book)
    names = ("V1", "V9", "V2")
    for known in range(1, len(names) + 1):
        grown, whole = growing.of(names[:known]), book.timeline(names[:known])
        assert (grown.policies, grown.zones.names) == (whole.policies, whole.zones.names)
        for column in ("first", "from_us", "to_us", "policy", "zone"):
            assert getattr(grown, column).tolist() == getattr(whole, column).tolist()
            assert getattr(grown, column).dtype == getattr(whole, column).dtype
    assert grown.first.tolist() == [0, 2, 2, 3]
