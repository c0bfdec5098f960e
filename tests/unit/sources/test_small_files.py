"""Small files that people write: mappings, policies and corrections say what stands in them, however it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.text_inputs import MAPPING

from journeymesh.sources.clock_corrections import table_of
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.policies_file import load_policies

IDS = ["0123456", "007", "1_000_000", "12:30:45", "0x12AB", "0b101", "0o17", "01.5e3x", "off", "y"]


@pytest.mark.parametrize("device", IDS)
def test_an_identifier_in_yaml_is_what_stands_there(device: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"- {{number: P1, device: {device}, valid_from: 2024-01-01}}\n")
    (policy,) = load_policies(tmp_path / "p.yaml")
    assert policy.device == device
    mapping = load_mapping(MAPPING.replace("vehicle: {path: dev}", f"vehicle: {{value: {device}}}"))
    assert mapping.fields.vehicle.value == device


def test_numbers_in_yaml_are_numbers(tmp_path: Path) -> None:
    mapping = load_mapping(MAPPING.replace("{path: lat}", "{path: lat, scale: 1.0e-7}"))
    assert mapping.fields.lat.scale == 1e-7
    for text, value in (("12000000", 12e6), ("1.5e7", 15e6), ("15e6", 15e6), ("0", 0.0), (".5", 0.5)):
        (tmp_path / "p.yaml").write_text(
            f"- {{number: 17, device: V1, valid_from: 2024-01-01, declared_annual_distance_m: {text}}}\n"
        )
        (policy,) = load_policies(tmp_path / "p.yaml")
        assert (policy.number, policy.declared_annual_distance_m) == ("17", value)


def test_a_correction_is_of_the_device_that_stands_there() -> None:
    mapping = load_mapping(MAPPING.replace("clock: iso8601", "clock: iso8601, corrections: {0123: 60, 17: -2.5}"))
    assert table_of(mapping.fields.fixed_at) == {"0123": 60.0, "17": -2.5}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_policies_in_csv_are_read_as_spreadsheets_write_them(separator: str, encoding: str, tmp_path: Path) -> None:
    lines = ["number,vehicle,valid_from,product", "P1,Kähler 7,2024-01-01,Größe", "P2,0123,2024-01-01,x"]
    text = "\r\n".join(line.replace(",", separator) for line in lines) + "\r\n"
    (tmp_path / "p.csv").write_bytes(text.encode(encoding))
    first, second = load_policies(tmp_path / "p.csv")
    assert (first.number, first.vehicle, first.product) == ("P1", "Kähler 7", "Größe")
    assert (second.number, second.vehicle) == ("P2", "0123")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("+02:00", "Etc/GMT-2"),
        ("UTC-5", "Etc/GMT+5"),
        ("+00:00", "UTC"),
        ("GMT", "GMT"),
        ("z", "UTC"),
    ],
)
def test_a_policys_zone_has_the_names_that_a_clocks_zone_has(written: str, kept: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(
        json.dumps([{"number": "P1", "device": "V1", "valid_from": "2024-01-01", "zone": written}])
    )
    (policy,) = load_policies(tmp_path / "p.json")
    assert policy.zone == kept


@pytest.mark.parametrize("written", ["+05:30", "Mars/Phobos", "+15:00"])
def test_a_zone_that_policies_cannot_be_kept_with_is_told(written: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(
        json.dumps([{"number": "P1", "device": "V1", "valid_from": "2024-01-01", "zone": written}])
    )
    policies = load_policies(tmp_path / "p.json")
    assert list(policies) == []
    assert [refusal.detail for refusal in policies.refusals] == [f"unknown time zone {written!r}"]
