"""Take the README's picture: the report of a policy of a generated fleet, in Chromium. Run by ``make picture``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FleetSpec
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.journeys.summaries import Period, summarise
from journeymesh.reports.page import ReportOptions, policy_report

PICTURE = Path(__file__).parent / "assets" / "report.png"
SPEC = FleetSpec(seed=4, vehicles=1, days=84, first_day=date(2025, 1, 6), renewals=0.0)
PERIODS: tuple[Period, ...] = ("term", "month")
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]  # fmt: skip


def page(spec: FleetSpec = SPEC) -> str:
    """The report of the first vehicle's policy, made by the pass from the fleet's fixes."""
    fleet = generate(spec)
    made = make_journeys(fleet.whole().readable().fixes, ALWAYS_ON, fleet.policies, to_us(datetime.now(UTC)))
    policy = fleet.policies[0]

    def track(row: dict[str, Any]) -> Fixes:
        bounds = [to_us(row["started_at"]), to_us(row["ended_at"]) + 1]
        first, last = np.searchsorted(made.timeline.fixed_at_us, bounds)
        return made.timeline.take(slice(int(first), int(last)))

    return policy_report(
        policy,
        made.journeys,
        {period: summarise(made.journeys, policy, period, ALWAYS_ON.score) for period in PERIODS},
        track,
        ReportOptions(
            refusals=Counter(Reason(int(reason)).code for reason in made.reasons),
            score_rules=ALWAYS_ON.score,
            made_at=datetime(2025, 3, 31, 8, tzinfo=UTC),
        ),
    )


def main() -> int:
    """Write the picture; 2 where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium found: install the package chromium and call make picture again", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        path.write_text(page(), "utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        tab = browser.new_page(viewport={"width": 1240, "height": 1330}, color_scheme="light")
        tab.goto(path.as_uri())
        PICTURE.parent.mkdir(exist_ok=True)
        tab.screenshot(path=PICTURE)
        browser.close()
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
