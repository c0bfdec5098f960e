"""journeyapi as one application."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from journeymesh.lru import LruCache
from journeymesh.services.http.building import HttpApp, Service, build_http
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.gate import Decisions
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log
from journeymesh.services.journeyapi import (
    book_routes,
    comparison_route,
    fix_route,
    journey_routes,
    policy_routes,
    product_route,
    refusal_routes,
    score_route,
    version_route,
)
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.policy_answers import MOST_TAGS, Dependencies, Digests
from journeymesh.services.journeyapi.ports import ServedData
from journeymesh.services.journeyapi.reading import ReadingThreads
from journeymesh.services.journeyapi.summary_cache import EncodedCache

ROUTES = (
    *book_routes.ROUTES, *policy_routes.ROUTES, *score_route.ROUTES, *journey_routes.ROUTES, *version_route.ROUTES,
    *refusal_routes.ROUTES, *comparison_route.ROUTES, *product_route.ROUTES, *fix_route.ROUTES,
)  # fmt: skip
VERSION = "1.0.0"
"""Of the wire contract: a breaking change is a new major version, and a new path."""

_BATCHES_AT_ONCE = 4
"""Batches of fixes on threads of their own: those that wait for their turn keep no reads waiting."""


def build_app(
    config: JourneyapiConfig,
    decisions: Decisions,
    data: ServedData,
    *,
    life: Life | None = None,
    registry: CollectorRegistry | None = None,
    log: Log | None = None,
) -> HttpApp:
    """The application. It opens nothing and closes nothing of what it is given."""
    threads = ReadingThreads(config.http.reading_threads, config.http.waiting_reads)
    taking = ReadingThreads(_BATCHES_AT_ONCE, config.http.waiting_reads)
    deps = Dependencies(
        config=config,
        reads=data.reads,
        book_reads=data.book_reads or data.reads,
        figures=data.figures,
        policies=data.policies,
        versions=data.versions,
        product=data.product,
        taker=data.taker,
        kept=data.kept,
        cursors=Cursors(config.cursor_key),
        threads=threads,
        taking=taking,
        encoded=EncodedCache(config.summary_cache_bytes),
        terms=LruCache(config.places_remembered),
        digests=Digests(),
        tags=LruCache(MOST_TAGS),
    )
    return build_http(
        Service(
            name="journeyapi",
            title="journeyapi",
            version=VERSION,
            told="Journeys and summaries per insurance policy, by capability and purpose.",
            routes=ROUTES,
            decisions=decisions,
            config=config.http,
            life=life or Life(checks={"store": data.versions.fault}),
            state={"dependencies": deps},
            registry=registry or CollectorRegistry(),
            log=log,
            on_shutdown=(threads.close, taking.close),
        )
    )
