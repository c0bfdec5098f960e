"""The services with everything behind them, opened as one and closed as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from journeymesh.settings import load_settings
from journeymesh.stores.used_rules import rules_for
from journeymesh.wiring.access import (
    Access,
    checkpoint_folder,
    checkpoint_signer,
    cursor_key,
    open_access,
)
from journeymesh.wiring.journeys import open_installation, open_store
from journeymesh.wiring.keys import watched_tombstones

if TYPE_CHECKING:
    from journeymesh.journeys.rules import JourneyRules
    from journeymesh.services.http.building import HttpApp
    from journeymesh.services.http.config import HttpConfig
    from journeymesh.services.http.life import Life
    from journeymesh.services.journeyapi.kept_answers import KeptAnswers
    from journeymesh.services.journeyapi.ports import ServedData


@contextmanager
def open_journeyapi(
    access_path: str | Path,
    *,
    store: str | None = None,
    plan: str | Path | None = None,
    rules: str = "always-on",
    config: HttpConfig,
    life: Life,
) -> Iterator[HttpApp]:
    """journeyapi over a store by these rules, or over the door of a plan by the plan's. ``life`` is told what to check.

    Raises:
        UsageError: a file cannot be used. StoreUnavailable: a database or store cannot be reached.
    """
    from prometheus_client import CollectorRegistry

    from journeymesh.services.journeyapi.app import build_app
    from journeymesh.services.journeyapi.config import JourneyapiConfig
    from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers_database

    with ExitStack() as opened:
        access = opened.enter_context(open_access(access_path, migrate=True))
        answers = opened.enter_context(closing(answers_database(access.file.database)))
        answers.migrate()
        contract, kept = _contract(access), KeptAnswers(answers)
        if plan is not None:
            used, data = _behind_the_door(opened, plan, contract, kept)
        else:
            used, data = _behind_a_store(opened, store or "", rules, contract, kept)
        life.checks = {"store": data.versions.fault, "approvals": access.book.fault}
        registry = CollectorRegistry()
        watched = opened.enter_context(watched_tombstones(load_settings()))
        if watched is not None:
            life.checks |= {"tombstones": watched[0].fault}
            registry.register(watched[1])
        served = JourneyapiConfig(
            cursor_key=cursor_key(access.file),
            http=config,
            score=used.score,
            personal_data=load_settings().personal_data,
        )
        yield build_app(served, access.decider, data, life=life, registry=registry)


@contextmanager
def open_identityapi(access_path: str | Path, *, config: HttpConfig, life: Life) -> Iterator[HttpApp]:
    """identityapi over an access file. ``life`` is told what to check.

    Raises:
        UsageError: a file cannot be used. StoreUnavailable: the database cannot be reached.
    """
    from journeymesh.services.http.cursors import Cursors
    from journeymesh.services.identityapi.app import build_app
    from journeymesh.services.identityapi.dependencies import IdentityDependencies

    with open_access(access_path, migrate=True) as access:
        parts = IdentityDependencies(
            providers=access.providers,
            decisions=access.decider,
            contracts=access.contracts,
            approvals=access.approvals,
            steps_of=access.book.steps_of,
            audit=access.audit,
            writer=access.writer,
            pseudonyms=access.pseudonyms,
            signer=checkpoint_signer(access.file),
            kept=checkpoint_folder(access.file),
            cursors=Cursors(cursor_key(access.file)),
        )
        life.checks = {"approvals": access.book.fault}
        yield build_app(parts, config=config, life=life)


def _behind_a_store(
    opened: ExitStack, url: str, named: str, contract: dict[str, Any], kept: KeptAnswers
) -> tuple[JourneyRules, ServedData]:
    from journeymesh.services.journeyapi.ingest import StoreTaker
    from journeymesh.services.journeyapi.ports import ServedData
    from journeymesh.services.journeyapi.product import StoreProduct
    from journeymesh.services.journeyapi.versions import StoreVersions
    from journeymesh.strangler.policy_book import PolicyBook

    store = opened.enter_context(closing(open_store(url)))
    store.policies()  # a mistyped store is refused here, not made
    rules = rules_for(named, named, [store])
    return rules, ServedData(
        reads=store,
        figures=store,
        policies=opened.enter_context(PolicyBook(store.policies)),
        versions=opened.enter_context(StoreVersions(store)),
        product=StoreProduct(contract, store),
        taker=StoreTaker(store, rules),
        kept=kept,
    )


def _behind_the_door(
    opened: ExitStack, plan: str | Path, contract: dict[str, Any], kept: KeptAnswers
) -> tuple[JourneyRules, ServedData]:
    from journeymesh.services.journeyapi.ingest import PlanTaker
    from journeymesh.services.journeyapi.ports import EachPolicy, ServedData
    from journeymesh.services.journeyapi.product import StoreProduct
    from journeymesh.services.journeyapi.versions import RoutedVersions, StoreVersions
    from journeymesh.strangler.opened_door import opened_door

    installation = opened.enter_context(open_installation(plan))
    installation.require_control()
    door = opened.enter_context(opened_door(installation))
    stores = {name: installation.store(name) for name in installation.plan.stores}
    versions = {name: opened.enter_context(StoreVersions(store)) for name, store in stores.items()}
    return installation.rules, ServedData(
        reads=door,
        book_reads=EachPolicy(door),
        policies=door.policy_book,
        versions=RoutedVersions(door.answering_name, versions),
        product=StoreProduct(contract, next(iter(stores.values()))),
        taker=PlanTaker(installation),
        kept=kept,
    )


def _contract(access: Access) -> dict[str, Any]:
    from journeymesh.identity.capabilities import JOURNEYS

    held = access.contracts.of(JOURNEYS)
    return {} if held is None else dict(held.document)
