"""What pages count is said in words that fit one, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from journeymesh.services.console import rendering
from journeymesh.services.console.rendering import TEMPLATES

PLURALS = "journeys|fixes|fields|policies|days|events|ones|more do"
NEVER_ONE = (
    "obliged.minimum_group_size",
    "each.minimum_group_size",
    "compared.value.others",
    "fixes.value|length",
    "|lasting",
)
"""What is two or more wherever it is said, or no number of what follows."""


def said(source: str, **values: Any) -> str:
    imported = '{% from "parts.html" import count, duties, amount %}'
    return rendering._environment().from_string(imported + source).render(**values)


@pytest.mark.parametrize(
    ("number", "words"),
    [(None, "– fixes"), (0, "0 fixes"), (1, "1 fix"), (2, "2 fixes"), (12_345.0, "12,345 fixes")],
)
def test_a_count_fits_its_number(number: float | None, words: str) -> None:
    assert said('{{ count(n, "fix", "fixes") }}', n=number) == words
    assert said('{{ count(n, "journey") }}', n=number) == words.replace("fixes", "journeys").replace("fix", "journey")


@pytest.mark.parametrize(("days", "words"), [(1, "nothing older than 1 day; "), (30, "nothing older than 30 days; ")])
def test_a_retention_fits_its_days(days: int, words: str) -> None:
    obliged = {"mask": [], "retention_days": days, "minimum_group_size": 1}
    assert said("{{ duties(obliged) }}", obliged=obliged) == f"{words}single policies may be shown"


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_puts_a_plural_behind_whatever_number(template: Path) -> None:
    text = template.read_text("utf-8")
    found = re.findall(rf"""(?:\{{\{{ |~ )([^{{}}~]+?)(?: \}}\}}| ~ ") (?:\w+ )?(?:{PLURALS})\b""", text)
    assert [each for each in found if not any(name in each for name in NEVER_ONE)] == []
