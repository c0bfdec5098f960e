"""What would change a score is what the score's own formula says of the changed values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.journeys.rules import ScorePart, ScoreRules
from journeymesh.journeys.score_changes import LESS, ScoreChange, score_changes

RULES = ScoreRules()


def by_hand(values: dict[str, float], rules: ScoreRules) -> float:
    parts = [(getattr(rules, name), value) for name, value in values.items()]
    scores = [
        (rule.weight, round(100 * min(1.0, max(0.0, (rule.worst - value) / (rule.worst - rule.best))), 1))
        for rule, value in parts
    ]
    return sum(weight * score for weight, score in scores) / sum(weight for weight, _ in scores)


def test_half_as_much_at_night_is_worth_what_the_rules_say() -> None:
    values = {"harsh_events_per_100km": 0.0, "speeding_share": 0.0, "night_share": 0.2, "mileage_ratio": 1.0}
    # at night: 0.2 of 0.4 scores 50, and weighs 0.2 of 1.0: 90 in all; 0.1 scores 75: 95
    assert ScoreChange("night_share", 0.5, 0.1, 95.0, 5.0) in score_changes(values, RULES)
    assert score_changes(values, RULES)[0] == ScoreChange("night_share", 1.0, 0.0, 100.0, 10.0)


def test_a_part_that_is_as_good_as_it_gets_changes_nothing() -> None:
    assert score_changes({"night_share": 0.0, "mileage_ratio": 0.7}, RULES) == []
    assert score_changes({}, RULES) == []


def test_a_part_beyond_its_worst_gains_only_what_brings_it_below() -> None:
    values = {"harsh_events_per_100km": 100.0, "night_share": 0.0}
    changes = score_changes(values, RULES)
    assert [change.less for change in changes] == [1.0]  # half of 100 is 50 and scores 0 as well
    assert score_changes({"harsh_events_per_100km": 60.0, "night_share": 0.0}, RULES)[1].less == 0.5


def test_mileage_is_lowered_to_what_was_declared_and_no_further() -> None:
    changes = score_changes({"mileage_ratio": 1.25, "night_share": 0.0}, RULES)
    assert min(change.value for change in changes) == 1.0
    assert [change.less for change in changes] == [0.2, 0.1]


def test_a_part_without_weight_is_not_named() -> None:
    rules = ScoreRules(night_share=ScorePart(best=0.0, worst=0.4, weight=0.0))
    assert score_changes({"night_share": 0.3, "speeding_share": 0.0}, rules) == []


VALUES = st.fixed_dictionaries(
    {"harsh_events_per_100km": st.floats(0, 80), "night_share": st.floats(0, 1)},
    optional={"speeding_share": st.floats(0, 1), "mileage_ratio": st.floats(0, 5)},
)


@given(VALUES)
def test_every_change_is_the_formulas_own_and_the_best_comes_first(values: dict[str, float]) -> None:
    changes = score_changes(values, RULES)
    for change in changes:
        then = {**values, change.part: change.value}
        assert change.score == pytest.approx(by_hand(then, RULES), abs=0.06)
        assert change.points == pytest.approx(by_hand(then, RULES) - by_hand(values, RULES), abs=0.12)
        assert change.points > 0
        assert change.value >= getattr(RULES, change.part).best - 1e-6
        assert change.less in LESS or change.value == pytest.approx(getattr(RULES, change.part).best, abs=1e-6)
    assert changes == sorted(changes, key=lambda change: (-change.points, change.less))
