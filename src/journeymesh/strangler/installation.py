"""One plan with everything it names, opened when it is first needed: what the commands and services work on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from journeymesh.engines.port import Retention
from journeymesh.errors import JourneymeshError, StoreUnavailable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.journeys.rules import JourneyRules
from journeymesh.keys.covering import uncovered_fixes
from journeymesh.keys.tombstones import Tombstones
from journeymesh.sources.policy_reading import UnusablePolicy
from journeymesh.sources.vehicle_port import DocumentRemover, FixWriter, OtherClients, VehicleSource
from journeymesh.stores.port import RulesUsed, Store
from journeymesh.strangler.accepted import Accepted, Deliverer, accept
from journeymesh.strangler.apply import Applying, operator
from journeymesh.strangler.control import Control
from journeymesh.strangler.desired_state import Upstream
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.gates import NothingCompared
from journeymesh.strangler.legacy_upstream import LegacyUpstream
from journeymesh.strangler.metrics import StranglerMetrics
from journeymesh.strangler.moves import has_legacy
from journeymesh.strangler.ownership import check_owner
from journeymesh.strangler.plan import LEGACY, Plan
from journeymesh.strangler.policy_book import PoliciesRead
from journeymesh.strangler.reconcile import Reconciliation, recorded_chunks
from journeymesh.strangler.retire import Retiring
from journeymesh.strangler.routes import Route, read_routes
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.status import feeds_status, read_gate_inputs, status_of, unfinished
from journeymesh.strangler.store_upstream import StoreUpstream, kept_by_both
from journeymesh.strangler.targets import check_targets


@dataclass(slots=True, kw_only=True)
class Installation:
    """The plan, its control database, its stores and its legacy source. A context manager: closes what it opened."""

    plan: Plan
    rules: JourneyRules
    control: Control
    open_store: Callable[[str], Store]
    open_legacy: Callable[[], VehicleSource]
    open_remover: Callable[[], DocumentRemover]
    open_writer: Callable[[], FixWriter]
    keep_fixes: Callable[[str], timedelta | None]
    exports: Path
    tombstones: Tombstones | None = None
    """What may neither be answered nor come back; ``open_store`` and ``open_legacy`` refuse it by themselves."""
    _stores: dict[str, Store] = field(default_factory=dict)
    _legacy: VehicleSource | None = None
    _writer: FixWriter | None = None
    _opening: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the legacy source, the stores and the control database. Idempotent."""
        with self._opening:
            for store in self._stores.values():
                store.close()
            self._stores.clear()
            if self._legacy is not None:
                self._legacy.close()
                self._legacy = None
            if self.tombstones is not None:
                self.tombstones.close()
            self.control.close()

    def require_control(self) -> None:
        """Make sure that the control database has its schema and is not another plan's.

        Raises:
            StoreUnavailable: it has not, or cannot be reached. PlanInvalid: it is.
        """
        self.control.require_schema()
        check_owner(self.control, self.plan)

    def store(self, name: str) -> Store:
        """The plan's store of this name."""
        if name not in self.plan.stores:
            raise UsageError(f"store {name!r} is used by a slice and missing in the plan", todo="add it to stores")
        with self._opening:
            if name not in self._stores:
                self._stores[name] = self.open_store(self.plan.stores[name].url)
            return self._stores[name]

    def check_targets(self) -> dict[str, str]:
        """Record slices as incomplete whose store is not the one that was fed; returns those that cannot be read by
        name, and why."""
        return check_targets(self.control, self.store)

    def legacy(self) -> VehicleSource:
        """The legacy source."""
        with self._opening:
            if self._legacy is None:
                self._legacy = self.open_legacy()
            return self._legacy

    def other_clients(self, fault: JourneymeshError | None = None) -> OtherClients | None:
        """Who else uses legacy now, where a slice is about to leave it for good; None: none is. Raises nothing: why it
        cannot be told is in the answer. ``fault`` says why legacy cannot be read, where that is known by now."""
        if not any(
            route.phase is Phase.TARGET and route.upstream == LEGACY for route in read_routes(self.control).routes
        ):
            return None
        if fault is not None:
            return OtherClients(unknown=str(fault))
        try:
            asked = getattr(self.legacy(), "other_clients", None)
        except JourneymeshError as error:
            return OtherClients(unknown=str(error))
        return OtherClients(unknown="this source cannot list its clients") if asked is None else asked()

    def policies(self) -> list[Policy]:
        """Every policy there is: of slices that a store answers as that store has it, the others as legacy does.

        Raises:
            JourneymeshError: some cannot be read.
        """
        found = self.policies_at_hand()
        if found.fault is not None:
            raise found.fault
        return found

    def policies_at_hand(self) -> PoliciesRead:
        """The same, and where legacy or a store cannot be read those of the slices that do not need it.

        Raises:
            StoreUnavailable: the control database cannot be read. JourneymeshError: no policy can.
        """
        recorded = read_routes(self.control).routes
        held: dict[PolicyTerm, Policy] = {}
        unread: dict[str, JourneymeshError] = {}
        unusable: Sequence[UnusablePolicy] | None = None
        for route in recorded:
            name = route.answering_name
            if name != LEGACY and name not in unread:
                try:
                    of_store = self.store(name).policies()
                except JourneymeshError as error:
                    unread[name] = error
                else:
                    held |= {policy.term: policy for policy in of_store if route.slice.selector.holds(policy)}
        if not recorded or has_legacy(recorded) or len(self.plan.slices) > len(recorded):
            try:
                of_legacy = self.legacy().policies()
                unusable = of_legacy.unusable
                held = {policy.term: policy for policy in of_legacy} | held
            except JourneymeshError as error:
                unread[LEGACY] = error
        if unread and not held:
            raise next(iter(unread.values()))
        last_known = self._last_known(recorded, unread) if LEGACY in unread else ()
        return PoliciesRead(self._not_erased(held.values()), unread, self._not_erased(last_known), unusable)

    def _not_erased(self, policies: Iterable[Policy]) -> list[Policy]:
        return list(policies) if self.tombstones is None else self.tombstones.without_treated(policies)

    def _last_known(self, recorded: Sequence[Route], unread: Container[str]) -> list[Policy]:
        """Legacy's policies as the stores that answer have them: a policy some of whose terms are legacy's to answer
        must not look as if it had only the others."""
        names = {route.answering_name for route in recorded} - {LEGACY}
        return [policy for name in sorted(names) if name not in unread for policy in self.store(name).policies()]

    def applying(self, who: str | None = None) -> Applying:
        """What applies the plan.

        Raises:
            UsageError: the plan asks for reverse sync, and the mapping cannot be inverted; or it has another store
                under a name that is known.
        """
        if self.plan.legacy.reverse_sync and not self._has_outlived_legacy():
            self.writer()
        unreadable = check_targets(self.control, self.store, may_be_exchanged=False)
        policies = _once(self.policies)
        return Applying(
            control=self.control,
            plan=self.plan,
            policies=policies,
            gate_inputs=lambda route: read_gate_inputs(self.control, route, policies(), unreadable),
            prepare=self.prepare,
            retire=lambda route, who, why: self.retiring(policies()).retire(route, who, why),
            resume=lambda: self.retiring(policies()).resume() if unfinished(self.control) else None,
            who=who or operator(),
        )

    def _has_outlived_legacy(self) -> bool:
        recorded = read_routes(self.control).routes
        return bool(recorded) and not has_legacy(recorded)

    def retiring(self, policies: Sequence[Policy]) -> Retiring:
        """What retires slices; exports go beside the plan."""
        return Retiring(self.control, policies, self.exports, self.open_remover, self.differences)

    def route(self, name: str) -> Route:
        """The recorded route of the slice.

        Raises:
            UsageError: the slice is not recorded.
        """
        route = read_routes(self.control).get(name)
        if route is None:
            raise UsageError(f"slice {name!r} is not recorded", todo="choose one from `journeymesh strangler status`")
        return route

    def reconciliation(self, name: str, *, repair: bool = False, run_id: str | None = None) -> Reconciliation:
        """What compares the slice's upstream and target; ``run_id`` goes on with a comparison that was stopped.

        Raises:
            UsageError: the slice is not recorded.
        """
        route = self.route(name)
        retention = self.retention(route.target)
        if route.upstream == LEGACY:
            source: Upstream = LegacyUpstream(self.legacy(), self.rules)
        else:
            source = StoreUpstream(route.upstream, self.store(route.upstream))
            retention = kept_by_both(retention, self.retention(route.upstream))
        session = FeedSession(
            control=self.control,
            feed=self.plan.feed,
            source=source,
            store=self.store(route.target),
            rules=self.rules,
            retention=retention,
            upstream=route.upstream,
            target=route.target,
            routes=(route,),
        )
        session.reload()
        found = Reconciliation(session, route.slice, repair=repair)
        return found if run_id is None else replace(found, run_id=run_id)

    def differences(self, route: Route) -> int:
        """How many things of the slice differ between upstream and target now; they are recorded as mismatches.

        Raises:
            NothingCompared: neither has a journey of the slice.
        """
        compared = self.reconciliation(route.slice.name)
        found = sum(len(chunk.differences) for chunk in recorded_chunks(compared))
        if not found and not compared.counts["days"]:
            raise NothingCompared(
                f"nothing was compared: neither {route.upstream} nor {route.target} has a journey of the slice",
                todo="check the mapping and the slice's policies",
            )
        return found

    def feeder(self) -> Feeder:
        """What fills the targets and keeps them up. Each of its threads opens a store of its own."""
        return Feeder(
            plan=self.plan,
            control=self.control,
            open_store=lambda name: self.open_store(self.plan.stores[name].url),
            open_source=self.legacy,
            rules=self.rules,
            retention_of=self.retention,
        )

    def deliverer(self) -> Deliverer:
        """What delivers accepted fixes."""
        return Deliverer(
            control=self.control,
            rules=self.rules,
            policies=self.policies,
            writer=self.writer,
            store=self.store,
            retention=self.retention,
        )

    def accept(self, fixes: Fixes, key: str) -> Accepted:
        """Accept fixes under this key: journaled now, delivered by whoever runs the feeder. What tombstones cover is
        not kept, and not told of.

        Raises:
            UsageError: they cannot be accepted while legacy lives, or the key was used for other fixes.
        """
        given, refused = len(fixes), 0
        if self.tombstones is not None:
            fixes = fixes.take(uncovered_fixes(fixes, self.tombstones))
            refused = given - len(fixes)
        accepted = accept(
            self.control,
            read_routes(self.control),
            self.policies(),
            fixes,
            key,
            reverse_sync=self.plan.legacy.reverse_sync,
        )
        if self.tombstones is not None and refused and not accepted.again:
            with suppress(StoreUnavailable):  # what was accepted stands, counted or not
                self.tombstones.count_refused({"fixes": refused})
        return replace(accepted, fixes=given)

    def writer(self) -> FixWriter:
        """What writes fixes back to legacy.

        Raises:
            UsageError: the mapping cannot be inverted.
        """
        with self._opening:
            if self._writer is None:
                self._writer = self.open_writer()
            return self._writer

    def retention(self, name: str) -> Retention:
        """How long the store of this name keeps fixes."""
        return Retention(self.keep_fixes(self.plan.stores[name].keep_fixes))

    def metrics(self) -> StranglerMetrics:
        """A Prometheus collector of the move, which reads the control database at each scrape."""
        return StranglerMetrics(
            lambda: status_of(self.plan, self.control, self.policies_at_hand()), lambda: feeds_status(self.control)
        )

    def prepare(self, route: Route) -> None:
        """Make the target ready to be filled.

        Raises:
            StoreUnavailable: it cannot be reached. RulesConflict: it holds journeys of other rules.
        """
        store = self.store(route.target)
        store.migrate()
        todo = "use another store in the plan, or the rules that this one was built with"
        RulesUsed.of(self.rules).require_no_others(store.rules(), f"target {route.target!r}", todo=todo)


def _once(read: Callable[[], Sequence[Policy]]) -> Callable[[], Sequence[Policy]]:
    """The same, asked at most once."""
    held: list[Sequence[Policy]] = []

    def at_hand() -> Sequence[Policy]:
        if not held:
            held.append(read())
        return held[0]

    return at_hand
