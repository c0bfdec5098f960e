"""The two ports of keys: the provider that wraps (a KMS), and the key store that keeps a secret for each policy term.

What is sealed belongs to a *subject*: a term of a policy, a vehicle in a month (what is of no term), or a run (what
has neither). Each subject has a random secret; all that its rows carry is derived from it (``derivations.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

from journeymesh.errors import StoreUnavailable
from journeymesh.instants import from_us
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.derivations import CommonKey, SubjectKeys


class VehicleMonth(NamedTuple):
    """A vehicle in a UTC month (``month_of``): owns what is of no term."""

    vehicle: str
    month: int


class RunSubject(NamedTuple):
    """A run: owns the refusals without a vehicle or an instant that it recorded."""

    run_id: str


Subject: TypeAlias = PolicyTerm | VehicleMonth | RunSubject


def month_of(instant_us: int) -> int:
    """The UTC month of this instant (µs since 1970): months since January 1970."""
    at = from_us(instant_us)
    return (at.year - 1970) * 12 + at.month - 1


class KeysUnavailable(StoreUnavailable):
    """Keys cannot be had now: the provider or the key store is out of reach, slow, or refuses. Nothing in clear."""


class KeyLost(KeysUnavailable):
    """The provider has no such key, has it disabled or destroyed, or it is another than the one that wrapped."""


class KeyProvider(Protocol):
    """Who wraps: a KMS, an HSM or a local file. Few calls: one to open a key store, three to rotate it.

    Every call ends within the adapter's timeout. Raises ``KeyLost`` where a key is not there, is disabled, destroyed
    or wrong, and ``KeysUnavailable`` for whatever else its driver raises, chained.
    """

    url: str

    def create(self) -> str:
        """Make a wrapping key; returns its id at the provider."""

    def wrap(self, key_id: str, secret: bytes, context: str) -> bytes:
        """The secret wrapped by this key, bound to the context."""

    def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        """What was wrapped by this key in this context."""

    def destroy(self, key_id: str) -> datetime:
        """Have this key destroyed; returns when it is gone: now, or after the provider's waiting time. Idempotent."""

    def check(self, key_id: str) -> None:
        """Whether the provider answers and has this key, usable. Readiness calls this."""

    def close(self) -> None:
        """Release connections. Idempotent."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """A run that shredded: its id, when it finished, and when the last of the former wrapping keys is gone."""

    treatment_id: str
    finished_at: datetime
    keys_gone_at: datetime | None = None


class KeyStore(Protocol):
    """A secret for each subject, wrapped; apart from the data. Safe for several threads.

    Subjects are found by HMACs under the index key; rows of the data are led back to their subject by the handles that
    they carry. Raises ``KeysUnavailable`` (of which ``KeyLost``) and ``StoreUnavailable``.
    """

    def index_key(self) -> CommonKey:
        """The key of tokens by which identifying values and public ids are found. Replaced by each rotation; its
        ``version`` grows by one each time."""

    def former_index_key(self) -> CommonKey | None:
        """While a rotation is under way, the key before: rows that have tokens under it are yet to be given others."""

    def store_key(self) -> CommonKey:
        """The key of the pseudonyms of tenants and products. Never replaced."""

    def keys_of(self, subjects: Iterable[Subject]) -> dict[Subject, SubjectKeys]:
        """The keys of those subjects that have a secret."""

    def ensure(self, wanted: Iterable[tuple[Subject, int | None]]) -> dict[Subject, SubjectKeys]:
        """The keys of these subjects, whose secrets are made where there are none. Each comes with the month whose
        handle (``SubjectKeys.handle``) rows will carry; None: that of rows without a month, such as the policy.

        Secrets and handles are durable when this returns: only then may rows be sealed by them.
        """

    def by_handles(self, handles: Iterable[str]) -> dict[str, SubjectKeys]:
        """The keys that these handles lead to. One that is missing was shredded, or is of another key store."""

    def subject_of(self, keys: SubjectKeys) -> Subject:
        """Whose keys these are."""

    def terms_of_number(self, number: str) -> list[PolicyTerm]:
        """The terms, of every tenant, with this number that have a secret."""

    def months_of_vehicle(self, vehicle: str) -> list[VehicleMonth]:
        """The months in which this vehicle has a secret of its own."""

    def subjects(self) -> Iterable[Subject]:
        """Every subject that has a secret, in no order."""

    def generation(self) -> int:
        """Grows with every shredding and rotation, by whatever process: who keeps keys drops them then."""

    def shred(self, subjects: Iterable[Subject]) -> int:
        """Destroy the secrets of these subjects; returns how many there were. Backups of this key store still have
        them until the rotation that has to follow."""

    def begin_rotation(self) -> None:
        """Make a new index key, a new wrapping key and a new intermediate key, by which every secret that is left is
        wrapped again. Resumable: called again, it goes on."""

    def finish_rotation(self, treatment_id: str) -> Treatment:
        """Forget the former keys, and have the former wrapping keys destroyed at the provider. Recorded as this
        treatment. Called again for a finished treatment it changes nothing."""

    def treatments(self) -> list[Treatment]:
        """What was shredded, oldest first."""

    def check(self) -> None:
        """Whether keys can be had: the database answers and the provider too. Readiness calls this."""

    def close(self) -> None:
        """Forget every key in memory and release connections. Idempotent."""
