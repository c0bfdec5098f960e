"""A run that could use nothing, or almost nothing, of its input does not look as if all were well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.written_sources import MAPPING, Write, as_ndjson, every_source, rows

from journeymesh.cli.main import outcome
from journeymesh.cli.refused_share import share
from journeymesh.errors import UsageError


def preprocess(folder: Path, source: str, *more: str) -> int:
    (folder / "mapping.yaml").write_text(MAPPING)
    store = f"sqlite:///{folder / 'journeys.db'}"
    return outcome(
        ["preprocess", "--source", source, "--mapping", str(folder / "mapping.yaml"), "--store", store, *more]
    )


@every_source
def test_all_refused_ends_with_10_in_every_source_and_the_quarantine_is_written(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(tmp_path, write(tmp_path, rows(30, lat="Nfiftyone"))) == 10
    told = capsys.readouterr()
    assert "30 of 30 inputs were refused" in told.err
    assert "position_unparseable (30), from lat at `lat`" in told.err
    assert "Nfiftyone" in told.err
    store = f"sqlite:///{tmp_path / 'journeys.db'}"
    assert outcome(["quarantine", "list", "--store", store, "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 0


@every_source
def test_a_clock_in_the_wrong_unit_is_blamed_though_each_row_can_be_read(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(tmp_path, write(tmp_path, rows(30, ts="1970-01-20T00:00:00Z"))) == 10
    assert "from fixed_at at `ts`" in capsys.readouterr().err


def test_a_sixth_refused_is_no_failure_and_what_is_too_much_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = as_ndjson(tmp_path, [*rows(50), *rows(10, lat="Nfiftyone")])
    assert preprocess(tmp_path, source) == 0
    assert preprocess(tmp_path, source, "--max-refused", "10%") == 10
    assert "10 of 60 inputs were refused, more than --max-refused 10%" in capsys.readouterr().err
    assert preprocess(tmp_path, source, "--max-refused", "0.2") == 0


def test_what_was_usable_is_written_though_almost_all_was_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preprocess(tmp_path, as_ndjson(tmp_path, [*rows(60), *rows(1940, lat="Nfiftyone")])) == 10
    capsys.readouterr()
    assert outcome(["journeys", "list", "--store", f"sqlite:///{tmp_path / 'journeys.db'}", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_an_empty_source_is_said_and_ends_with_10(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preprocess(tmp_path, as_ndjson(tmp_path, [])) == 10
    assert "has no input at all" in capsys.readouterr().err


def test_whoever_allows_all_to_be_refused_gets_0(tmp_path: Path) -> None:
    assert preprocess(tmp_path, as_ndjson(tmp_path, rows(3, lat="Nfiftyone")), "--max-refused", "100%") == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [("95%", 0.95), ("95 %", 0.95), ("95", 0.95), ("0.95", 0.95), ("0.5%", 0.005), ("0", 0), ("1", 1), ("100", 1)],
)
def test_a_share_is_written_as_a_percentage_or_a_fraction(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "most", "-1", "101%", "nan", "95 percent"])
def test_what_is_no_share_is_refused_before_anything_is_read(text: str) -> None:
    with pytest.raises(UsageError, match="is not a share"):
        share(text)
