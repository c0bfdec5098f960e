"""A key store in memory, gone with its process: for tests, and to try a store with its layer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from journeymesh.databases.database import now_us
from journeymesh.instants import from_us
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.derivations import SECRET_BYTES, CommonKey, SubjectKeys
from journeymesh.keys.port import Subject, Treatment, VehicleMonth


class MemoryKeyStore:
    """See ``KeyStore``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[Subject, SubjectKeys] = {}
        self._subjects: dict[str, Subject] = {}
        self._handles: dict[str, Subject] = {}
        self._index_key = CommonKey(os.urandom(SECRET_BYTES), 1)
        self._former_index_key: CommonKey | None = None
        self._store_key = CommonKey(os.urandom(SECRET_BYTES), 1)
        self._treatments: list[Treatment] = []
        self._generation = 0

    def index_key(self) -> CommonKey:
        return self._index_key

    def former_index_key(self) -> CommonKey | None:
        return self._former_index_key

    def store_key(self) -> CommonKey:
        return self._store_key

    def keys_of(self, subjects: Iterable[Subject]) -> dict[Subject, SubjectKeys]:
        return {subject: self._keys[subject] for subject in subjects if subject in self._keys}

    def ensure(self, wanted: Iterable[tuple[Subject, int | None]]) -> dict[Subject, SubjectKeys]:
        ensured: dict[Subject, SubjectKeys] = {}
        with self._lock:
            for subject, month in wanted:
                keys = self._keys.get(subject)
                if keys is None:
                    keys = SubjectKeys(os.urandom(16).hex(), os.urandom(SECRET_BYTES))
                    self._keys[subject], self._subjects[keys.secret_id] = keys, subject
                self._handles[keys.handle(month)] = subject
                ensured[subject] = keys
        return ensured

    def by_handles(self, handles: Iterable[str]) -> dict[str, SubjectKeys]:
        return {handle: self._keys[self._handles[handle]] for handle in handles if handle in self._handles}

    def subject_of(self, keys: SubjectKeys) -> Subject:
        return self._subjects[keys.secret_id]

    def terms_of_number(self, number: str) -> list[PolicyTerm]:
        return [each for each in list(self._keys) if isinstance(each, PolicyTerm) and each.number == number]

    def months_of_vehicle(self, vehicle: str) -> list[VehicleMonth]:
        return [each for each in list(self._keys) if isinstance(each, VehicleMonth) and each.vehicle == vehicle]

    def subjects(self) -> Iterable[Subject]:
        return list(self._keys)

    def generation(self) -> int:
        return self._generation

    def shred(self, subjects: Iterable[Subject]) -> int:
        with self._lock:
            gone = [keys for subject in subjects if (keys := self._keys.pop(subject, None)) is not None]
            shredded = {self._subjects.pop(keys.secret_id) for keys in gone}
            self._handles = {handle: each for handle, each in self._handles.items() if each not in shredded}
            self._generation += 1
        return len(gone)

    def begin_rotation(self) -> None:
        with self._lock:
            if self._former_index_key is None:
                self._former_index_key = self._index_key
                self._index_key = CommonKey(os.urandom(SECRET_BYTES), self._index_key.version + 1)
                self._generation += 1

    def finish_rotation(self, treatment_id: str) -> Treatment:
        with self._lock:
            for treatment in self._treatments:
                if treatment.treatment_id == treatment_id:
                    return treatment
            at = from_us(now_us())
            self._former_index_key = None
            self._treatments.append(treatment := Treatment(treatment_id, at, at))
            self._generation += 1
            return treatment

    def treatments(self) -> list[Treatment]:
        return list(self._treatments)

    def check(self) -> None:
        """Nothing is out of reach."""

    def close(self) -> None:
        """The keys stay: they are nowhere else."""
