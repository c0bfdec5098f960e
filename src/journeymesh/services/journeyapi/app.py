"""journeyapi as one application."""

from __future__ import annotations

from litestar import Litestar
from prometheus_client import CollectorRegistry

from journeymesh.services.http.building import Service, build_http
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.gate import Decisions
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log
from journeymesh.services.journeyapi.asked import Digests, Parts, Places, Tags
from journeymesh.services.journeyapi.book_routes import policies as policies_listed
from journeymesh.services.journeyapi.book_routes import summaries
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.fix_route import put_fixes
from journeymesh.services.journeyapi.journey_routes import journey, track
from journeymesh.services.journeyapi.kept_answers import KeptAnswers
from journeymesh.services.journeyapi.policy_routes import journeys, summary
from journeymesh.services.journeyapi.ports import FixTaker, Policies, Product, Reads, Versions
from journeymesh.services.journeyapi.product_route import product as product_told
from journeymesh.services.journeyapi.reading import ReadingThreads
from journeymesh.services.journeyapi.summary_cache import EncodedCache
from journeymesh.stores.policy_summaries import JourneysOfMany

ROUTES = (policies_listed, summaries, journeys, summary, journey, track, product_told, put_fixes)
VERSION = "1.0.0"
"""Of the wire contract: a breaking change is a new major version, and a new path."""

_BATCHES_AT_ONCE = 4
"""Batches of fixes on threads of their own: those that wait for their turn keep no reads waiting."""


def build_app(
    config: JourneyapiConfig,
    reads: Reads,
    decisions: Decisions,
    *,
    policies: Policies,
    versions: Versions,
    product: Product,
    book_reads: JourneysOfMany | None = None,
    taker: FixTaker | None = None,
    kept: KeptAnswers | None = None,
    life: Life | None = None,
    registry: CollectorRegistry | None = None,
    log: Log | None = None,
) -> Litestar:
    """The application. It opens nothing and closes nothing of what it is given.

    ``book_reads`` is asked for journeys of many policies at once; None: ``reads`` is. ``taker`` and ``kept`` together
    take fixes; None: they are not taken here.
    """
    threads = ReadingThreads(config.http.reading_threads, config.http.waiting_reads)
    taking = ReadingThreads(_BATCHES_AT_ONCE, config.http.waiting_reads)
    parts = Parts(
        config=config,
        reads=reads,
        book_reads=book_reads or reads,
        policies=policies,
        versions=versions,
        product=product,
        taker=taker,
        kept=kept,
        cursors=Cursors(config.cursor_key),
        threads=threads,
        taking=taking,
        encoded=EncodedCache(config.summary_cache_bytes),
        places=Places(config.places_remembered),
        digests=Digests(),
        tags=Tags(),
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
            life=life or Life(checks={"store": versions.fault}),
            state={"parts": parts},
            registry=registry or CollectorRegistry(),
            log=log,
            on_shutdown=(threads.close, taking.close),
        )
    )
