"""The page of a policy in a real browser, without a network."""

from __future__ import annotations

import base64
import math
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FleetSpec
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.pipeline import PassResult, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.journeys.summaries import summarise
from journeymesh.reports.basemap import Basemap
from journeymesh.reports.page import ReportOptions, policy_report

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made() -> tuple[Policy, PassResult]:
    fleet = generate(FleetSpec(seed=11, vehicles=1, days=35, first_day=date(2025, 1, 6), renewals=0.0))
    now_us = to_us(datetime(2026, 1, 1, tzinfo=UTC))
    return fleet.policies[0], make_journeys(fleet.whole().readable().fixes, ALWAYS_ON, fleet.policies, now_us)


@pytest.fixture(scope="module")
def page_file(made: tuple[Policy, PassResult], tmp_path_factory: pytest.TempPathFactory) -> Path:
    policy, result = made

    def track(row: dict[str, Any]) -> Fixes:
        bounds = [to_us(row["started_at"]), to_us(row["ended_at"]) + 1]
        first, last = np.searchsorted(result.timeline.fixed_at_us, bounds)
        return result.timeline.take(slice(int(first), int(last)))

    html = policy_report(
        policy,
        result.journeys,
        {period: summarise(result.journeys, policy, period, ALWAYS_ON.score) for period in ("term", "month")},
        track,
        ReportOptions(Counter(Reason(int(reason)).code for reason in result.reasons), ALWAYS_ON.score),
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, "utf-8")
    return path


class Opened:
    """A page opened offline, with what it complained about and what it asked for."""

    def __init__(self, browser: Any, path: Path, width: int, scheme: str) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.tab = self.context.new_page()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.tab.on("console", lambda message: self.faults.append(message.text))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(path.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_stands_alone_and_fits(
    browser: Any, page_file: Path, made: tuple[Policy, PassResult], width: int, scheme: str
) -> None:
    opened = Opened(browser, page_file, width, scheme)
    assert opened.tab.locator("#lines path").count() == len(made[1].journeys) > 20
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.requests == [page_file.as_uri()]
    assert opened.faults == []
    background = opened.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in background[4:-1].split(",")) > 384) == (scheme == "light")
    opened.context.close()


def test_a_row_chooses_its_journey_on_the_map_also_after_sorting(browser: Any, page_file: Path) -> None:
    opened = Opened(browser, page_file, 1280, "light")
    opened.tab.locator("#journeys-table thead button").nth(2).click()
    lengths = [float(text) for text in opened.tab.locator("#journeys-table tbody tr td:nth-child(3)").all_inner_texts()]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]
    opened.tab.locator("#journeys-table .go").first.click()
    assert f"{lengths[0]} km" in opened.tab.locator("#chosen-text").inner_text()
    assert opened.tab.locator("#chosen path").count() == 2
    opened.context.close()


def test_the_map_zooms_from_the_keyboard(browser: Any, page_file: Path) -> None:
    opened = Opened(browser, page_file, 1280, "light")
    width = "Number(document.getElementById('map-svg').getAttribute('viewBox').split(' ')[2])"
    before = opened.tab.evaluate(width)
    opened.tab.locator("#map-svg").focus()
    opened.tab.keyboard.press("+")
    assert opened.tab.evaluate(width) == pytest.approx(before * 0.7)
    opened.tab.keyboard.press("0")
    assert opened.tab.evaluate(width) == before
    opened.context.close()


def test_a_policy_without_journeys_has_a_sensible_page(
    browser: Any, made: tuple[Policy, PassResult], tmp_path: Path
) -> None:
    path = tmp_path / "empty.html"
    path.write_text(policy_report(made[0], JOURNEY_SCHEMA.empty_table(), {}, lambda row: None), "utf-8")
    opened = Opened(browser, path, 400, "light")
    assert opened.tab.get_by_text("No journeys under this policy").is_visible()
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert opened.faults == []
    opened.context.close()


VIEW = "document.getElementById('map-svg').getAttribute('viewBox').split(' ').map(Number)"
CHOSEN = "(() => {const b = document.querySelector('#chosen path').getBBox(); return [b.x, b.y, b.width, b.height]})()"


@pytest.mark.parametrize("width", [400, 1280])
def test_a_chosen_journey_and_a_chosen_event_are_zoomed_to(browser: Any, page_file: Path, width: int) -> None:
    opened = Opened(browser, page_file, width, "light")
    whole = opened.tab.evaluate(VIEW)
    opened.tab.locator("#journeys-table .go").nth(3).click()
    view, box = opened.tab.evaluate(VIEW), opened.tab.evaluate(CHOSEN)
    assert view[2] < whole[2]
    assert view[0] < box[0]
    assert view[1] < box[1]
    assert box[0] + box[2] < view[0] + view[2]
    assert box[1] + box[3] < view[1] + view[3]
    event = opened.tab.locator("#events-table .go").first
    number = int(event.get_attribute("data-j"))
    event.click()
    view = opened.tab.evaluate(VIEW)
    assert view[2] < 600
    assert opened.tab.locator("#journeys-table tbody tr").nth(number).get_attribute("class") == "on"
    markers = """[...document.querySelectorAll('#markers g')].map(
        g => g.getAttribute('transform').match(/-?\\d+/g).map(Number))"""
    middle = view[0] + view[2] / 2, view[1] + view[3] / 2
    assert min(np.hypot(x - middle[0], y - middle[1]) for x, y in opened.tab.evaluate(markers)) < 2.0
    opened.tab.locator("#zoom-all").click()
    assert opened.tab.evaluate(VIEW) == whole
    assert opened.faults == []
    opened.context.close()


def test_on_a_phone_every_value_of_a_row_stands_under_its_title_within_the_screen(
    browser: Any, page_file: Path
) -> None:
    opened = Opened(browser, page_file, 360, "light")
    outside = """[...document.querySelectorAll('table.rows tbody td')].filter(td => td.textContent.trim()
        && getComputedStyle(td).display !== 'none' && td.getBoundingClientRect().right > 361).length"""
    assert opened.tab.evaluate(outside) == 0
    label = "getComputedStyle(document.querySelector('#journeys-table tbody td'), '::before').content"
    assert opened.tab.evaluate(label) == '"Lasted, min"'
    opened.context.close()


def test_a_basemap_is_laid_where_the_journeys_are(
    browser: Any, made: tuple[Policy, PassResult], tmp_path: Path
) -> None:
    policy, result = made
    summed = {"term": summarise(result.journeys, policy, "term", ALWAYS_ON.score)}
    beneath = Basemap.of("https://tiles.example.com/{z}/{x}/{y}.png")
    path = tmp_path / "report.html"
    path.write_text(
        policy_report(policy, result.journeys, summed, lambda row: None, ReportOptions(basemap=beneath)), "utf-8"
    )
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab, asked, faults = context.new_page(), [], []
    tab.on("console", lambda message: faults.append(message.text))
    picture = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    )

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(body=picture, content_type="image/png")

    context.route(re.compile("^https://"), answer)
    tab.goto(path.as_uri())
    tab.wait_for_function("document.querySelectorAll('#tiles image').length > 0")
    assert faults == []
    lat, lon = (result.journeys[f"start_{name}_deg"][0].as_py() for name in ("lat", "lon"))
    z = int(asked[0].split("/")[3])
    n = 2**z
    x = int((lon + 180) / 360 * n)
    y = int((1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * n)
    assert f"https://tiles.example.com/{z}/{x}/{y}.png" in asked
    assert len(asked) <= 80
    where = f"""(() => {{const i = document.querySelector('#tiles image[href$="/{z}/{x}/{y}.png"]');
        return ['x', 'y', 'width', 'height'].map(k => Number(i.getAttribute(k)))}})()"""
    left, top, wide, high = tab.evaluate(where)
    start = tab.evaluate(
        "document.querySelector('#lines .t').getAttribute('d').match(/-?\\d+/g).slice(0, 2).map(Number)"
    )
    assert left <= start[0] <= left + wide
    assert top <= start[1] <= top + high
    assert wide == pytest.approx(high, rel=0.02)
    context.close()
