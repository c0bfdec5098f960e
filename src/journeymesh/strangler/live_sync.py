"""Live sync: what changes upstream changes in the target, with the position in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from journeymesh.instants import from_us, to_us
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import ChangeBatch, ChangeStream, DocumentPlace, PositionLost, VehicleTimes
from journeymesh.stores.port import RefusalQuery, Run, StoreBatch
from journeymesh.strangler.control import now_us
from journeymesh.strangler.desired_state import Correction, document_of
from journeymesh.strangler.document_index import DocumentIndex
from journeymesh.strangler.feed_session import FeedSession, Pace, advanced, in_groups
from journeymesh.strangler.refusal_watch import RefusalWatch
from journeymesh.strangler.targets import IDENTITY, WRITES, sync_id
from journeymesh.strangler.tracing import span

POSITION_EVERY_S: Final = 10.0
"""A position behind which nothing changed is written so often, so that it does not grow older than upstream's log."""
NOTE_EVERY_S: Final = 0.25
DUTIES_EVERY_S: Final = 30.0
NAMELESS_EVERY_S: Final = 2.0
"""Documents that name no vehicle are looked for so often at most while nothing else is to be done."""
_FUTURE: Final = "future_until_us"
_EVENTS: Final = "events"


@dataclass(slots=True)
class LiveSync:
    """The one consumer of an upstream's changes for one target.

    Raises:
        PositionLost: by ``open`` and ``step``: changes may have been missed, or everything was replaced.
        SourceUnreadable, StoreUnavailable: what was written stands; opening it again goes on from there.
    """

    session: FeedSession
    watch: RefusalWatch | None = None
    drained: bool = False
    """Whether upstream had nothing more when it was last asked, and documents that name no vehicle are dealt with."""
    _stream: ChangeStream | None = None
    _run: Run | None = None
    _document_index: DocumentIndex = field(init=False)
    _pace: Pace = field(init=False)
    _written_at: float = 0.0
    _noted_at: float = 0.0
    _duties_at: float = 0.0
    _nameless_due: bool = True  # what was due when the feed last ended is not known any more
    _nameless_at: str | None = None
    _unnoted: int = 0

    def __post_init__(self) -> None:
        self._document_index = self.session.document_index()
        self._pace = Pace(self.session.feed.chunk_fixes)

    def begin(self) -> None:
        """Take upstream's present position and write it, with the policies and what tells the target from any
        other store, before anything is read."""
        session = self.session
        position = session.source.position()
        session.reload()
        rules = session.check_rules()
        policies, _ = session.policy_changes()
        held = session.run(sync_id(session.upstream)) or session.begun(sync_id(session.upstream))
        run = advanced(held, position, {_EVENTS: held.counts.get(_EVENTS, 0), _FUTURE: 0})
        session.draw_identity()
        session.write(replace(policies, rules=rules, run=run))
        self._run = run
        session.record_mark()
        session.rescope()

    def open(self) -> None:
        """Go on from the position that stands in the target."""
        self.close()
        session = self.session
        session.check_rules()
        run = session.run(sync_id(session.upstream))
        if run is None or run.resume is None:
            raise PositionLost(
                f"store {session.target} has no position of {session.upstream}",
                todo="run `journeymesh strangler run` to fill it again",
            )
        # Former versions kept the mark here; it is in the feed's own run since, which goes with every write.
        counts = {name: count for name, count in run.counts.items() if name not in (IDENTITY, WRITES)}
        self._run = advanced(run, run.resume, counts)
        self._stream = session.source.changes(run.resume)
        if session.mark is None:  # it was fed before targets had identities
            session.draw_identity()
            self._write(StoreBatch(), run.resume)
        session.record_mark()
        session.reload()
        self.drained = False

    @property
    def is_open(self) -> bool:
        """Whether it follows upstream."""
        return self._stream is not None

    def close(self) -> None:
        """Close the stream. Idempotent."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def step(self, wait_s: float) -> int:
        """Deal with the next changes, waiting so long for one; returns how many there were."""
        assert self._stream is not None
        batch = self._stream.next_batch(wait_s, self.session.feed.batch_events)
        if batch.everything:
            raise PositionLost(
                f"{self.session.upstream}: a collection was dropped or renamed", todo="its slices are filled again"
            )
        if batch.events:
            with span("sync", target=self.session.target, events=batch.events):
                self._deal_with(batch)
        elif time.monotonic() - self._written_at > POSITION_EVERY_S:
            self._write(StoreBatch(), batch.position)
        else:
            self._advance(batch.position)
        self._note(batch)
        due_s = NAMELESS_EVERY_S if self._nameless_due and not batch.events else DUTIES_EVERY_S
        if (self._nameless_due or not batch.events) and time.monotonic() - self._duties_at > due_s:
            self.do_duties()
        self.drained = not batch.events and not self._nameless_due
        return batch.events

    def do_duties(self) -> None:
        """What no change tells: clocks that were ahead and are not any more, and documents that name no vehicle."""
        self._duties_at = time.monotonic()
        assert self._run is not None
        untold = not self.session.source.tells_nameless and self._nameless_at != self._position
        if self._nameless_due or untold:
            nameless = self.session.corrections().nameless()
            self._write(nameless.batch, self._position, nameless)
            self._nameless_due, self._nameless_at = False, self._position
        tolerance = timedelta(seconds=self.session.rules.cleaning.future_tolerance_s)
        until = datetime.now(UTC) + tolerance
        since = from_us(self._run.counts.get(_FUTURE, 0))
        query = RefusalQuery(reason=Reason.CLOCK_FUTURE.code, fixed_from=since, fixed_to=until)
        due = [
            VehicleTimes(refusal.vehicle, at_us, at_us)
            for _, refusal in self.session.store.refusals(query)
            if refusal.vehicle is not None and refusal.fixed_at is not None
            for at_us in (to_us(refusal.fixed_at),)
        ]
        last = self._correct(due, ())
        self._run = advanced(self._run, self._position, self._run.counts | {_FUTURE: to_us(until)})
        if last is not None:
            self._write(last.batch, self._position, last)

    @property
    def _position(self) -> str:
        assert self._run is not None
        assert self._run.resume is not None
        return self._run.resume

    def _deal_with(self, batch: ChangeBatch) -> None:
        before = self.session.scope
        refused_before = self.watch.refused() if self.watch is not None and batch.policies_changed else None
        if batch.policies_changed:
            self.session.reload()
            self._nameless_due = True  # another one may be refused
        policies, renamed = self.session.policy_changes() if batch.policies_changed else (StoreBatch(), [])
        former = self._document_index.of(batch.unplaced)
        known = [place for held in former.values() for place in held]
        placed = list(batch.placed)
        if self.watch is not None:
            nameless = {document_of(refusal.origin) for refusal in batch.refusals}
            self.watch.met(((place.document, place.vehicle) for place in placed), nameless)
        moved: list[DocumentPlace] = [*placed, *batch.left, *known]
        scope = self.session.scope
        touched = [VehicleTimes(p.vehicle, p.first_us, p.last_us) for p in moved if p.vehicle in scope]
        touched += [VehicleTimes(name) for name in renamed if name in scope or name in before]
        if self.session.keeps_document_index:
            self._document_index.widen([place for place in placed if place.vehicle in scope], former)
        documents = {place.document for place in (*placed, *batch.left)} | set(batch.unplaced)
        self._nameless_due |= len(set(batch.origins)) > len(documents)
        last = self._correct(touched, batch.origins)
        counts = self._run.counts if self._run is not None else {}
        self._count(counts.get(_EVENTS, 0) + batch.events)
        if last is not None or batch.policies_changed:
            self._write(
                replace(
                    last.batch if last is not None else StoreBatch(),
                    policies=policies.policies,
                    policies_withdrawn=policies.policies_withdrawn,
                ),
                batch.position,
                last,
            )
        elif time.monotonic() - self._written_at > 1.0:
            self._write(StoreBatch(), batch.position)
        else:
            self._advance(batch.position)
        if self.watch is not None and refused_before is not None:
            self.watch.policies_changed(refused_before)

    def _correct(self, touched: Sequence[VehicleTimes], origins: Sequence[str]) -> Correction | None:
        """Write what these times differ by, all but the last group, which is returned to go with the position."""
        last: Correction | None = None
        corrections = self.session.corrections()
        stands: set[str] = set()
        for group in in_groups(list(dict.fromkeys(touched)), self._pace):
            if last is not None:
                self.session.write(last.batch, last)
            found = corrections.of(group, origins=origins)
            self._pace.met(len({each.vehicle for each in group}), found.fixes)
            stands.update(found.refused_at_reading)
            last = found
        if last is None:
            return None
        # Only now is it known what is refused in any of the groups: none withdraws what another one put.
        named = corrections.named(origins, stands)
        self._nameless_due |= corrections.names_nameless(named)  # fewer documents are refused now
        withdrawn = [*last.batch.refusals_withdrawn, *named]
        return replace(last, batch=replace(last.batch, refusals_withdrawn=withdrawn))

    def _count(self, events: int) -> None:
        assert self._run is not None
        self._run = advanced(self._run, self._run.resume, self._run.counts | {_EVENTS: events})

    def _advance(self, position: str) -> None:
        assert self._run is not None
        self._run = advanced(self._run, position, self._run.counts)

    def _write(self, batch: StoreBatch, position: str, correction: Correction | None = None) -> None:
        assert self._run is not None
        run = advanced(self._run, position, self._run.counts)
        self.session.write(replace(batch, run=run), correction)
        self._run, self._written_at = run, time.monotonic()
        if self.watch is not None:
            self.watch.written()

    def _note(self, batch: ChangeBatch) -> None:
        """Record how far it is, a few times a second."""
        if self.watch is not None:
            self.watch.note()
        self._unnoted += batch.events
        if time.monotonic() - self._noted_at < NOTE_EVERY_S:
            return
        at_us = now_us()
        event_us = to_us(batch.last_event_at) if batch.last_event_at is not None else None
        assert self.session.lease is not None
        self.session.lease.note(
            last_event_us=event_us, last_empty_us=None if batch.events else at_us, events=self._unnoted,
            mark=self.session.mark,
        )  # fmt: skip
        self._noted_at, self._unnoted = time.monotonic(), 0
