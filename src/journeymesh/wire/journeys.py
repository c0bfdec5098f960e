"""What journeyapi takes and gives, as JSON, besides rows: its service, its OpenAPI document and the client read these
types."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Generic, TypeVar

import msgspec

J = TypeVar("J")
"""A journey's row."""


class GivenFix(msgspec.Struct, kw_only=True):
    """A fix that is handed in. SI units, WGS84 degrees, instants in RFC 3339 with a time zone."""

    vehicle: str
    fixed_at: str
    lat_deg: float | None = None
    lon_deg: float | None = None
    received_at: str | None = None
    speed_mps: float | None = None
    heading_deg: float | None = None
    accel_longitudinal_mps2: float | None = None
    accel_lateral_mps2: float | None = None
    speed_limit_mps: float | None = None
    ignition: bool | None = None
    accuracy_m: float | None = None


class GivenFixes(msgspec.Struct):
    """A batch of fixes."""

    fixes: list[GivenFix]


class RefusedRow(msgspec.Struct, frozen=True):
    """A fix that was not taken: its row in the batch from 0, the reason's code, and in words."""

    row: int
    reason: str
    detail: str


class TakenFixes(msgspec.Struct, frozen=True):
    """What came of a batch. ``again``: the key was answered before, and this is that answer."""

    accepted: int
    refused: list[RefusedRow]
    again: bool


class ProductTold(msgspec.Struct, frozen=True):
    """The data product: its contract as ODCS has it, how recent its data is, and what was accepted and refused."""

    product: str
    contract: dict[str, Any]
    freshness: dict[str, Any]
    quality: dict[str, Any]


class ScorePartGiven(msgspec.Struct, frozen=True):
    """A part of a score: its value in the period, what that scores of 100, and how much it weighs of 1. It scores 100
    at ``best`` or below and 0 at ``worst`` or above, linear between."""

    part: str
    value: float
    score: float
    weight: float
    best: float
    worst: float


class ScoreChangeGiven(msgspec.Struct, frozen=True):
    """What the score would be if of one part alone there were less: the share ``less`` of its value gone, so that
    ``value`` is left. ``points``: how much ``score`` is above the present one."""

    part: str
    less: float
    value: float
    score: float
    points: float


class PolicyScore(msgspec.Struct, frozen=True):
    """The score of a policy's latest term, 0 to 100, with its parts, and what would raise it most first. Null and
    empty where there are no journeys, or where the purpose hides it."""

    period_from: date | None
    period_to: date | None
    score: float | None
    parts: list[ScorePartGiven]
    changes: list[ScoreChangeGiven]


class FieldChange(msgspec.Struct, frozen=True):
    """A field that a journey's next version has otherwise: its value before and after, each as the journey has it."""

    field: str
    before: Any
    after: Any


class JourneyVersion(msgspec.Struct, Generic[J], frozen=True):
    """What a journey was before late fixes changed it: ``journey`` as it was given out then, when it was superseded and
    by which journey (null: none, or hidden), and what the next version has otherwise, of the fields that may be seen.
    """

    superseded_at: datetime
    superseded_by: str | None
    changes: list[FieldChange]
    journey: J


class JourneyVersions(msgspec.Struct, Generic[J], frozen=True):
    """Earlier versions of a journey, the latest first. ``next`` is the cursor behind them; null: there are no more."""

    items: list[JourneyVersion[J]]
    next: str | None


class ComparedFigure(msgspec.Struct, frozen=True):
    """A figure of a policy beside those of others. ``decile``: 1 where it is among the lowest tenth of them, 10 among
    the highest; ``median``: of the others, to two digits. Null: hidden for the purpose, not known of the policy, or of
    too few others."""

    field: str
    value: float | None
    decile: int | None
    median: float | None


class PolicyComparison(msgspec.Struct, frozen=True):
    """A policy's figures beside those of ``others`` other policies that the caller may know. ``left_out``: how many
    more do not count because their latest term has journeys of more than one rules version, or by other rules than this
    policy's."""

    period: str
    others: int
    left_out: int
    figures: list[ComparedFigure]
