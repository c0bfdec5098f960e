"""``journeymesh delivery check`` and ``diff``: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome
from tests.support.one_service import needs_kustomize, objects, written

pytestmark = needs_kustomize
CHECK = ("delivery", "check", "--env", "dev")


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    held = objects()
    held["stable"]["spec"]["progressDeadlineSeconds"] = 900
    written(tmp_path, held)
    return tmp_path


def test_a_tree_without_faults_ends_with_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    written(tmp_path)
    assert outcome([*CHECK, "--tree", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "1 renderings checked, no error\n")


def test_a_fault_names_file_line_rule_and_fix_and_ends_with_nine(faulty: Path, capsys: pytest.CaptureFixture[str]):
    assert outcome([*CHECK, "--tree", str(faulty)]) == 9
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first.startswith("customization/services/greeter/base/stable.yaml:")
    assert ": error: progress-deadline: Deployment greeter fails after 900 s (greeter-app-dev)" in first
    assert second == "    fix: set progressDeadlineSeconds to 60 or less"
    assert said.err.startswith("error: 1 fault in the tree: progress-deadline: ")


def test_findings_as_json_have_every_part(faulty: Path, capsys: pytest.CaptureFixture[str]):
    assert outcome([*CHECK, "--tree", str(faulty), "--format", "json"]) == 9
    [fault] = json.loads(capsys.readouterr().out)
    assert set(fault) == {"path", "line", "rule", "what", "fix", "severity", "applications"}
    assert (fault["rule"], fault["severity"]) == ("progress-deadline", "error")


def test_only_the_rules_that_are_asked_for_are_checked(faulty: Path):
    assert outcome([*CHECK, "--tree", str(faulty), "--rule", "image-pinned"]) == 0
    assert outcome([*CHECK, "--tree", str(faulty), "--rule", "nonsense"]) == 3


def test_a_folder_without_a_tree_is_a_wrong_call(tmp_path: Path):
    assert outcome([*CHECK, "--tree", str(tmp_path)]) == 2


def test_a_difference_is_for_people_only(faulty: Path):
    assert outcome([*CHECK, "--tree", str(faulty), "--against", "HEAD", "--format", "json"]) == 2


def test_a_tree_outside_git_has_no_revisions(faulty: Path):
    assert outcome(["delivery", "diff", "HEAD", "--tree", str(faulty)]) == 3
