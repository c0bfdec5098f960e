"""Policies files as people and spreadsheets write them: what is meant is read, and what is not there is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from journeymesh.cli.unmet_policies import why_unmet
from journeymesh.errors import PoliciesInvalid
from journeymesh.journeys.policies import Policy
from journeymesh.sources.name_doubts import like_names, name_doubts
from journeymesh.sources.policies_file import load_policies

JAN = datetime(2024, 1, 1, tzinfo=UTC)
ONE = {"number": "P1", "vehicle": "V1", "valid_from": "2024-01-01"}


def in_file(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", ""),
        ("p.csv", "number,vehicle,valid_from\n"),
        ("p.csv", "\ufeffnumber;vehicle;valid_from\r\n\r\n"),
        ("p.yaml", ""),
        ("p.yaml", "# none yet\n"),
        ("p.yaml", "[]\n"),
        ("p.yaml", "policies:\n"),
        ("p.json", "[]"),
        ("p.json", '{"policies": []}'),
        ("p.ndjson", "\n"),
    ],
)
def test_a_file_without_a_policy_is_told(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(PoliciesInvalid, match="there is no policy in it") as told:
        load_policies(in_file(tmp_path, name, content))
    assert "leave --policies out" in str(told.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "number, vehicle, valid_from\nP1, V1, 2024-01-01\n"),
        ("p.csv", "Number;Vehicle;Valid From\nP1;V1;2024-01-01\n"),
        ("p.csv", "NUMBER\tVEHICLE\tVALID-FROM\nP1\tV1\t2024-01-01\n"),
        ("p.json", json.dumps(ONE)),
        ("p.json", json.dumps({"policies": [ONE]})),
        ("p.yaml", "number: P1\nvehicle: V1\nvalid_from: 2024-01-01\n"),
        ("p.ndjson", json.dumps(ONE)),
    ],
)
def test_names_and_shapes_that_are_beyond_doubt_are_understood(tmp_path: Path, name: str, content: str) -> None:
    read = load_policies(in_file(tmp_path, name, content))
    assert [(one.number, one.vehicle, one.valid_from) for one in read] == [("P1", "V1", JAN)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("P1: {vehicle: V1, valid_from: 2024-01-01}\n", "policies by their numbers"),
        ("P1\n", "text"),
        ("policies: {P1: {vehicle: V1}}\n", "policies by their numbers"),
    ],
)
def test_another_shape_is_told_with_what_to_write(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(PoliciesInvalid, match=f"expected a list of policies, found {found}") as told:
        load_policies(in_file(tmp_path, "p.yaml", content))
    assert "- {number: P-1" in str(told.value)


def test_a_column_that_policies_do_not_have_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(PoliciesInvalid, match="unknown field 'Device ID'"):
        load_policies(in_file(tmp_path, "p.csv", "number,Device ID,valid_from\nP1,V1,2024-01-01\n"))


@pytest.mark.parametrize(
    ("insured", "vehicles", "said"),
    [
        ("000V1", ["V1"], "'000V1' and 'V1' may be the same one"),
        ("b-xy 12", ["BXY12"], "'b-xy 12' and 'BXY12' may be the same one"),
        ("V1 ", ["V2", "V1"], "'V1 ' and 'V1' may be the same one"),
        ("V9", ["V1"], "policies insure 'V9', the source calls its vehicles 'V1'"),
        ("V1", ["V1", "V2"], "those of 'V1' lie outside their policies' valid_from and valid_to"),
    ],
)
def test_policies_that_no_fix_met_are_told_with_why(insured: str, vehicles: list[str], said: str) -> None:
    told = why_unmet([Policy(number="P1", valid_from=JAN, device=insured)], vehicles)
    assert said in told
    assert ("may be the same" in told) == ("may be the same" in said)


def test_only_names_that_are_alike_are_doubted() -> None:
    assert like_names(["V1", "v1", " V1", "V2", "0", "00", "V-2"]) == [("V1", "v1", " V1"), ("V2", "V-2"), ("0", "00")]
    assert name_doubts(["V1", "V2", "V10", "V01x"]) == []
    assert "'V1' and 'v1'" in name_doubts(["V1", "v1"])[0]
