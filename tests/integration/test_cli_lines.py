"""The three lines that the README promises, as they stand, on real recordings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("JOURNEYMESH_TEST_DATA", ROOT.parent / "shared" / "data"))
DUMP = DATA / "legacy-dump"

pytestmark = pytest.mark.skipif(not DUMP.is_dir(), reason=f"no real recordings at {DATA}")


def journeymesh(*arguments: str) -> str:
    script = "from journeymesh.cli.main import run; run()"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_three_lines_work_with_nothing_but_the_store_they_make(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'journeys.db'}"
    mapping, rules = "examples/mappings/blackbox.yaml", "examples/rules/engine-switched.yaml"
    journeymesh("preprocess", "--source", str(DUMP), "--mapping", mapping, "--rules", rules, "--store", store)
    renewed = json.loads(
        journeymesh("journeys", "list", "--policy", "SBT-000102", "--store", store, "--format", "json")
    )
    lapsed = json.loads(journeymesh("journeys", "list", "--policy", "SBT-000101", "--store", store, "--format", "json"))
    assert len(renewed) + len(lapsed) == 19
    assert min(journey["started_at"] for journey in renewed) >= "2019-05-27T05:00:00Z"
    refused = json.loads(journeymesh("quarantine", "list", "--store", store, "--format", "json"))
    assert all({"reason", "origin", "detail"} <= set(refusal) for refusal in refused)
