"""Every page of the console as assistive technology is given it, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import yaml
from tests.integration.test_console_pages import (
    LOW_CONTRAST,
    PICTURES,
    UNNAMED,
    WIDTHS,
    browser,
    playwright_api,
    pytestmark,
    signed_in,
)
from tests.support.console_actions import routes
from tests.support.console_pages import CLAIMS, FRAME, NO_PAGES, PAGES, ConsolePage, Visit, visit

__all__ = ["browser", "pytestmark", "visit"]  # fixtures, and a mark that holds for these tests too
LANDMARKS = ("banner", "main", "search", "navigation", "region", "complementary", "contentinfo", "form")
CONTROLS = ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton")
DRAWINGS = ("img", "meter")
NODE = re.compile(r'(?P<role>[a-z]+)(?: (?P<name>"(?:[^"\\]|\\.)*"|/.*/))?(?P<marks>(?: \[[^\]]*\])*)')


@dataclass(frozen=True)
class Node:
    """Something in an accessibility tree."""

    role: str
    name: str
    marks: str
    inside: tuple[Node, ...]

    def every(self) -> Iterator[Node]:
        """This and all within, in their order."""
        yield self
        for each in self.inside:
            yield from each.every()

    def of(self, *wanted: str) -> list[Node]:
        """All of these roles within."""
        return [each for each in self.every() if each.role in wanted]


def tree_of(page: Any) -> Node:
    """The page's accessibility tree as Playwright gives it."""
    return Node("document", "", "", _nodes(yaml.safe_load(page.locator("body").aria_snapshot())))


def _nodes(given: Any) -> tuple[Node, ...]:
    found = []
    for each in given if isinstance(given, list) else []:
        head, inside = next(iter(each.items())) if isinstance(each, dict) else (each, None)
        match = NODE.fullmatch(head)
        if match is None or head == "text":  # text, and properties such as /url
            continue
        within = _nodes(inside)
        name = match["name"] or (inside if isinstance(inside, str) else "")
        found.append(Node(match["role"], name.strip('"'), match["marks"], within))
    return tuple(found)


def test_every_route_is_a_page_with_a_declared_structure_or_none() -> None:
    pages = {each.route for each in PAGES} - {"none"}
    assert pages.isdisjoint(NO_PAGES)
    assert routes() == pages | set(NO_PAGES)
    assert len({each.name for each in PAGES}) == len(PAGES)


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_a_page_has_its_declared_structure(visit: Visit, shown: ConsolePage) -> None:
    with visit.to(shown) as page:
        playwright_api.expect(page.locator("main")).to_match_aria_snapshot(shown.structure, timeout=20_000)
        if shown.who is not None:
            playwright_api.expect(page.locator("body")).to_match_aria_snapshot(FRAME)
        follows = page.locator("#live").count() == 1  # what changes while it is open
        assert wrong_in(tree_of(page), signed_in=shown.who is not None, follows=follows) == []
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert wrong_in(tree_of(page), signed_in=shown.who is not None, follows=follows) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_book_says_what_moved_and_fits_its_screen(visit: Visit, width: str, scheme: str) -> None:
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    with signed_in(visit.browser, visit.console, CLAIMS, viewport=size, color_scheme=scheme) as page:
        page.goto(f"{visit.console}/policies?sort=distance_m&period=term")
        moves = page.locator("span.move").all_text_contents()
        assert len(moves) > 5
        assert any(each.startswith("Distance a day +") for each in moves)
        assert any(each.startswith("Night +") for each in moves)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        if width == "desktop":  # on a phone the table is scrolled in its region
            scrolled = page.locator(".scroll").evaluate("(region) => region.scrollWidth - region.clientWidth")
            assert scrolled == 0
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(LOW_CONTRAST) == []
        if PICTURES:  # those in docs/images/console
            page.screenshot(path=f"{PICTURES}/book-{scheme}-{width}.png", full_page=True)


def wrong_in(tree: Node, *, signed_in: bool, follows: bool) -> list[str]:
    """What every page has to have, and this one has not."""
    wrong = []
    if (tree.inside[0].role, tree.inside[0].name) != ("link", "Skip to the content"):
        wrong.append("the skip link does not come first")
    for role, count in {"main": 1, "banner": int(signed_in), "search": int(signed_in)}.items():
        if len(tree.of(role)) != count:
            wrong.append(f"{len(tree.of(role))} of {role}, not {count}")
    landmarks = [(each.role, each.name) for each in tree.of("navigation", "region", "form")]
    wrong += [f"{each} is there twice or has no name" for each in landmarks if landmarks.count(each) > 1 or not each[1]]
    levels = [int(each.marks.partition("level=")[2].partition("]")[0]) for each in tree.of("heading")]
    if levels[:1] != [1] or levels.count(1) != 1:
        wrong.append(f"headings begin with {levels[:1]}, {levels.count(1)} are of level 1")
    jumps = [(level, deeper) for level, deeper in pairwise(levels) if deeper > level + 1]
    wrong += [f"a heading of level {deeper} under {level}" for level, deeper in jumps]
    wrong += [f"a {each.role} without a name" for each in tree.of(*CONTROLS, *DRAWINGS, "heading") if not each.name]
    for each in tree.of("table"):
        rows = each.of("row")
        if not each.name or not rows:
            wrong.append(f"table {each.name!r} has no caption, or no rows")
            continue
        headers = rows[0].of("columnheader")
        if not headers or len(headers) != len(rows[0].inside) or not all(header.name for header in headers):
            wrong.append(f"table {each.name!r} begins with {[cell.name for cell in rows[0].inside]}")
        without = [row for row in rows[1:] if len(row.inside) > 1 and row.inside[0].role != "rowheader"]
        wrong += [f"table {each.name!r} has a row without a header: {row.name}" for row in without]
    if follows and "status" not in [each.role for each in tree.inside]:
        wrong.append("no live region beside main says what changed")
    return wrong
