"""The run that puts former customers' data beyond reach: steps that go on where a kill left them.

1. *planned*: who is treated is written to the journal
2. *refused*: tombstones stand, so that nothing comes back from now on
3. *cleared*: what names the terms elsewhere (the strangler's control tables) is gone, while there is a name to clear by
4. *erased*: the stores' rows are gone
5. *shredded*: the terms' secrets are gone, and those of what was of no term then
6. *rotated*: the secrets that are left are wrapped anew, the former wrapping keys destroyed
7. *audited*: each term under its own pseudonym; then the journal is removed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from journeymesh.instants import from_us
from journeymesh.journeys.policies import Policy
from journeymesh.keys.port import KeyStore, Subject, Treatment, VehicleMonth, month_of
from journeymesh.keys.privacy_records import PrivacyRecords
from journeymesh.keys.tombstones import Tombstone, Tombstones
from journeymesh.privacy.former_customers import CustomerState, FormerCustomer
from journeymesh.stores.erasing import Erased, Erasure, interval_of, month_begins
from journeymesh.stores.row_store import RowStore

JOURNAL: Final = "journal"
STEPS: Final = ("planned", "refused", "cleared", "erased", "shredded", "rotated", "audited")
_ONE: Final = ("run",)


class TreatedTerm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A term in the journal. ``pseudonym``: its own, of its secret, for the audit."""

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
    def tombstone(self) -> Tombstone:
        """What refuses it from now on."""
        return Tombstone(self.policy, self.last_journey_ended_us)


class _Journal(msgspec.Struct, frozen=True, kw_only=True):
    treatment_id: str
    step: str
    terms: tuple[TreatedTerm, ...]


class Forgetting(Protocol):
    """What names policies and vehicles outside of stores, and forgets them."""

    def forget(self, policies: Sequence[Policy]) -> int:
        """Forget what names these terms; returns how many rows went. Idempotent."""


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

    def treat(self, customers: Iterable[FormerCustomer]) -> Treated:
        """Go on with a run that was left, else treat those of the customers that are due."""
        journal = self._read()
        if journal is None:
            terms = [term for each in customers if each.state is CustomerState.due for term in each.terms]
            if not terms:
                return Treated(treatment=None)
            journal = _Journal(treatment_id=os.urandom(8).hex(), step=STEPS[0], terms=tuple(self._planned(terms)))
            self._write(journal)
        return self._go_on(journal)

    def _go_on(self, journal: _Journal) -> Treated:
        self.on_step(journal.step)
        policies = [term.policy for term in journal.terms]
        erased, counts = Erased(), {"cleared": 0, "shredded": 0}
        treatment_id = journal.treatment_id
        steps: dict[str, Callable[[], int | None]] = {
            "refused": lambda: self.tombstones.add(treatment_id, [term.tombstone for term in journal.terms]),
            "cleared": lambda: sum(each.forget(policies) for each in self.forgetting),
            "erased": lambda: self._erase(journal.terms, erased),
            "shredded": lambda: self.keys.shred(_subjects(journal.terms)),
            "rotated": lambda: self._rotate(treatment_id),
            "audited": lambda: self._audit(journal),
        }
        for name in STEPS[STEPS.index(journal.step) + 1 :]:
            counts[name] = steps[name]() or 0
            self._write(msgspec.structs.replace(journal, step=name))
            self.on_step(name)
        self.records.remove(JOURNAL, _ONE)
        return Treated(
            treatment=next(each for each in self.keys.treatments() if each.treatment_id == treatment_id),
            terms=len(policies),
            erased=erased,
            forgotten=counts["cleared"],
            secrets=counts["shredded"],
        )

    def is_under_way(self) -> bool:
        """Whether a run was left before its end."""
        return self._read() is not None

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
                pseudonym=keys[policy.term].handle(None),
            )

    def _erase(self, terms: Sequence[TreatedTerm], erased: Erased) -> None:
        for store in self.stores:
            for term in terms:
                tombstone = term.tombstone
                erased.add(store.erase(Erasure(tombstone.policy, tombstone.vehicles, tombstone.vehicle_interval)))

    def _rotate(self, treatment_id: str) -> None:
        if any(each.treatment_id == treatment_id for each in self.keys.treatments()):
            return
        self.keys.begin_rotation()
        self.retoken()
        self.records.move_to_newest_key()
        self.keys.finish_rotation(treatment_id)

    def _audit(self, journal: _Journal) -> None:
        if self.recorder is not None:
            for term in journal.terms:
                self.recorder.treated(journal.treatment_id, term.pseudonym)

    def _read(self) -> _Journal | None:
        body = self.records.get(JOURNAL, _ONE)
        return None if body is None else msgspec.convert(body, _Journal)

    def _write(self, journal: _Journal) -> None:
        self.records.put(JOURNAL, _ONE, msgspec.to_builtins(journal))


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
