"""Rows that say "this path has this value"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.checks.checking import rules
from journeymesh.delivery.checks.subject import Rendered, Unit
from journeymesh.delivery.checks.values import NOT_SET, VALUES, Expect, ManifestPart


def faults(content: dict[str, Any], **row: Any) -> list[str]:
    """What a row at ``spec.field`` finds in a manifest of dev."""
    held = Rendered({"spec": content}, Unit("service", "journeyapi-app-dev", Path("."), "dev", "journeyapi"))
    part = ManifestPart(held, "the manifest", held.content, environment="dev")
    expected = Expect("rule", lambda _: iter([part]), ("spec", "field"), **row)
    found = list(expected.faults(None))  # type: ignore[arg-type]
    assert all(fault.at == ("spec", "field") for fault in found)
    return [fault.what for fault in found]


def test_an_expected_value_is_no_fault() -> None:
    assert faults({"field": True}, allowed=(True,)) == []


def test_another_value_is_named_beside_the_expected_one() -> None:
    assert faults({"field": False}, allowed=(True,)) == ["the manifest: spec.field is False, not True"]


def test_a_missing_value_is_not_set() -> None:
    assert faults({}, allowed=("Fail",)) == ["the manifest: spec.field is not set, not Fail"]


@pytest.mark.parametrize(("found", "expected"), [(1, True), (0, False), ("true", True)])
def test_a_number_or_a_text_is_no_truth_value(found: Any, expected: bool) -> None:
    assert len(faults({"field": found}, allowed=(expected,))) == 1


def test_an_expected_text_names_the_environment() -> None:
    assert faults({"field": "project-dev"}, allowed=("project-{env}",)) == []
    assert faults({"field": "project-prod"}, allowed=("project-{env}",)) == [
        "the manifest: spec.field is project-prod, not project-dev"
    ]


def test_what_is_forbidden_is_a_fault_and_everything_else_is_none() -> None:
    assert faults({"field": "10m"}, forbidden=NOT_SET) == []
    assert len(faults({"field": 0}, forbidden=NOT_SET)) == 1


def test_every_row_belongs_to_a_rule() -> None:
    assert {value.rule for value in VALUES} <= set(rules())
