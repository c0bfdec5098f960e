"""What a page says, without a browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from journeymesh.errors import UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.journeys.summaries import summarise
from journeymesh.reports.basemap import Basemap
from journeymesh.reports.figures import harsh_table
from journeymesh.reports.lines import simplify
from journeymesh.reports.page import ReportOptions, policy_report
from journeymesh.reports.units import Units, lasting, percent

START = datetime(2025, 7, 1, 21, 30, tzinfo=UTC)
POLICY = Policy(
    number="P-<b>1</b>", valid_from=START - timedelta(days=9), zone="Europe/London", device="BB-1",
    declared_annual_distance_m=1e7,
)  # fmt: skip


def journey(n: int) -> dict[str, Any]:
    started = START + timedelta(days=n)
    row: dict[str, Any] = dict.fromkeys(JOURNEY_SCHEMA.names, 0)
    event = {
        "kind": "braking", "severity": "high", "started_at": started, "ended_at": started, "peak_at": started,
        "peak_mps2": 5.4, "lat_deg": 51.55, "lon_deg": -0.1, "fixes": 2,
    }  # fmt: skip
    return row | {
        "journey_id": f"j{n:05d}", "vehicle": "BB-1", "policy": POLICY.number, "tenant": "t", "product": "p",
        "zone": POLICY.zone, "started_at": started, "ended_at": started + timedelta(minutes=20),
        "start_lat_deg": 51.5, "start_lon_deg": -0.1, "end_lat_deg": 51.6, "end_lon_deg": -0.1,
        "distance_m": 16_093.44, "duration_s": 1200.0, "driving_s": 1100.0, "idle_s": 100.0, "mean_speed_mps": 14.6,
        "max_speed_mps": 20.0, "harsh_braking": 1, "fixes": 1200, "rules_version": "r-1",
        "hours": [{"hour_of_week": 46, "distance_m": 16_093.44, "driving_s": 1100.0}], "harsh_events": [event],
        "speed_doubted": False,
    }  # fmt: skip


def page(journeys: int, *said: dict[str, Any], **options: Any) -> str:
    """The page of so many journeys; ``said`` is what each of them says otherwise."""
    rows = [journey(n) | (said[n] if n < len(said) else {}) for n in range(journeys)]
    table = pa.Table.from_pylist(rows, JOURNEY_SCHEMA)
    summaries = {period: summarise(table, POLICY, period, ALWAYS_ON.score) for period in ("term", "month")}
    tracks = options.pop("tracks", lambda row: None)
    return policy_report(POLICY, table, summaries, tracks, ReportOptions(score_rules=ALWAYS_ON.score, **options))  # type: ignore[arg-type]


def test_what_comes_from_outside_is_escaped() -> None:
    html = page(1, refusals={"<script>alert(1)</script>": 1})
    assert "P-<b>1</b>" not in html
    assert "P-&lt;b&gt;1&lt;/b&gt;" in html
    assert "<script>alert" not in html


def test_no_address_is_named_but_that_of_a_name_space() -> None:
    html = page(2)
    assert set(re.findall(r"https?://[^\s\"']+", html)) == {"http://www.w3.org/2000/svg"}
    assert "default-src &#39;none&#39;" in html
    assert " style=" not in html


def test_times_are_local_and_distances_in_the_unit_asked_for() -> None:
    assert "2025-07-01 22:30" in page(1)
    assert "<td>10.0</td>" in page(1, distance_unit="miles")


def test_journeys_without_fixes_are_straight_lines_and_the_page_says_so() -> None:
    html = page(3)
    assert html.count('class="t straight"') == 3
    assert "fixes of these journeys are not kept" in html


def test_three_thousand_journeys_stay_below_three_megabytes() -> None:
    rng = np.random.default_rng(1)
    lat, lon = 51.5 + np.cumsum(rng.normal(0, 2e-4, 1500)), -0.1 + np.cumsum(rng.normal(0, 2e-4, 1500))
    wild = Fixes(("BB-1",), np.zeros(1500, np.int32), np.arange(1500) * 1_000_000, lat, lon)
    html = page(3000, tracks=lambda row: wild)
    assert html.count('<path class="t"') == 3000
    assert len(html.encode()) < 3_000_000


def test_simplifying_keeps_a_corner_and_leaves_out_what_lies_on_the_line() -> None:
    x, y = np.array([0.0, 5.0, 10.0, 10.0, 10.0]), np.array([0.0, 0.1, 0.0, 5.0, 10.0])
    assert simplify(x, y, 1.0).tolist() == [True, False, True, False, True]


def test_numbers_are_shown_for_people() -> None:
    assert (lasting(45), lasting(720), lasting(11_100)) == ("45 s", "12 min", "3 h 05 min")
    assert (percent(0.0), percent(0.0042), percent(0.12)) == ("0 %", "0.4 %", "12 %")
    assert Units("miles").far_named(1609.344) == "1.0 miles"


def test_refused_fixes_among_the_kept_ones_draw_no_line_across_the_country() -> None:
    lat, lon = np.linspace(51.5, 51.6, 1000), np.full(1000, -0.1)
    lat[400:405] += 2.0
    lat[700], lon[700] = 0.0, 0.0
    track = Fixes(("BB-1",), np.zeros(1000, np.int32), np.arange(1000) * 1_000_000, lat, lon)
    drawn = re.search(r'viewBox="([^"]+)" preserveAspectRatio="xMidYMid meet"', page(1, tracks=lambda row: track))
    assert drawn is not None
    assert float(drawn[1].split()[2]) < 25_000


NONE_KNOWN = {"limit_known_distance_m": 0.0, "over_limit_distance_m": 0.0}
NOT_RECORDED: dict[str, Any] = dict.fromkeys(NONE_KNOWN)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([NONE_KNOWN] * 3, "no speed limits in the data"),
        ([NONE_KNOWN | {"speeding_distance_m": 900.0}] * 3, "no speed limits in the data"),
        ([NOT_RECORDED, NONE_KNOWN, NOT_RECORDED], "no speed limits in the data"),
        ([NOT_RECORDED] * 3, "journeys made before limits were recorded do not say"),
    ],
)
def test_without_known_limits_speeding_is_not_known_and_is_no_part_of_the_score(
    said: list[dict[str, Any]], why: str
) -> None:
    html = page(3, *said)
    assert "Not known" in html
    assert html.count(why) == 2
    assert "Distance over the limit</th>" not in html
    assert "Speeding, s" not in html
    part, score = re.search(r"by their weight: (.+?) = <b>([0-9.]+)</b>", html).groups()  # type: ignore[union-attr]
    parts = [
        (float(one), float(share.split(" ")[0]) / 100) for one, share in (p.split(" × ") for p in part.split(" + "))
    ]
    assert len(parts) == 3
    assert sum(share for _, share in parts) == pytest.approx(1.0, abs=0.02)
    assert sum(one * share for one, share in parts) == pytest.approx(float(score), abs=1.5)


def test_with_limits_in_the_data_speeding_is_a_share_and_a_part_of_the_score() -> None:
    html = page(3, {"limit_known_distance_m": 10_000.0, "over_limit_distance_m": 1_300.0}, NONE_KNOWN, NOT_RECORDED)
    assert "Not known" not in html
    assert '<p class="big">13 %</p><p class="note">of the distance whose limit is known' in html
    assert "Distance over the limit</th>" not in html
    assert "Distance over the limit" in html
    assert "Speeding, s" in html


def test_speeding_of_journeys_made_before_limits_were_recorded_stays_known() -> None:
    html = page(2, *[NOT_RECORDED | {"speeding_distance_m": 1_609.344}] * 2)
    assert '<p class="big">10 %</p><p class="note">of the distance; fastest' in html
    assert "Distance over the limit" in html


def test_a_month_without_known_limits_says_so_beside_others() -> None:
    known = {"limit_known_distance_m": 10_000.0, "over_limit_distance_m": 500.0}
    html = page(40, *[known if n < 3 else NONE_KNOWN for n in range(40)])
    assert re.findall(r'<td class="n">(not known|[0-9.]+ %)</td><td class="n">[0-9.]+</td><td class="n"><b>', html) == [
        "5.0 %", "not known",
    ]  # fmt: skip


def test_each_harsh_event_is_listed_with_time_place_and_strength() -> None:
    html = page(2)
    listed = re.findall(r'data-j="(\d)" data-at="([^"]+)">([^<]+)</button>.*?<td>(high)</td><td>(5\.4)</td>', html)
    assert listed == [
        ("0", "51.55000 -0.10000", "2025-07-01 22:30:00", "high", "5.4"),
        ("1", "51.55000 -0.10000", "2025-07-02 22:30:00", "high", "5.4"),
    ]


def test_of_too_many_harsh_events_the_most_severe_are_listed_in_order_of_time() -> None:
    rows = [journey(n) for n in range(5)]
    for n, row in enumerate(rows):
        row["harsh_events"][0] |= {"severity": "high" if n in (1, 3) else "low", "peak_mps2": 5.0 + n}
    table = harsh_table(rows, 3)
    assert [event.number for event in table.listed] == [1, 3, 4]
    assert table.total == 5


def test_a_basemap_is_the_only_address_that_the_page_may_load_from() -> None:
    html = page(2, basemap=Basemap.of("https://tiles.example.com:8443/a/{z}/{x}/{y}.png?k=1"))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]  # type: ignore[index]
    assert "img-src https://tiles.example.com:8443;" in policy
    assert policy.startswith("default-src &#39;none&#39;")
    assert "Map: tiles.example.com" in html
    assert "which learns from that where it shows" in html
    assert "img-src" not in page(2)
    assert Basemap.of("https://tile.openstreetmap.org/{z}/{x}/{y}.png").credit == "© OpenStreetMap contributors"


@pytest.mark.parametrize(
    "template",
    [
        "http://tiles.example.com/{z}/{x}/{y}.png", "https://tiles.example.com/{z}/{x}.png", "javascript:alert(1)",
        "https://tiles.example.com/{z}/{x}/{y}/{q}.png", "https://a b/{z}/{x}/{y}", "https://x;script-src/{z}/{x}/{y}",
        "https://u:p@tiles.example.com/{z}/{x}/{y}.png", "https:///{z}/{x}/{y}.png", "{z}/{x}/{y}", "",
        'https://tiles.example.com/{z}/{x}/{y}"onload="', "https://*.example.com/{z}/{x}/{y}.png",
    ],
)  # fmt: skip
def test_a_basemap_that_a_page_cannot_be_allowed_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="basemap"):
        Basemap.of(template)
