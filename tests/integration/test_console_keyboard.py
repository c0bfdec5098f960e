"""Every page of the console by keyboard alone, in a real browser."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tests.integration.test_console_pages import browser, playwright_api, pytestmark
from tests.support.console_pages import PAGES, ConsolePage, Visit, visit

__all__ = ["browser", "pytestmark", "visit"]  # fixtures, and a mark that holds for these tests too
NAMED = {each.name: each for each in PAGES}

NOTES = """() => {
  const can = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  const all = [...document.querySelectorAll(can)].filter((each) => !each.disabled && each.checkVisibility());
  const isSeen = (node) => {
    const style = getComputedStyle(node);
    const width = parseFloat(style.outlineWidth), grown = parseFloat(style.outlineOffset) + width;
    if (style.outlineStyle === 'none' || width < 2) return false;
    const box = node.getBoundingClientRect();
    if (box.bottom <= 0 || box.right <= 0 || box.top >= innerHeight || box.left >= innerWidth) return false;
    for (let each = node.parentElement; each; each = each.parentElement) {
      if (getComputedStyle(each).overflow === 'visible') continue;
      const around = each.getBoundingClientRect();
      const cut = [around.left - box.left, around.top - box.top, box.right - around.right, box.bottom - around.bottom];
      if (each !== document.documentElement && cut.every((by) => by + grown >= width)) return false;
    }
    return true;
  };
  window.stops = [];
  document.addEventListener('focusin', ({ target }) => {
    const box = target.getBoundingClientRect();
    window.stops.push({ index: all.indexOf(target), what: target.outerHTML.slice(0, 90), seen: isSeen(target),
      top: box.top + scrollY, bottom: box.bottom + scrollY, inMain: !!target.closest('main') });
  });
  return all.map((each) => each.outerHTML.slice(0, 90));
}"""
"""Note what gets the focus: which of everything that can have it, whether that is seen, and where it is."""


def press(page: Any, key: str, times: int) -> list[dict[str, Any]]:
    """Where the focus went while this key was pressed so often."""
    page.evaluate("window.stops = []")
    for _ in range(times):
        page.keyboard.press(key)
    found: list[dict[str, Any]] = page.evaluate("window.stops")
    return found


@pytest.mark.parametrize("shown", PAGES, ids=lambda each: each.name)
def test_a_page_is_driven_by_keyboard_alone(visit: Visit, shown: ConsolePage) -> None:
    with visit.to(shown) as page:
        _skip(page)
        summaries = page.locator("summary")
        for k in range(summaries.count()):
            if summaries.nth(k).is_visible():
                summaries.nth(k).focus()
                page.keyboard.press("Enter")
        assert page.locator("details:not([open]) > summary:visible").count() == 0
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.locator("body").evaluate(
            "(body) => { body.tabIndex = -1; body.focus(); body.removeAttribute('tabindex'); }"
        )
        all_stops = page.evaluate(NOTES)
        forth = press(page, "Tab", len(all_stops))
        assert [stop["what"] for stop in forth] == all_stops  # each, once, in the page's order, and out again
        assert [stop["index"] for stop in forth] == list(range(len(all_stops)))
        assert [stop["what"] for stop in forth if not stop["seen"]] == []
        up = [b["what"] for a, b in pairwise(forth) if b["inMain"] and b["bottom"] < a["top"]]
        assert up == []  # nothing is further up the page than what came before it
        back = press(page, "Shift+Tab", len(all_stops) - 1)
        assert [stop["index"] for stop in back] == list(range(len(all_stops) - 2, -1, -1))
        _close(page)


def _skip(page: Any) -> None:
    """By the skip link past the header."""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    first = "document.querySelector('main :is(a[href], button, input:not([type=hidden]), select, summary, textarea)')"
    assert page.evaluate(f"!{first} || document.activeElement.closest('main') !== null")


def _close(page: Any) -> None:
    """Each part that was opened, by Escape from the last thing in it."""
    opened = page.locator("details[open]")
    while opened.count():
        part = opened.last
        part.evaluate(
            "(part) => { window.part = part;"
            " [...part.querySelectorAll('summary, a[href], button, input, [tabindex=\"0\"]')].at(-1).focus(); }"
        )
        page.keyboard.press("Escape")
        assert page.evaluate("!window.part.open && document.activeElement === window.part.querySelector('summary')")


def test_the_timeline_moves_by_arrows(visit: Visit) -> None:
    with visit.to(NAMED["journey with versions"]) as page:
        slider = page.get_by_role("slider", name="Time on the way")
        slider.focus()
        said = [slider.get_attribute("aria-valuetext")]
        for key, value in (("ArrowRight", "1"), ("ArrowRight", "2"), ("ArrowLeft", "1"), ("Home", "0")):
            page.keyboard.press(key)
            assert slider.input_value() == value
            said.append(slider.get_attribute("aria-valuetext"))
        assert said[0] == said[-1]
        assert len(set(said)) == 3
        page.keyboard.press("End")
        assert slider.input_value() == slider.get_attribute("max")


def test_buttons_go_by_space_and_choices_by_arrows(visit: Visit) -> None:
    with visit.to(NAMED["book"]) as page:
        for before, after in (("miles", "km"), ("km", "miles")):
            page.get_by_role("button", name=f"Show {before}").focus()
            with page.expect_navigation():
                page.keyboard.press("Space")
            playwright_api.expect(page.get_by_role("button", name=f"Show {after}")).to_be_visible()
        choice = page.get_by_role("combobox", name="Sorted by")
        choice.focus()
        page.keyboard.press("ArrowDown")
        assert choice.input_value() == "journeys"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert page.get_by_role("combobox", name="Order").input_value() == "lowest"
        page.get_by_role("button", name="Show", exact=True).focus()
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "sort=journeys" in page.url
        assert "order=lowest" in page.url
