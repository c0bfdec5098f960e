"""What would change a score, by the rules' own formula: of each part, a little less of it and as good as it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from journeymesh.journeys.rules import ScorePart, ScoreRules
from journeymesh.journeys.summaries import score

LESS: Final = (0.1, 0.25, 0.5)
"""By how much less of a part's value it is asked what the score would be."""


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """What the score would be if one part alone were different.

    ``less``: the share of the present value that would be gone, 0 to 1; ``value``: what would be left, in the part's
    unit; ``score``: the whole score then, 0 to 100; ``points``: how much that is above the present one.
    """

    part: str
    less: float
    value: float
    score: float
    points: float


def score_changes(values: Mapping[str, float], rules: ScoreRules) -> list[ScoreChange]:
    """The changes that would raise the score, the one that raises it most first; of equal ones the smallest change.

    ``values``: of the parts that the score is made of, as a summary's ``score_parts`` have them. A value below a
    part's ``best`` is never asked about: it would change nothing.
    """
    if not values:
        return []
    present = _total(values, rules)
    found = []
    for part, value in values.items():
        rule: ScorePart = getattr(rules, part)
        if value <= rule.best or rule.weight == 0:
            continue
        to_best = 1.0 - rule.best / value
        for less in (*(share for share in LESS if share < to_best), to_best):
            left = round(value * (1.0 - less), 6)
            then = _total({**values, part: left}, rules)
            if then > present:
                found.append(ScoreChange(part, round(less, 6), left, then, round(then - present, 1)))
    return sorted(found, key=lambda change: (-change.points, change.less))


def _total(values: Mapping[str, float], rules: ScoreRules) -> float:
    columns = {name: np.array([value]) for name, value in values.items()}
    _, total = score({**columns, "distance_m": np.zeros(1)}, rules)
    return float(total[0])
