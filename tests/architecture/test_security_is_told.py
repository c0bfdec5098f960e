"""SECURITY.md names the interfaces that there are, as they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.fuzz.fuzz_parsers import TARGETS

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "SECURITY.md").read_text("utf-8")
SECTIONS = dict(
    zip(*[iter(re.split(r"^### (.+)$", TEXT.split("\n## Dependencies")[0], flags=re.MULTILINE)[1:])] * 2, strict=True)
)


def _routes(service: str) -> dict[str, bool]:
    """Every route, and whether it needs a token."""
    document = json.loads((REPOSITORY / f"docs/reference/openapi/{service}.json").read_text("utf-8"))
    return {path: bool(one.get("security")) for path, methods in document["paths"].items() for one in methods.values()}


def test_the_routes_that_strangers_reach_are_those_that_are_named() -> None:
    reached = {path for path, needs_a_token in _routes("journeyapi").items() if not needs_a_token}
    first = SECTIONS["journeyapi"].strip().split(";")[0]
    assert set(re.findall(r"`(/[\w./-]+)`", first)) == reached
    assert {path for path, needs_a_token in _routes("identityapi").items() if not needs_a_token} == reached


def test_the_routes_that_need_a_token_and_no_capability_are_those_that_are_named() -> None:
    document = json.loads((REPOSITORY / "docs/reference/openapi/identityapi.json").read_text("utf-8"))
    need_only_a_token = {
        path
        for path, methods in document["paths"].items()
        for one in methods.values()
        if one.get("security") and "x-capability" not in one
    }
    first = SECTIONS["identityapi"].strip().split(";")[0]
    assert set(re.findall(r"`(/v1/[\w./-]+)`", first)) == need_only_a_token


@pytest.mark.parametrize("section", SECTIONS)
def test_each_interface_says_what_is_left_open_and_which_test_shows_the_rest(section: str) -> None:
    text = SECTIONS[section]
    assert "*Left open:*" in text
    assert [place for place in re.findall(r"\]\((tests/[\w./-]+)\)", text) if (REPOSITORY / place).exists()]


def test_every_heading_that_is_linked_to_exists() -> None:
    for page, heading in re.findall(r"\]\(([\w./-]+\.md)#([\w-]+)\)", TEXT):
        headings = re.findall(r"^#+ (.+)$", (REPOSITORY / page).read_text("utf-8"), re.MULTILINE)
        assert heading in [re.sub(r"[^\w-]", "", one.lower().replace(" ", "-")) for one in headings]


def test_every_service_and_kind_of_store_has_a_section() -> None:
    services = {
        place.name for place in (REPOSITORY / "src/journeymesh/services").iterdir() if (place / "app.py").exists()
    }
    assert services <= set(SECTIONS)
    for kind in ("SQLite", "PostgreSQL", "MongoDB", "lake"):
        assert kind in next(name for name in SECTIONS if name.startswith("Stores"))


def test_make_fuzz_runs_every_fuzz_target() -> None:
    recipe = (REPOSITORY / "Makefile").read_text("utf-8").split("\nfuzz:")[1].split("\n\n")[0]
    there = {place.stem for place in (REPOSITORY / "tests/fuzz").glob("fuzz_*.py")}
    assert there
    assert {name for name in there if name in recipe} == there
    assert {
        "json fixes",
        "arrow fixes",
        "json bodies",
        "cursors",
        "tokens",
        "query strings",
        "headers",
    } <= TARGETS.keys()


def test_every_option_that_is_named_exists() -> None:
    reference = (REPOSITORY / "docs/reference/cli.md").read_text("utf-8")
    for option in re.findall(r"`(--[a-z-]+)`", TEXT.split("## Dependencies")[0]):
        assert f"`{option}`" in reference, option
