"""Which data an environment admits."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.cli.main import outcome
from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.sources.personal_data import DATA_KINDS, PersonalDataRefused, data_kind, require_admitted
from journeymesh.wiring import open_documents, open_source, open_store, open_vehicle_source

MAPPING = """
collection: boxes
{data}
fields:
  vehicle: {{path: device}}
  fixed_at: {{path: t, clock: bson_date}}
  lat: {{path: lat}}
  lon: {{path: lon}}
"""
ADMITTED = {"none": {"generated"}, "treated": {"generated", "treated"}, "allowed": set(DATA_KINDS)}
NOBODY = "mongodb://127.0.0.1:1/fleet?serverSelectionTimeoutMS=100"
ROWS = "vehicle,fixed_at,lat_deg,lon_deg\ncar-1,2024-03-01T12:00:00Z,51.5,-0.1\n"


@pytest.mark.parametrize("label", ADMITTED)
@pytest.mark.parametrize("kind", DATA_KINDS)
def test_each_label_admits_its_kinds_of_data_and_no_other(kind, label):
    if kind in ADMITTED[label]:
        require_admitted(kind, label, "source", mark="--data")
        return
    with pytest.raises(PersonalDataRefused, match=f"personal_data={label}.*--data"):
        require_admitted(kind, label, "source", mark="--data")


def test_a_kind_that_there_is_not_is_no_way_in():
    with pytest.raises(UsageError, match="no kind of data 'fake'"):
        data_kind("fake", "--data")


@pytest.mark.parametrize("opened", [open_source, open_vehicle_source, open_documents])
@pytest.mark.parametrize("mark", ["", "data: personal", "data: treated", "data: generated"])
def test_a_source_that_is_not_marked_as_generated_is_not_even_opened(tmp_path, monkeypatch, opened, mark):
    mapping = tmp_path / "boxes.yaml"
    mapping.write_text(MAPPING.format(data=mark), "utf-8")
    monkeypatch.setenv("JOURNEYMESH_PERSONAL_DATA", "none")
    expected = SourceUnreadable if mark == "data: generated" else PersonalDataRefused
    with pytest.raises(expected):
        opened(NOBODY, mapping)


@pytest.mark.parametrize("label", ["none", "treated"])
def test_preprocess_refuses_with_a_word_and_keeps_nothing(tmp_path: Path, monkeypatch, capfd, label):
    (tmp_path / "fixes.csv").write_text(ROWS, "utf-8")
    monkeypatch.setenv("JOURNEYMESH_PERSONAL_DATA", label)
    store = f"sqlite:///{tmp_path}/journeys.db"
    command = ["preprocess", "--source", str(tmp_path / "fixes.csv"), "--store", store]
    assert outcome(command) == 13
    said = capfd.readouterr().err
    assert f"personal_data={label}" in said
    assert "--data" in said
    assert not (tmp_path / "journeys.db").exists()
    assert outcome([*command, "--data", "personal"]) == 13
    assert outcome([*command, "--data", "fake"]) == 2
    assert outcome([*command, "--data", "generated"]) == 0
    opened = open_store(store)
    assert opened.run_count() == 1
    opened.close()
