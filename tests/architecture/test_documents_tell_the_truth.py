"""What the documents name exists, and what they quote of the rules is what the rules say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, ScorePart

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
FRONT_PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text("utf-8")


def _paths_in(text: str) -> list[str]:
    linked = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    quoted = re.findall(r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]+)`", text)
    return sorted({*linked, *quoted})


@pytest.mark.parametrize("page", FRONT_PAGES)
def test_every_file_that_a_front_page_names_exists(page: str) -> None:
    named = _paths_in(_text(page))
    assert named, f"{page} names no file: the pattern no longer matches"
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


def test_both_walks_name_at_least_five_files_of_the_house() -> None:
    make, ask = _text("ARCHITECTURE.md").split("**Make**")[1].split("**Ask**")
    for walk in (make, ask.split("\n## ")[0]):
        assert len(set(re.findall(r"src/journeymesh/[\w/]+", walk))) >= 4


def test_every_room_and_module_of_the_top_is_in_the_architecture() -> None:
    top = REPOSITORY / "src" / "journeymesh"
    rooms = {p.name for p in top.iterdir() if (p / "__init__.py").exists()}
    modules = {p.name for p in top.glob("*.py")} - {"__init__.py", "__main__.py"}
    text = _text("ARCHITECTURE.md")
    assert [name for name in sorted(rooms | modules) if f"src/journeymesh/{name}" not in text] == []


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for item in nav for page in _pages(next(iter(item.values())) if isinstance(item, dict) else item)]


def test_the_site_lists_every_page_and_no_other() -> None:
    listed = _pages(yaml.safe_load(_text("mkdocs.yml"))["nav"])
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/tutorial/first-journeys.md"])
def test_every_make_command_that_is_told_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", _text("Makefile"), re.MULTILINE))
    told = set(re.findall(r"(?:`|^ {4})make ([a-z]+)", _text(page), re.MULTILINE))
    assert told, f"{page} tells no make command: the pattern no longer matches"
    assert told <= targets


def _values(rules: Any) -> Iterator[tuple[str, Any]]:
    """Every (name, value); a name may stand in several sections."""
    for field in fields(rules):
        value = getattr(rules, field.name)
        if is_dataclass(value):
            yield from _values(value)
        else:
            yield field.name, value


def test_thresholds_quoted_in_explanations_are_those_of_the_rules() -> None:
    known = {*_values(ALWAYS_ON), *_values(ENGINE_SWITCHED)}
    quoted = [
        (page.name, name, float(value) / (100 if unit == "%" else 1))
        for page in sorted((DOCS / "explanation").glob("*.md"))
        for name, value, unit in re.findall(r"`(\w+)` \(([\d.]+) (\S+?)[):]", page.read_text("utf-8"))
    ]
    assert len(quoted) >= 10, "the pattern no longer matches"
    assert [(page, name, value) for page, name, value in quoted if (name, value) not in known] == []


def test_the_score_page_has_the_parts_of_the_rules() -> None:
    rows = re.findall(
        r"^\| `(\w+)`[^|]*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", _text("docs/explanation/score.md"), re.M
    )
    told = {name: ScorePart(best=float(best), worst=float(worst), weight=float(w)) for name, best, worst, w in rows}
    assert told == {field.name: getattr(ALWAYS_ON.score, field.name) for field in fields(ALWAYS_ON.score)}


def test_the_harsh_events_page_has_the_thresholds_of_the_rules() -> None:
    harsh = ALWAYS_ON.harsh
    cells = [" / ".join(map(str, t)) for t in (harsh.braking_mps2, harsh.acceleration_mps2, harsh.cornering_mps2)]
    assert f"| {' | '.join(cells)} |" in _text("docs/explanation/harsh-events.md")
