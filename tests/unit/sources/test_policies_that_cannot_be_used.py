"""A policy that cannot be used is refused with its reason, and the others are used, whatever source they come from."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.policy_conflicts import without_conflicts
from journeymesh.sources.bson_policies import policies_of
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.policies_file import load_policies, policies_beside
from journeymesh.sources.policy_reading import UsablePolicies

JAN, MAY, DEC = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 5, 12))
NEXT = datetime(2025, 1, 1, tzinfo=UTC)
FIELDS = """
version: 1
collection: c
layout: document
fields:
  vehicle: {path: dev}
  fixed_at: {path: ts, clock: CLOCK}
  lat: {path: lat}
  lon: {path: lon}
policies:
  collection: policies
  number: {path: number}
  valid_from: {path: from, clock: CLOCK}
  valid_to: {path: to, clock: CLOCK}
  device: {path: device}
  zone: {path: zone}
  declared_annual_distance: {path: km, unit: km}
"""
DOCUMENTS = load_mapping(FIELDS.replace("CLOCK", "bson_date"))
ROWS = load_mapping(FIELDS.replace("CLOCK", "iso8601"))
assert DOCUMENTS.policies is not None
assert ROWS.policies is not None

GOOD: dict[str, Any] = {"number": "P1", "from": JAN, "to": DEC, "device": "V1"}


def of_documents(*documents: dict[str, Any]) -> UsablePolicies:
    """The policies of these documents, each with an ``_id``, as a dump gives them."""
    section = DOCUMENTS.policies
    assert section is not None
    return policies_of([{"_id": n, **document} for n, document in enumerate(documents)], section)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"from": MAY, "to": MAY}, "policy P2 ends before it begins"),
        ({"from": DEC, "to": MAY}, "policy P2 ends before it begins"),
        ({"device": None}, "policy P2 names neither a device nor a vehicle"),
        ({"device": "  "}, "policy P2 names neither a device nor a vehicle"),
        ({"number": None}, "number: the policy has no number"),
        ({"number": 17.5}, "number: 17.5 is a number with a fraction"),
        ({"number": ["P2"]}, "number: expected a text, found array"),
        ({"from": None}, "from: the policy has no beginning"),
        ({"from": "yesterday"}, "from: "),
        ({"to": {"a": 1}}, "to: expected a date, found object"),
        ({"zone": "Mars/Olympus"}, "policy P2: unknown time zone 'Mars/Olympus'"),
        ({"device": {"id": 1}}, "device: expected a text, found object"),
    ],
)
def test_one_that_cannot_be_used_is_refused_and_the_good_one_is_used(changed: dict[str, Any], said: str) -> None:
    found = of_documents(GOOD, GOOD | {"number": "P2", "device": "V2"} | changed)
    assert [policy.number for policy in found] == ["P1"]
    (refusal,) = found.refusals
    assert (refusal.reason, refusal.origin, refusal.vehicle) == ("policy_unusable", "policies/1", None)
    assert refusal.detail.startswith(said)
    assert json.loads(refusal.content or "")["_id"] == {"$numberInt": "1"}


@pytest.mark.parametrize(
    "end",
    [
        DatetimeMS(8_640_000_000_000_000),
        DatetimeMS(253_402_300_800_000),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        "+275760-09-13T00:00:00.000Z",
        "9999-12-31",
        None,
        "",
    ],
)
def test_an_end_beyond_the_calendar_is_no_end(end: Any) -> None:
    (policy,) = of_documents(GOOD | {"to": end})
    assert policy.valid_to is None


def test_numbers_are_the_text_of_what_they_are() -> None:
    oid = bson.ObjectId()
    found = of_documents(
        GOOD | {"number": 100023.0},
        GOOD | {"number": bson.Int64(7), "device": 351756051523999.0},
        GOOD | {"number": oid, "device": "0042"},
        GOOD | {"number": bson.Decimal128("12"), "device": "V4"},
    )
    assert {policy.number: policy.device for policy in found} == {
        "100023": "V1",
        "7": "351756051523999",
        str(oid): "0042",
        "12": "V4",
    }
    assert not found.refusals


def test_a_distance_that_cannot_be_read_is_absent_and_counted() -> None:
    found = of_documents(GOOD | {"km": "lots"}, GOOD | {"number": "P2", "device": "V2", "km": 12_000})
    assert [policy.declared_annual_distance_m for policy in found] == [None, 12_000_000.0]
    (field,) = [one for one in found.fields if one.count.name == "policies.declared_annual_distance"]
    assert (field.count.rows, field.count.found, field.count.unreadable, field.first) == (2, 1, 1, "policies/0")


def test_a_path_that_is_in_no_document_is_counted_as_missing() -> None:
    found = of_documents(GOOD, GOOD | {"number": "P2", "device": "V2"})
    counts = {one.count.name: (one.count.found, one.count.missing) for one in found.fields}
    assert counts["policies.zone"] == (0, 2)
    assert counts["policies.number"] == counts["policies.valid_to"] == (2, 0)


def test_of_two_in_force_at_once_the_one_that_begins_first_is_used_whatever_their_order() -> None:
    given = [
        GOOD,
        GOOD | {"number": "P2", "from": MAY, "to": None},
        GOOD | {"number": "P3", "from": DEC, "to": None},
        GOOD | {"number": "P4", "device": "V2"},
    ]
    for ordered in permutations(given):
        found = of_documents(*ordered)
        assert [policy.number for policy in found] == ["P1", "P3", "P4"]
        (refusal,) = found.refusals
        assert refusal.reason == "policy_contradicts"
        assert refusal.detail.startswith("policies P1 and P2 are both in force for V1 from 2024-05-01T00:00:00+00:00")


def test_one_renewed_under_its_number_is_two_terms_and_one_given_twice_is_one() -> None:
    found = of_documents(GOOD, GOOD | {"from": DEC, "to": NEXT}, GOOD)
    assert [(policy.number, policy.valid_from) for policy in found] == [("P1", JAN), ("P1", DEC)]
    assert not found.refusals
    twice = of_documents(GOOD, GOOD | {"device": "V2"})
    assert [policy.device for policy in twice] == ["V1"]
    assert [refusal.reason for refusal in twice.refusals] == ["policy_contradicts"]


def test_what_stands_is_used_in_any_case() -> None:
    standing = Policy(number="P9", valid_from=DEC, device="V1")
    early = Policy(number="P1", valid_from=JAN, device="V1")
    used, refused = without_conflicts([early, standing], [standing])
    assert used == [standing]
    assert [each.policy for each in refused] == [early]


def test_documents_without_an_id_are_told_apart_and_known_again() -> None:
    bad = GOOD | {"device": None}
    section = DOCUMENTS.policies
    assert section is not None
    ids = {refusal.refusal_id for refusal in policies_of([bad, bad], section).refusals}
    assert len(ids) == 2
    assert {refusal.refusal_id for refusal in policies_of([GOOD, bad, bad], section).refusals} == ids


CSV = """number,from,to,device
P1,2024-01-01T00:00:00Z,2024-12-01T00:00:00Z,V1
P2,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z,V2
P3,2024-01-01T00:00:00Z,,
P4,2024-01-01T00:00:00Z,9999-12-31T00:00:00Z,V4
"""


def test_rows_of_a_file_beside_are_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "policies.csv").write_text(CSV)
    found = policies_beside(str(tmp_path), ROWS)
    assert [(policy.number, policy.valid_to) for policy in found] == [("P1", DEC), ("P4", None)]
    assert [(one.reason, one.origin) for one in found.refusals] == [
        ("policy_unusable", "policies.csv: policy 2"),
        ("policy_unusable", "policies.csv: policy 3"),
    ]
    again = policies_beside(str(tmp_path), ROWS)
    assert [one.refusal_id for one in again.refusals] == [one.refusal_id for one in found.refusals]


def test_so_are_those_of_a_policies_file(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(CSV.replace("from", "valid_from").replace(",to,", ",valid_to,"))
    found = load_policies(tmp_path / "mine.csv")
    assert [(policy.number, policy.valid_to) for policy in found] == [("P1", DEC), ("P4", None)]
    assert [one.detail for one in found.refusals] == [
        "policy P2 ends before it begins",
        "policy P3 names neither a device nor a vehicle",
    ]
    (tmp_path / "mine.json").write_text(
        '[{"number": 17.0, "valid_from": "2024-01-01", "device": 351756051523999.0}, 7]'
    )
    found = load_policies(tmp_path / "mine.json")
    assert [(policy.number, policy.device) for policy in found] == [("17", "351756051523999")]
    assert [one.detail for one in found.refusals] == ["expected keys and values, found number"]


@pytest.mark.parametrize("zone", ["Europe", "../etc", "Europe/" + "x" * 5_000, "/etc/passwd", "a\0b", "Europe/"])
def test_a_zone_that_is_a_folder_or_no_name_at_all_refuses_its_policy_alone(zone: str, tmp_path: Path) -> None:
    """With dates, which are read in that zone, and with instants."""
    good = {"number": "P1", "valid_from": "2024-01-01", "device": "V1"}
    bad = [good | {"number": f"P{n}", "valid_from": begins, "zone": zone} for n, begins in
           ((2, "2024-01-01"), (3, "2024-01-01T00:00:00Z"))]  # fmt: skip
    (tmp_path / "policies.yaml").write_text(json.dumps([good, *bad]))
    read = load_policies(tmp_path / "policies.yaml")
    assert [policy.number for policy in read] == ["P1"]
    assert len(read.refusals) == 2
    assert all("unknown time zone" in refusal.detail for refusal in read.refusals)


ODD: tuple[Any, ...] = (
    None, True, -1, bson.Int64(2**63 - 1), 1e300, math.inf, math.nan, 0.5, "", " ", "a\0b", "x" * 10_000, "/etc",
    "../..", "Europe", ".", "utc\n", "1e9", "2024-13-45", "9999-01-01", "0001-01-01T00:00:00+23:59", [1], [], {},
    {"a": 1}, [[{"a": [1]}]], b"\xff\0", b"",
    *(bson.Decimal128(text) for text in ("NaN", "sNaN", "Infinity", "1E+6000", "0.5")),
    bson.Regex("a"), bson.Code("x"), bson.Code("x", {"a": 1}), bson.MinKey(), bson.Timestamp(2**32 - 1, 1),
    bson.DBRef("a", 1), bson.ObjectId(b"0" * 12), bson.Binary(b"1" * 16, 4), DatetimeMS(2**63 - 1),
    DatetimeMS(-(2**63)), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC),
)  # fmt: skip


@pytest.mark.parametrize("field", ["number", "from", "to", "device", "zone", "km"])
@pytest.mark.parametrize("clock", ["bson_date", "iso8601", "epoch_s"])
def test_no_value_of_any_field_keeps_another_policy_from_being_used(field: str, clock: str) -> None:
    section = load_mapping(FIELDS.replace("CLOCK", clock)).policies
    assert section is not None
    begin = {"bson_date": JAN, "iso8601": "2024-01-01", "epoch_s": int(JAN.timestamp())}[clock]
    fine = {"_id": 0, "number": "P1", "from": begin, "device": "V1"}
    for value in ODD:
        odd = bson.encode(fine | {"_id": 1, "number": "P2", "device": "V2"} | {field: value})
        found = policies_of([bson.encode(fine), odd], section)
        assert ("P1", "V1") in [(policy.number, policy.device) for policy in found], value
        assert len(found) + len(found.refusals) == 2, value
        assert len(found.unusable) == len(found.refusals), value


@pytest.mark.parametrize("at", [0, 1])
def test_text_that_is_none_refuses_its_document_alone(at: int) -> None:
    section = DOCUMENTS.policies
    assert section is not None
    broken = bson.encode({"_id": 7, **GOOD, "number": "P2", "zone": "XX"}).replace(b"XX\0", b"\xff\xfe\0")
    documents = [bson.encode({"_id": 1, **GOOD})]
    documents.insert(at, broken)
    found = policies_of(documents, section)
    assert [policy.number for policy in found] == ["P1"]
    (refusal,) = found.refusals
    assert (refusal.reason, refusal.origin) == ("policy_unusable", "policies/7")
    assert refusal.detail == "the document cannot be decoded"
    assert base64.b64decode(json.loads(refusal.content or "")["$binary"]["base64"]) == broken


def test_why_one_cannot_be_used_is_told_without_its_values() -> None:
    found = of_documents(
        GOOD | {"device": {"owner": "Jane"}},
        GOOD | {"number": "P2", "device": "V2", "zone": "Jane"},
        GOOD | {"number": "P3", "from": "Jane"},
        GOOD | {"number": None},
        GOOD | {"number": "P5", "device": "Jane"},
        GOOD | {"number": "P6", "device": "Jane", "from": MAY},
    )
    assert [(each.number, each.reason) for each in found.unusable] == [
        ("P1", "its device cannot be read (field device)"),
        ("P2", "its time zone is unknown"),
        ("P3", "its valid_from cannot be read (field from)"),
        (None, "it has no number"),
        (
            "P6",
            "policies P5 and P6 are both in force for one vehicle from 2024-05-01T00:00:00+00:00: "
            "the one that begins first is used",
        ),
    ]
    assert [each.refusal_id for each in found.unusable] == [refusal.refusal_id for refusal in found.refusals]
