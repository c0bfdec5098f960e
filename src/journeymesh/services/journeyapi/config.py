"""What journeyapi can be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from journeymesh.journeys.rules import ScoreRules
from journeymesh.services.http.config import HttpConfig
from journeymesh.sources.personal_data import PersonalData


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyapiConfig:
    """How journeyapi answers.

    - ``cursor_key``: 32 bytes that seal cursors; replicas share it
    - ``score``: the rules of the summaries' score
    - ``summary_cache_bytes``: encoded summaries kept in memory
    - ``places_remembered``: of how many journeys it is remembered which policy they are of
    - ``stream_rows``: journeys read at once for an export; ``most_fixes``: a batch of more is refused
    - ``personal_data``: which kinds of data are taken
    """

    cursor_key: bytes = field(repr=False)
    http: HttpConfig = field(default_factory=HttpConfig)
    score: ScoreRules = field(default_factory=ScoreRules)
    summary_cache_bytes: int = 64 << 20
    places_remembered: int = 100_000
    stream_rows: int = 2_000
    most_fixes: int = 200_000
    personal_data: PersonalData = "allowed"
