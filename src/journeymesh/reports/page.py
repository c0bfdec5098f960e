"""A policy's journeys as one HTML page that stands alone: nothing is fetched when it is looked at, but for the tiles of
a basemap where one is asked for."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from jinja2 import Environment
from markupsafe import Markup

from journeymesh.journeys.period_sums import Period
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.reports import figures
from journeymesh.reports.basemap import Basemap
from journeymesh.reports.journey_map import Tracks, draw_map
from journeymesh.reports.templating import page_environment
from journeymesh.reports.units import DistanceUnit, Units

_TEMPLATES: Final = Path(__file__).parent / "templates"
_MOST_POINTS: Final = 90_000
_MOST_MARKERS: Final = 1_500
_MOST_LISTED: Final = 1_000
_GAUGE_ARC: Final = 251.3  # half the circumference of the gauge's circle of radius 80


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What else a page shows.

    - ``refusals``: how many inputs of the policy's vehicle were quarantined, by reason code
    - ``score_rules``: explain how each part of the score came about
    - ``made_at``: when the page was made; None: now
    - ``terms``: how many terms the policy has
    - ``basemap``: load the tiles of this map beneath the journeys when the page is looked at; None: load nothing
    """

    refusals: Mapping[str, int] = field(default_factory=dict)
    score_rules: ScoreRules | None = None
    distance_unit: DistanceUnit = "km"
    made_at: datetime | None = None
    terms: int = 1
    basemap: Basemap | None = None


def policy_report(
    policy: Policy,
    journeys: pa.Table,
    summaries: Mapping[Period, pa.Table],
    tracks: Tracks,
    options: ReportOptions = ReportOptions(),
) -> str:
    """The page of a policy as HTML text, under 3 MB for thousands of journeys.

    - ``policy``: its latest term
    - ``journeys``: the policy's, ``JOURNEY_SCHEMA``; none is a sensible page too
    - ``summaries``: ``SUMMARY_SCHEMA`` by period; "term" (its score) and "month" are shown where they are given
    - ``tracks``: the kept fixes of a journey, None where they are not kept (then it is a straight line)
    """
    units = Units(options.distance_unit, policy.zone)
    rows = journeys.sort_by([("started_at", "ascending"), ("journey_id", "ascending")]).to_pylist()
    drawn = draw_map(rows, tracks, most_points=_MOST_POINTS, most_markers=_MOST_MARKERS)
    totals = figures.totals(rows)
    term = _latest(summaries.get("term"))
    month_table = summaries.get("month")
    month_rows = [] if month_table is None else month_table.to_pylist()
    made, basemap = options.made_at or datetime.now(UTC), options.basemap
    style, script = (_TEMPLATES / "policy.css").read_text("utf-8"), (_TEMPLATES / "policy.js").read_text("utf-8")
    context: dict[str, Any] = {
        "csp": _content_policy(style, script, basemap),
        "style": Markup(style),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "policy": policy,
        "terms": options.terms,
        "units": units,
        "rows": rows,
        "totals": totals,
        "limits_known": totals["speeding_share"] is not None,
        "limits_unknown": "no speed limits in the data"
        if totals["limits_recorded"]
        else "journeys made before limits were recorded do not say",
        "basemap": basemap,
        "term": term,
        "gauge": _gauge(term["score"]) if term else None,
        "parts": figures.score_parts(term, options.score_rules) if term else [],
        "mileage": _mileage(term, units) if term else None,
        "map": drawn,
        "week": figures.week_map(rows, units),
        "weekdays": figures.WEEKDAYS,
        "months": figures.months(month_rows),
        "harsh": figures.harsh_table(rows, _MOST_LISTED),
        "severities": figures.SEVERITIES,
        "refusals": figures.refusal_rows(options.refusals),
        "rules_version": rows[0]["rules_version"] if rows else "",
        "made_at": units.moment(made),
    }
    return _environment().get_template("policy.html.j2").render(context)


@cache
def _environment() -> Environment:
    return page_environment(_TEMPLATES)


def _content_policy(style: str, script: str, basemap: Basemap | None) -> str:
    """Nothing but this page's own style and script, by their digests, and no address but that of the tiles."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    pictures = "" if basemap is None else f"img-src {basemap.origin}; "
    return (
        f"default-src 'none'; {pictures}style-src 'sha256-{digest(style)}'; script-src 'sha256-{digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _latest(summary: pa.Table | None) -> dict[str, Any] | None:
    if summary is None or not summary.num_rows:
        return None
    row: dict[str, Any] = summary.slice(summary.num_rows - 1, 1).to_pylist()[0]
    return row


def _gauge(score: float) -> dict[str, float]:
    filled = max(0.0, min(100.0, score)) / 100.0 * _GAUGE_ARC
    return {"filled": round(filled, 1), "rest": round(2 * _GAUGE_ARC - filled, 1)}


def _mileage(term: dict[str, Any], units: Units) -> dict[str, Any] | None:
    """The bar of distance a year against what was declared: both in per cent of the bar's width."""
    declared = term["declared_annual_distance_m"]
    if not declared:
        return None
    annual = term["annualised_distance_m"]
    full = max(annual, declared) * 1.15
    return {
        "annual": units.far_named(round(annual, -3)),
        "declared": units.far_named(declared),
        "ratio": term["mileage_ratio"],
        "annual_width": round(100.0 * annual / full, 2),
        "declared_at": round(100.0 * declared / full, 2),
        "days": round(term["observed_days"]),
    }
