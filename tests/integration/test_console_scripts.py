"""What scripts add to the console's pages, in a real browser: the map, the timeline, live updates, and no violation of
the content policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.test_console_pages import (
    LOW_CONTRAST,
    PICTURES,
    UNNAMED,
    WIDTHS,
    approved,
    browser,
    playwright_api,
    pytestmark,
    signed_in,
)
from tests.support.console_processes import LONG, LONG_FIXES, SHORT, console_of_journeys

__all__ = ["browser", "playwright_api", "pytestmark"]  # the browser is a fixture, the rest holds for these tests too
APPROVALS = "/approvals"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with console_of_journeys(tmp_path_factory.mktemp("journeys")) as at:
        yield at.console


def journey_of(page: Any, console: str, policy: str) -> str:
    """The address of the policy's journey; the policy's page is open then."""
    page.goto(f"{console}/policies/{policy}")
    found: str = page.locator("a[href*='/journeys/']").first.get_attribute("href")
    return found


def marks(page: Any) -> dict[str, float]:
    """When what the page noted came about, in milliseconds since it was asked for."""
    entries = page.evaluate(
        "[...performance.getEntriesByType('mark'), ...performance.getEntriesByType('paint')]"
        ".map((each) => [each.name, each.startTime])"
    )
    return dict(entries)


def cpu_s(browser: Any) -> float:
    """The CPU time that the browser's processes have had so far: pages, WebGL, and what they share."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return float(sum(each["cpuTime"] for each in processes))


def test_any_journey_is_on_the_map_soon_and_ten_thousand_fixes_are_drawn_at_once(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        took = []
        for policy in (SHORT, SHORT, SHORT, LONG, LONG, LONG):
            began_s = time.monotonic()
            journey_of(page, console, policy)
            loads_s = time.monotonic() - began_s
            before_s, clicked_s, began_s = cpu_s(browser), time.time(), time.monotonic()
            page.locator("a[href*='/journeys/']").first.click()
            page.wait_for_selector("#replay[data-ready]")
            on_map_s, used_s = time.monotonic() - began_s, cpu_s(browser) - before_s
            at = marks(page)
            drawn_ms, paint_ms = at["track-drawn"] - at["map-begun"], at["first-contentful-paint"]
            seen_s = (page.evaluate("performance.timeOrigin") + at["picture-drawn"]) / 1000.0 - clicked_s
            took.append((on_map_s - 6.0 * loads_s, seen_s - 2.0 * loads_s, drawn_ms))
            print(
                f"{policy}: after the click the whole track is a picture in {seen_s:.2f} s and on the map, with charts,"
            )
            print(f"in {on_map_s:.2f} s and {used_s:.2f} s of CPU; the policy's page comes in {loads_s:.2f} s")
            print(f"first contentful paint {paint_ms:.0f} ms, drawn in {drawn_ms:.0f} ms")
        assert page.evaluate("document.querySelector('#replay input').max") == str(LONG_FIXES - 1)
        # Others use this machine too, so times are held against each other: a map after a page, and 10,000 fixes after
        # a tenth of them, of which most is what any map costs. The best of three each.
        assert min(beyond_s for beyond_s, _, _ in took) <= 1.0
        assert min(beyond_s for _, beyond_s, _ in took) <= 0.5
        short_ms, long_ms = min(each for *_, each in took[:3]), min(each for *_, each in took[3:])
        assert long_ms <= 2.0 * short_ms + 300.0


def test_the_vehicle_is_moved_along_the_track_by_keyboard_alone(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.goto(console + journey_of(page, console, SHORT))
        page.wait_for_selector("#replay[data-ready]")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.type") == "range":
                break
        where = "document.querySelector('.vehicle').getBoundingClientRect().x"
        line = "document.querySelector('[data-chart=speed] .u-cursor-x').style.transform"
        before = page.evaluate(where), page.evaluate(line), page.text_content("#replay output")
        for _ in range(40):
            page.keyboard.press("ArrowRight")
        page.wait_for_function(f"{where} !== {before[0]}")
        assert page.evaluate(line) != before[1]
        assert page.text_content("#replay output") != before[2]
        said = page.get_attribute("#replay input[type=range]", "aria-valuetext")
        assert "km/h" in said
        assert "limit" in said
        page.keyboard.press("End")
        value, most = (page.evaluate(f"document.querySelector('#replay input').{name}") for name in ("value", "max"))
        assert value == most


def test_a_harsh_event_in_the_table_leads_to_its_place_on_the_map(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.goto(console + journey_of(page, console, SHORT))
        page.wait_for_selector("#replay[data-ready]")
        button = page.locator("[data-harsh-at] button").first
        button.focus()
        page.keyboard.press("Enter")
        assert page.text_content("#replay output").startswith(button.text_content().split(" ")[1])


def test_an_ended_approval_takes_the_track_away_without_a_reload_and_without_losing_the_place(
    browser: Any, console: str
) -> None:
    approved(browser, console)
    with (
        signed_in(browser, console, "claims-handler", viewport={"width": 900, "height": 300}) as track,
        signed_in(browser, console, "claims-handler") as listing,
        signed_in(browser, console, "privacy-officer") as officer,
    ):
        track.goto(console + journey_of(track, console, SHORT))
        track.wait_for_selector("#replay[data-ready]")
        began_s = time.monotonic()
        listing.goto(console + APPROVALS)
        loads_s = time.monotonic() - began_s
        officer.goto(console + APPROVALS)
        # A reader in the middle of something: half a form, an open part, scrolled down.
        listing.fill("textarea[name=reason]", "half a sentence")
        listing.evaluate("window.scrollTo(0, 120)")
        listing.evaluate("window.kept = document.querySelector('textarea[name=reason]')")
        where = listing.evaluate("window.scrollY")
        time.sleep(1.5)  # streams are open by then
        officer.click("summary:has-text('Revoke')")
        officer.fill("details[open] input[name=why]", "the claim is closed")
        began_s = time.monotonic()
        officer.click("details[open] button:has-text('Revoke')")
        track.wait_for_selector("section:has(#track) details.why", timeout=20_000)
        seen_s = time.monotonic() - began_s
        print(f"an ended approval is seen after {seen_s:.2f} s, where a page loads in {loads_s:.2f} s")
        assert track.locator("#replay").count() == 0
        assert track.locator("canvas").count() == 0
        listing.wait_for_selector("td:has-text('revoked')", timeout=20_000)
        assert listing.input_value("textarea[name=reason]") == "half a sentence"
        assert listing.evaluate("window.kept.isConnected && document.activeElement === window.kept")
        assert listing.evaluate("window.scrollY") == where
        assert "updated" in listing.text_content("#news")
        # Forms still carry the session's token: the page that htmx put in place is one to act from.
        listing.click("section#request button:has-text('Request')")
        listing.wait_for_selector("td:has-text('half a sentence')")
        # A second for what looks at approvals, and the rest as slow as pages are on this machine now: 2 s on one that
        # answers within a quarter of a second.
        assert seen_s <= 1.0 + 4.0 * loads_s


def test_no_page_breaks_the_content_policy_with_scripts_at_work(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (e) => (window.violated ??= []).push(e.violatedDirective))"
        )
        journey = journey_of(page, console, SHORT)
        for path in ("/", "/policies", f"/policies/{SHORT}", journey, "/data", APPROVALS, "/policies/nowhere"):
            page.goto(console + path)
            if path == journey:
                page.wait_for_selector("#replay[data-ready]")
                for name in ("Zoom in", "Zoom out", "Show the whole track", "Play"):
                    page.get_by_role("button", name=name).click()
            page.wait_for_timeout(400)
            assert page.evaluate("window.violated ?? []") == [], path
            loaded = page.evaluate("performance.getEntriesByType('resource').map((each) => each.name)")
            heavy = [name for name in loaded if "maplibre" in name or "uplot" in name]
            assert bool(heavy) == (path == journey), path


def test_a_refused_fix_leads_to_its_place_on_the_map_and_what_changed_is_told(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.goto(console + journey_of(page, console, SHORT))
        page.wait_for_selector("#replay[data-ready]")
        button = page.locator("[data-refused-at] button").first
        button.focus()
        page.keyboard.press("Enter")
        assert page.text_content("#replay output").startswith(button.text_content().split(" ")[1])
        assert page.locator("#picture circle.refused").count() == 1
        changed = page.locator("section[aria-labelledby=versions] tbody tr").all_text_contents()
        assert len(changed) == 1
        assert changed[0].startswith("distance")
        page.goto(f"{console}/policies/{SHORT}")
        page.click("text=every entry with its reason")
        assert page.locator("table.numbers tbody tr").count() == 1
        assert "impossible jump and back" in page.text_content("table.numbers tbody")
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(LOW_CONTRAST) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_journeys_page_fits_its_screen_with_its_map(browser: Any, console: str, width: str, scheme: str) -> None:
    approved(browser, console)
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    with signed_in(browser, console, "claims-handler", viewport=size, color_scheme=scheme) as page:
        page.goto(console + journey_of(page, console, SHORT))
        page.wait_for_selector("#replay[data-ready]")
        page.locator("#replay input[type=range]").evaluate("(range) => { range.value = 380; }")
        page.locator("#replay input[type=range]").dispatch_event("input")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(LOW_CONTRAST) == []
        canvas = page.locator("#replay canvas.maplibregl-canvas").bounding_box()
        assert canvas["height"] >= 300
        if PICTURES:  # those in docs/images/console
            page.screenshot(path=f"{PICTURES}/journey-{scheme}-{width}.png", full_page=True)
