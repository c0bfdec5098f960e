"""Manifests of any shape: the check ends with findings, never with a fault of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.subject import Memory, Rendered, Subject, Unit
from tests.support.one_service import objects, written

SHAPES: tuple[Any, ...] = (None, 1, "x", [], {}, [1], {"a": 1}, [[]])


def _paths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (*at, key))


def _changed(content: dict[str, Any], at: tuple[str | int, ...], shape: Any) -> dict[str, Any]:
    held = copy.deepcopy(content)
    inner: Any = held
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = shape
    return held


@pytest.mark.parametrize("name", objects())
def test_no_rule_breaks_where_a_value_is_of_another_shape(tmp_path: Path, name: str):
    tree = written(tmp_path)
    unit = Unit("service", "greeter-app-dev", tree.service("greeter") / "overlays" / "dev", "dev", "greeter")
    whole, memory = objects(), Memory()
    for number, at in enumerate(_paths(whole[name])):
        shape = SHAPES[number % len(SHAPES)]
        held = whole | {name: _changed(whole[name], at, shape)}
        subject = Subject(tree, ("dev",), memory=memory)
        subject.__dict__["_rendered"] = {unit: tuple(Rendered(each, unit) for each in held.values())}
        subject.__dict__["units"] = (unit,)
        assert findings(subject), f"nothing is told of {at} = {shape!r}"
