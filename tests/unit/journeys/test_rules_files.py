"""Rules: the built-in ones, the example files, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from journeymesh.errors import RulesInvalid
from journeymesh.journeys.rules import BUILT_IN, rules_from_mapping

EXAMPLES = Path(__file__).parents[3] / "examples" / "rules"


def _keys(document: dict) -> set[str]:
    found = set()
    for key, value in document.items():
        found |= {f"{key}.{inner}" for inner in _keys(value)} if isinstance(value, dict) else {key}
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_example_file_spells_out_the_built_in_rules(name):
    from dataclasses import asdict

    document = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    assert rules_from_mapping(document) == BUILT_IN[name]
    assert _keys(document) == _keys(asdict(BUILT_IN[name]))


def test_every_example_file_is_valid():
    for path in EXAMPLES.glob("*.yaml"):
        assert rules_from_mapping(yaml.safe_load(path.read_text())).version


def test_what_is_left_out_is_the_profiles():
    rules = rules_from_mapping({"version": "v", "profile": "always_on", "night": {"from_hour": 22}})
    assert (rules.max_silence_s, rules.night.from_hour, rules.night.to_hour) == (300.0, 22, 5)
    assert rules.digest != BUILT_IN["always-on"].digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": "sometimes_on"}, "profile is 'sometimes_on'"),
        ({"version": ""}, "no version"),
        ({"max_silence": 100}, "unknown key 'max_silence'"),
        ({"harsh": {"braking": 3}}, "rules.harsh: unknown key 'braking'"),
        ({"harsh": {"braking_mps2": [3, 4]}}, "rules.harsh.braking_mps2: expected three numbers"),
        ({"harsh": {"braking_mps2": [5, 4, 3]}}, "rising low, medium, high"),
        ({"max_silence_s": "100"}, "rules.max_silence_s: expected a number"),
        ({"max_silence_s": 0}, "max_silence_s is 0"),
        ({"max_silence_s": 86_401}, "a day or less"),
        ({"min_distance_m": -1}, "min_distance_m is -1"),
        ({"min_distance_m": float("nan")}, "min_distance_m is nan"),
        ({"night": {"from_hour": 25}}, "night hour 25"),
        ({"night": {"from_hour": True}}, "expected a whole number"),
        ({"cleaning": {"relocation_fixes": 257}}, "give 1 to 256"),
        ({"cleaning": {"earliest_year": 20000}}, "a year from 1970 to 2100"),
        ({"cleaning": 7}, "expected keys and values"),
        ({"score": {part: {"weight": 0} for part in ("harsh_events_per_100km", "speeding_share", "night_share")}},
         "score has no weights"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused_with_their_place(change, said):
    with pytest.raises(RulesInvalid, match=said):
        rules_from_mapping({"version": "v", "profile": "engine_switched"} | change)


def test_rules_without_a_version_are_refused():
    with pytest.raises(RulesInvalid, match="version is missing"):
        rules_from_mapping({"profile": "always_on"})
