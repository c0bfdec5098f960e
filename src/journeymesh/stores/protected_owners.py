"""Whose a protected row is: the subject, and its keys, that the row's owner handle leads to."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from journeymesh.instants import from_us, to_us
from journeymesh.journeys.policies import PolicyTerm

if TYPE_CHECKING:
    from journeymesh.keys.derivations import CommonKey, SubjectKeys
    from journeymesh.keys.port import KeyStore, Subject


@dataclass(frozen=True, slots=True)
class Owner:
    """A subject with its keys. ``term``: (number, tenant, beginning in µs) where it is a term of a policy."""

    keys: SubjectKeys
    term: tuple[Any, ...] | None


_KEPT: Final = 20_000


class Owners:
    """Owners by the handles that rows carry, remembered for as long as nothing is shredded. Safe for threads.

    ``index_key``, ``former_index_key`` and ``store_key`` are those of the key store, as of the last ``refresh``.
    """

    index_key: CommonKey
    former_index_key: CommonKey | None
    store_key: CommonKey

    def __init__(self, keys: KeyStore) -> None:
        self.keys = keys
        self._lock = threading.Lock()
        self._generation = -1
        self._known: dict[str, Owner] = {}

    def refresh(self) -> None:
        """Forget every key where some were destroyed since, by whatever process. At the beginning of a transaction."""
        with self._lock:
            if (generation := self.keys.generation()) != self._generation:
                self.index_key, self.former_index_key = self.keys.index_key(), self.keys.former_index_key()
                self.store_key = self.keys.store_key()
                self._known, self._generation = {}, generation
            elif len(self._known) > _KEPT:
                self._known = {}

    def of(self, handles: Iterable[str]) -> Mapping[str, Owner]:
        """The owners that handles lead to: these and maybe others. One that is missing was shredded."""
        known = self._known
        unknown = {handle for handle in handles if handle not in known}
        if unknown:
            for handle, keys in self.keys.by_handles(unknown).items():
                known[handle] = Owner(keys, _term_of(self.keys.subject_of(keys)))
        return known

    def ensure(self, wanted: Iterable[tuple[Subject, int | None]]) -> dict[Subject, Owner]:
        """The owners that these subjects are, each with the handle of this month; their secrets are made if need be."""
        pairs = list(dict.fromkeys(wanted))
        ensured = self.keys.ensure(pairs)
        owners = {subject: Owner(keys, _term_of(subject)) for subject, keys in ensured.items()}
        known = self._known
        for subject, month in pairs:
            known[owners[subject].keys.handle(month)] = owners[subject]
        return owners


def subject_of_term(number: str, tenant: str, valid_from_us: int) -> PolicyTerm:
    """The term as keys know it."""
    return PolicyTerm(number, tenant, from_us(valid_from_us))


def _term_of(subject: Subject) -> tuple[Any, ...] | None:
    if isinstance(subject, PolicyTerm):
        return subject.number, subject.tenant, to_us(subject.valid_from)
    return None
