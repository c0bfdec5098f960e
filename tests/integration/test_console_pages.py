"""The console in a real browser, over both APIs as processes: by keyboard, on a phone and in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from journeymesh.cli.demo_apis import served
from journeymesh.cli.main import outcome

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
CHROMIUM = shutil.which("chromium")
PICTURES = os.environ.get("JOURNEYMESH_TEST_PICTURES")
"""A folder for screenshots, those in docs/images/console; nothing: none are taken."""
AXE_OPTIONS = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
               "resultTypes": ["violations"]}  # fmt: skip
SCHEMES = ("light", "dark")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
WIDTHS = {"desktop": (1200, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The console of a small demo fleet."""
    room = tmp_path_factory.mktemp("demo")
    fleet = ["generate", "--seed", "3", "--vehicles", "2", "--days", "10", "--out", str(room / "dump")]
    assert outcome(fleet) == 0
    store = f"sqlite:///{room / 'journeys.db'}"
    mapping = Path(__file__).parents[2] / "src/journeymesh/cli/demo_mapping/blackbox.yaml"
    ran = [
        "preprocess",
        "--source",
        str(room / "dump"),
        "--mapping",
        str(mapping),
        "--store",
        store,
        "--rules",
        "always-on",
    ]
    assert outcome(ran) == 0
    with served(room, store, "always-on") as at:
        yield at.console


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@contextmanager
def signed_in(browser: Any, console: str, who: str, *, also: str | None = None, **how: Any) -> Iterator[Any]:
    """A page of somebody's, in a browser that notes what goes wrong and what it asks hosts other than this one and
    ``also``."""
    context = browser.new_context(**how)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    hosts = (console, also or console)
    page.on("request", lambda asked: None if asked.url.startswith(hosts) else wrong.append(asked.url))
    page.goto(console)
    page.click(f"button[value={who}]")
    page.wait_for_selector("button:has-text('Sign out')")
    page.wait_for_load_state()
    yield page
    context.close()
    assert not wrong


def approved(browser: Any, console: str) -> None:
    """Claims handling, asked for and approved by people on pages; done once."""
    with signed_in(browser, console, "claims-handler") as handler:
        if handler.locator("text=Handling a claim, until").count():
            return
        handler.goto(f"{console}/policies")
        handler.click("details.why summary")
        handler.click("details.why a:has-text('Handling a claim')")
        assert "purpose=claims-handling" in handler.url
        assert handler.input_value("select[name=purpose]") == "claims-handling"
        handler.fill("textarea[name=reason]", "a claim of last week")
        handler.click("section#request button")
        with signed_in(browser, console, "privacy-officer") as officer:
            officer.click("ul.waiting a")
            officer.click("summary:has-text('Approve')")
            officer.fill("input[name=why]", "the claim is open")
            officer.click("button:has-text('Approve')")
        handler.goto(console)
        handler.click("ul.waiting a")
        handler.click("summary:has-text('Acknowledge')")
        handler.click("button:has-text('Acknowledge')")
        for _ in range(100):
            handler.goto(f"{console}/policies")
            if handler.locator("table.numbers").count():
                return
        raise AssertionError("the approval is not seen")


def test_from_a_refusal_to_the_track_of_a_journey_by_pages_alone(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.click("nav >> text=Policies")
        page.locator("table.numbers tbody a").first.click()
        page.locator("a[href*='/journeys/']").first.click()
        assert page.locator("svg.track path").count() >= 1
        assert page.locator("text=Every fix as a table").count() == 1
        page.wait_for_selector("#replay[data-ready]")
        assert not page.locator("svg.track").is_visible()
        drawn = page.locator("#replay canvas.maplibregl-canvas").bounding_box()
        assert drawn["width"] > 300
        assert drawn["height"] > 100


def test_without_scripts_the_track_is_a_picture_and_a_table(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler", java_script_enabled=False) as page:
        page.click("nav >> text=Policies")
        page.locator("table.numbers tbody a").first.click()
        page.locator("a[href*='/journeys/']").first.click()
        assert not page.locator("#replay").is_visible()
        drawn = page.locator("svg.track").bounding_box()
        assert drawn["width"] > 300
        assert drawn["height"] > 100


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_screen_and_has_its_landmarks(browser: Any, console: str, width: str, scheme: str) -> None:
    approved(browser, console)
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    with signed_in(browser, console, "claims-handler", viewport=size, color_scheme=scheme) as page:
        page.goto(f"{console}/policies")
        policy = page.locator("table.numbers tbody a").first.get_attribute("href")
        page.goto(f"{console}{policy}")
        journey = page.locator("a[href*='/journeys/']").first.get_attribute("href")
        for path in ("/", "/policies", policy, journey, "/data", "/approvals", "/policies/nowhere"):
            page.goto(f"{console}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
            assert page.locator("h1").count() == 1, path
            assert page.locator("main").count() == page.locator("header nav").count() == 1
            assert page.evaluate(UNNAMED) == [], path
            assert page.evaluate(LOW_CONTRAST) == [], path


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_on_any_page_in_light_or_dark(browser: Any, console: str, width: str) -> None:
    approved(browser, console)
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    axe = axe_api.Axe()

    def found(page: Any, path: str, picture: str = "") -> list[str]:
        page.goto(f"{console}{path}")
        if page.locator("#replay").count():
            page.wait_for_selector("#replay[data-ready]")
        for scheme in SCHEMES if PICTURES and picture else ():
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{PICTURES}/{picture}-{scheme}-{width}.png", full_page=True)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        wrong = []
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
            seen = axe.run(page, options=AXE_OPTIONS).response
            assert len(seen["passes"]) > 10, path
            wrong += [f"{path} in {scheme}: {each['id']} {node['target']} {node['failureSummary']}"
                      for each in seen["violations"] for node in each["nodes"]]  # fmt: skip
        return wrong

    with signed_in(browser, console, "claims-handler", viewport=size) as page:
        page.goto(f"{console}/policies")
        policy = page.locator("table.numbers tbody a").first.get_attribute("href")
        page.goto(f"{console}{policy}")
        journey = page.locator("a[href*='/journeys/']").first.get_attribute("href")
        page.goto(f"{console}/approvals")
        approval = page.locator("main a[href^='/approvals/']").first.get_attribute("href")
        sorted_book = "/policies?sort=distance_m&period=term&min_distance_m=1"
        pages = {"home": "/", "policy": policy, "data": "/data", "approvals": "/approvals",
                 "approval": approval, "search": "/find?q=speed"}  # fmt: skip
        wrong = [each for name, path in pages.items() for each in found(page, path, name)]
        wrong += [each for path in ("/policies", sorted_book, journey) for each in found(page, path)]
        page.click("text=Sign out")
        page.wait_for_selector("button[value=analyst]")
        page.wait_for_load_state()
        wrong += found(page, "/sign-in", "sign-in")
    with signed_in(browser, console, "analyst", viewport=size) as page:  # may see none of it
        refused = {"home-refused": "/", "policy-refused": policy, "journey-refused": journey}
        wrong += [each for name, path in refused.items() for each in found(page, path, name)]
    assert "\n".join(wrong) == ""


def test_every_page_can_be_reached_and_left_by_keyboard(browser: Any, console: str) -> None:
    approved(browser, console)
    with signed_in(browser, console, "claims-handler") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        for name in ("Policies", "Data", "Approvals", "Home"):
            page.goto(f"{console}/")
            for _ in range(12):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.textContent") == name:
                    break
            with page.expect_navigation():
                page.keyboard.press("Enter")
            assert page.locator(f"nav a[aria-current=page]:has-text('{name}')").count() == 1
        page.focus("#q")
        page.keyboard.type("nowhere")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.url.partition("?")[0].endswith("/find")
        assert page.locator("main q").inner_text() == "nowhere"


UNNAMED = """() => [...document.querySelectorAll('a,button,input:not([type=hidden]),select,textarea,[role=img],table')]
  .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || (each.labels && each.labels.length)
    || each.querySelector('caption')))
  .map(each => each.outerHTML)"""

LOW_CONTRAST = """() => {
  const parts = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(c => linear(c / 255))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (node) => {
    for (let each = node; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return parts(getComputedStyle(document.body).backgroundColor);
  };
  const low = [];
  for (const node of document.querySelectorAll('main *, header *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest('.hidden, .skip, svg')) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(node.textContent.trim().slice(0, 40));
  }
  return low;
}"""
