"""The run that erases former customers' data and destroys their secrets: steps that go on where a kill left them.

1. *planned*: who is due is written to the journal
2. *confirmed*: those that are held by now are left out; from here on no hold is taken of those that remain
3. *refused*: the stores' rows are gone, and tombstones stand, so that nothing comes back from now on. In this order:
   whoever guards a store erases what new tombstones cover, and the run could not count it
4. *cleared*: what names the terms elsewhere (the strangler's control tables) is gone, while there is a name to clear by
5. *erased*: what came into the stores before the tombstones stood is gone as well
6. *shredded*: the terms' secrets are gone, and those of what was of no term then; holds and decisions of their
   policies as well, and their names from the journal, which the next index key seals again
7. *rotated*: the secrets that are left are wrapped anew, the former wrapping keys destroyed
8. *audited*: each term under its own pseudonym; then the journal is removed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from journeymesh.errors import UsageError
from journeymesh.instants import from_us
from journeymesh.journeys.policies import Policy
from journeymesh.keys.port import KeyStore, Subject, Treatment, VehicleMonth, month_of
from journeymesh.keys.privacy_records import KeptRecord, PrivacyRecords
from journeymesh.keys.tombstones import Tombstone, Tombstones
from journeymesh.privacy.former_customers import (
    CustomerState,
    FormerCustomer,
    LegalHold,
    PolicyName,
    Succession,
    SuccessorDecision,
)
from journeymesh.stores.erasing import Erased, Erasure, interval_of, month_begins
from journeymesh.stores.row_store import RowStore

JOURNAL: Final = "journal"
HOLD: Final = "hold"
DECISION: Final = "decision"
STEPS: Final = ("planned", "confirmed", "refused", "cleared", "erased", "shredded", "rotated", "audited")
_ONE: Final = ("run",)
_OF_PAIR: Final = len(Succession._fields)


class TreatedTerm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A term in the journal. ``pseudonym``: its own, of its secret, for the audit alone."""

    number: str
    tenant: str
    valid_from_us: int
    valid_to_us: int
    zone: str
    device: str | None
    vehicle: str | None
    last_journey_ended_us: int | None
    pseudonym: str

    @property
    def policy(self) -> Policy:
        """What a store and a tombstone need of the policy."""
        return Policy(
            number=self.number,
            tenant=self.tenant,
            valid_from=from_us(self.valid_from_us),
            valid_to=from_us(self.valid_to_us),
            zone=self.zone,
            device=self.device,
            vehicle=self.vehicle,
        )

    @property
    def until_last_journey(self) -> Policy:
        """The policy, up to where fixes of its vehicle are refused: a last drive may go on behind the term's end."""
        return replace(self.policy, valid_to=from_us(self.tombstone.vehicle_interval[1]))

    @property
    def tombstone(self) -> Tombstone:
        """What refuses it from now on."""
        return Tombstone(self.policy, self.last_journey_ended_us)


class AlreadyTreated(UsageError):
    """What should be kept is being treated."""


class _Journal(msgspec.Struct, frozen=True, kw_only=True):
    """``terms`` until they are shredded, behind that their ``pseudonyms``. ``erased`` and ``counts`` (of steps): what
    went up to now, by whichever process."""

    treatment_id: str
    step: str
    terms: tuple[TreatedTerm, ...]
    pseudonyms: tuple[str, ...] = ()
    erased: Erased = msgspec.field(default_factory=Erased)
    counts: dict[str, int] = msgspec.field(default_factory=dict)

    def at(self, step: str, count: int) -> _Journal:
        """The journal when this step is done."""
        done = msgspec.structs.replace(self, step=step, counts={**self.counts, step: count})
        if step != "shredded":
            return done
        return msgspec.structs.replace(done, terms=(), pseudonyms=tuple(term.pseudonym for term in self.terms))


class Forgetting(Protocol):
    """What names policies and vehicles outside of stores, and forgets them."""

    def forget(self, policies: Sequence[Policy]) -> int:
        """Forget what names these terms, which end no earlier than their last journeys; returns how many rows went.
        Idempotent."""


class TreatmentRecorder(Protocol):
    """Records, durably and once, that a term was treated."""

    def treated(self, treatment_id: str, pseudonym: str) -> None:
        """Record it, unless it is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """What a run did. ``treatment`` None: nobody was due, and nothing was left of a run before."""

    treatment: Treatment | None
    terms: int = 0
    erased: Erased = field(default_factory=Erased)
    forgotten: int = 0
    secrets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyRun:
    """What a run works on. ``stores``: every store that has the customers' data. ``retoken`` is called between the two
    halves of the rotation: stores give their rows tokens of the new index key. ``on_step``: for progress."""

    stores: Sequence[RowStore]
    keys: KeyStore
    records: PrivacyRecords
    tombstones: Tombstones
    forgetting: Sequence[Forgetting] = ()
    recorder: TreatmentRecorder | None = None
    retoken: Callable[[], None] = lambda: None
    on_step: Callable[[str], None] = lambda _: None

    def treat(self, customers: Callable[[], Iterable[FormerCustomer]]) -> Treated:
        """Go on with a run that was left, else treat those of the customers that are due.

        Raises:
            StoreUnavailable: another process runs it.
        """
        with self.records.only_run():
            journal = self._read()
            if journal is None:
                terms = [term for each in customers() if each.state is CustomerState.due for term in each.terms]
                if not terms:
                    return Treated(treatment=None)
                planned = tuple(self._planned(terms))
                journal = _Journal(treatment_id=os.urandom(8).hex(), step=STEPS[0], terms=planned)
                self._write(journal)
            self.on_step(journal.step)
            if journal.step == STEPS[0] and (journal := self._confirmed(journal)) is None:
                return Treated(treatment=None)
            return self._go_on(journal)

    def _confirmed(self, journal: _Journal) -> _Journal | None:
        """The journal without what is held by now, in one transaction with the look at holds; None: all of it is."""
        with self.records.changing() as records:
            now = datetime.now(UTC)
            held = {name for name, each in holds_in(records.all(HOLD)).items() if each.is_in_force(now)}
            terms = tuple(term for term in journal.terms if (term.tenant, term.number) not in held)
            if not terms:
                records.remove(JOURNAL, _ONE)
                return None
            journal = msgspec.structs.replace(journal, step="confirmed", terms=terms)
            records.put(JOURNAL, _ONE, msgspec.to_builtins(journal))
        self.on_step(journal.step)
        return journal

    def _go_on(self, journal: _Journal) -> Treated:
        forgotten = [term.until_last_journey for term in journal.terms]
        treatment_id = journal.treatment_id
        steps: dict[str, Callable[[], int | None]] = {
            "refused": lambda: self._refuse(journal),
            "cleared": lambda: sum(each.forget(forgotten) for each in self.forgetting),
            "erased": lambda: self._erase(journal),
            "shredded": lambda: self._shred(journal.terms),
            "rotated": lambda: self._rotate(treatment_id),
            "audited": lambda: self._audit(journal),
        }
        for name in STEPS[STEPS.index(journal.step) + 1 :]:
            journal = journal.at(name, steps[name]() or 0)
            self._write(journal)
            self.on_step(name)
        self.records.remove(JOURNAL, _ONE)
        return Treated(
            treatment=next(each for each in self.keys.treatments() if each.treatment_id == treatment_id),
            terms=len(journal.pseudonyms),
            erased=journal.erased,
            forgotten=journal.counts.get("cleared", 0),
            secrets=journal.counts.get("shredded", 0),
        )

    def _planned(self, terms: Sequence[Policy]) -> Iterator[TreatedTerm]:
        keys = self.keys.ensure([(policy.term, None) for policy in terms])
        for policy in terms:
            ends = [ended for store in self.stores if (ended := store.last_journey_ended_us(policy)) is not None]
            since, until = interval_of(policy)
            yield TreatedTerm(
                number=policy.number,
                tenant=policy.tenant,
                valid_from_us=since,
                valid_to_us=until,
                zone=policy.zone,
                device=policy.device,
                vehicle=policy.vehicle,
                last_journey_ended_us=max(ends, default=None),
                pseudonym=keys[policy.term].audit_pseudonym(),
            )

    def _refuse(self, journal: _Journal) -> None:
        self._erase(journal)
        self.tombstones.add(journal.treatment_id, [term.tombstone for term in journal.terms])

    def _erase(self, journal: _Journal) -> None:
        """Erase the terms in each store; what went is counted in the journal, and written there before this returns."""
        for store in self.stores:
            for term in journal.terms:
                tombstone = term.tombstone
                gone = store.erase(Erasure(tombstone.policy, tombstone.vehicles, tombstone.vehicle_interval))
                journal.erased.add(gone)
        self._write(journal)

    def _shred(self, terms: Sequence[TreatedTerm]) -> int:
        gone = self.keys.shred(_subjects(terms))
        erased = {(term.tenant, term.number) for term in terms}
        for name in erased:
            self.records.remove(HOLD, name)
        for record in self.records.all(DECISION):
            if any((record.name[0], number) in erased for number in record.name[1:]):
                self.records.remove(DECISION, record.name)
        return gone

    def _rotate(self, treatment_id: str) -> None:
        if any(each.treatment_id == treatment_id for each in self.keys.treatments()):
            return
        self.keys.begin_rotation()
        self.retoken()
        self.records.move_to_newest_key()
        self.keys.finish_rotation(treatment_id)

    def _audit(self, journal: _Journal) -> None:
        if self.recorder is not None:
            for pseudonym in journal.pseudonyms:
                self.recorder.treated(journal.treatment_id, pseudonym)

    def _read(self) -> _Journal | None:
        return _journal_in(self.records.get(JOURNAL, _ONE))

    def _write(self, journal: _Journal) -> None:
        self.records.put(JOURNAL, _ONE, msgspec.to_builtins(journal))


def step_left(records: PrivacyRecords) -> str | None:
    """The last step that a run made which was left before its end; None: there is none."""
    journal = _journal_in(records.get(JOURNAL, _ONE))
    return None if journal is None else journal.step


def _journal_in(body: dict[str, Any] | None) -> _Journal | None:
    return None if body is None else msgspec.convert(body, _Journal)


def decisions_in(records: Iterable[KeptRecord]) -> dict[Succession, SuccessorDecision]:
    """The decisions that these records are. Earlier versions kept some that name no successor: of whom they speak is
    not known, so they decide nothing."""
    return {
        Succession(*record.name): SuccessorDecision(**record.body) for record in records if len(record.name) == _OF_PAIR
    }


def holds_in(records: Iterable[KeptRecord]) -> dict[PolicyName, LegalHold]:
    """The holds that these records are."""
    holds = {}
    for record in records:
        until = record.body["until"]
        ends = None if until is None else datetime.fromisoformat(until)
        holds[PolicyName(*record.name)] = LegalHold(who=record.body["who"], why=record.body["why"], until=ends)
    return holds


def hold(records: PrivacyRecords, policy: PolicyName, held: LegalHold) -> None:
    """Keep this policy from being treated.

    Raises:
        AlreadyTreated: a run that is under way treats it, and cannot go back.
    """
    with records.changing() as now:
        journal = _journal_in(now.get(JOURNAL, _ONE))
        is_confirmed = journal is not None and journal.step != STEPS[0]
        if journal is not None and is_confirmed and policy in {(term.tenant, term.number) for term in journal.terms}:
            raise AlreadyTreated(
                f"policy {policy.number} is being treated, which cannot be undone",
                todo="let the run end: journeymesh privacy run",
            )
        until = None if held.until is None else held.until.isoformat()
        now.put(HOLD, policy, {"who": held.who, "why": held.why, "until": until})


def _subjects(terms: Iterable[TreatedTerm]) -> Iterator[Subject]:
    """The secrets that end: the terms', and those of their vehicles and devices in the months that they touch."""
    for term in terms:
        yield term.policy.term
        tombstone = term.tombstone
        since, until = tombstone.vehicle_interval
        for name in tombstone.vehicles:
            at_us = month_begins(since)
            while at_us < until:
                yield VehicleMonth(name, month_of(at_us))
                at_us = month_begins(at_us, 1)
