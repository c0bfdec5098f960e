"""The few keys of a key store that are in memory, and what they wrap: common keys, secrets, and whose these are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from journeymesh.errors import StoreCorrupt
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys.derivations import SECRET_BYTES, CommonKey, aead, joined, seal, unseal
from journeymesh.keys.port import KeyProvider, KeysUnavailable, RunSubject, Subject, VehicleMonth
from journeymesh.keys.tables import MIGRATE, common_keys, intermediate_keys, state

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

INDEX: Final = "index"
STORE: Final = "store"


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """The keys of one generation. One intermediate key and one index key; two of each while a rotation is under way."""

    generation: int
    ciphers: Mapping[int, AESGCM] = field(repr=False)
    index_keys: tuple[CommonKey, ...] = field(repr=False)
    """Newest first."""
    store_key: CommonKey = field(repr=False)

    @classmethod
    def read(cls, connection: sa.Connection, provider: KeyProvider) -> LiveKeys:
        """The keys that stand in the database, unwrapped: one call of the provider for each intermediate key.

        Raises:
            KeysUnavailable: there are none, or the provider does not unwrap them.
        """
        stands = connection.execute(sa.select(state)).first()
        if stands is None:
            raise KeysUnavailable("the key store has no keys yet", todo=MIGRATE)
        ciphers: dict[int, AESGCM] = {}
        for row in connection.execute(sa.select(intermediate_keys).where(intermediate_keys.c.wrapped.is_not(None))):
            key = provider.unwrap(row.provider_key, row.wrapped, context_of(stands.store_id, row.version))
            ciphers[row.version] = aead(key)
        kept: dict[str, list[CommonKey]] = {INDEX: [], STORE: []}
        for row in connection.execute(sa.select(common_keys).order_by(common_keys.c.version.desc())):
            secret = unseal(_cipher(ciphers, row.intermediate), row.wrapped, _common_place(row.kind, row.version))
            kept[row.kind].append(CommonKey(secret, row.version))
        if not kept[INDEX] or not kept[STORE]:
            raise StoreCorrupt("the key store has no index key", todo="restore it from a backup")
        return cls(stands.generation, ciphers, tuple(kept[INDEX]), kept[STORE][0])

    @property
    def newest(self) -> int:
        """The version of the intermediate key that wraps now."""
        return max(self.ciphers)

    @property
    def index_key(self) -> CommonKey:
        return self.index_keys[0]

    @property
    def former_index_key(self) -> CommonKey | None:
        return self.index_keys[1] if len(self.index_keys) > 1 else None

    def row(self, secret_id: str, secret: bytes, subject: Subject) -> dict[str, Any]:
        """The row of a secret, wrapped by the newest intermediate key and found under the newest index key."""
        cipher = self.ciphers[self.newest]
        return {
            "secret_id": secret_id,
            "intermediate": self.newest,
            "wrapped": seal(cipher, secret, joined("secret", secret_id)),
            "subject": seal(cipher, _encoded(subject), joined("subject", secret_id)),
            "token": token(self.index_key, subject),
            "name_token": name_token(self.index_key, subject),
        }

    def secret(self, row: Any) -> bytes:
        """The secret in this row."""
        return unseal(_cipher(self.ciphers, row.intermediate), row.wrapped, joined("secret", row.secret_id))

    def subject(self, row: Any) -> Subject:
        """Whose secret is in this row."""
        opened = unseal(_cipher(self.ciphers, row.intermediate), row.subject, joined("subject", row.secret_id))
        return _decoded(opened)


def context_of(store_id: str, version: int) -> str:
    """What a wrapped intermediate key is bound to."""
    return f"journeymesh key store {store_id} intermediate {version}"


def token(key: CommonKey, subject: Subject) -> str:
    """The token by which the secret of this subject is found."""
    return key.token("subject", *_parts(subject))


def name_token(key: CommonKey, subject: Subject) -> str | None:
    """The token by which subjects with this one's number or vehicle are found."""
    match subject:
        case PolicyTerm():
            return key.token("number", subject.number)
        case VehicleMonth():
            return key.token("vehicle", subject.vehicle)
        case RunSubject():
            return None


def generation_in(connection: sa.Connection) -> int | None:
    """The generation of the keys in this database; None: it has no keys yet."""
    found: int | None = connection.execute(sa.select(state.c.generation)).scalar()
    return found


def grow_generation(connection: sa.Connection) -> None:
    """Have every process read the keys again."""
    connection.execute(sa.update(state).values(generation=state.c.generation + 1))


def make_first_keys(connection: sa.Connection, provider: KeyProvider, provider_key: str) -> None:
    """Make the keys of a key store that has none."""
    store_id = os.urandom(16).hex()
    cipher = put_intermediate(connection, provider, (store_id, 1, provider_key))
    for kind in (INDEX, STORE):
        put_common(connection, cipher, CommonKey(os.urandom(SECRET_BYTES), 1), kind=kind, intermediate=1)
    connection.execute(sa.insert(state).values(one=1, store_id=store_id, generation=1))


def put_intermediate(connection: sa.Connection, provider: KeyProvider, named: tuple[str, int, str]) -> AESGCM:
    """Make the intermediate key of (store id, version, key at the provider); returns its cipher."""
    store_id, version, provider_key = named
    key = os.urandom(SECRET_BYTES)
    wrapped = provider.wrap(provider_key, key, context_of(store_id, version))
    row = {"version": version, "provider_key": provider_key, "wrapped": wrapped}
    connection.execute(sa.insert(intermediate_keys).values(row))
    return aead(key)


def put_common(connection: sa.Connection, cipher: AESGCM, key: CommonKey, *, kind: str, intermediate: int) -> None:
    """Keep a common key, wrapped by this intermediate key; in place of the same wrapped by another."""
    same = sa.and_(common_keys.c.kind == kind, common_keys.c.version == key.version)
    connection.execute(sa.delete(common_keys).where(same))
    wrapped = key.wrapped_by(cipher, _common_place(kind, key.version))
    row = {"kind": kind, "version": key.version, "intermediate": intermediate, "wrapped": wrapped}
    connection.execute(sa.insert(common_keys).values(row))


def _common_place(kind: str, version: int) -> bytes:
    return joined("common key", kind, str(version))


def _cipher(ciphers: Mapping[int, AESGCM], version: int) -> AESGCM:
    cipher = ciphers.get(version)
    if cipher is None:
        raise StoreCorrupt("the key store has a secret of an unknown key", todo="restore it from a backup")
    return cipher


def _parts(subject: Subject) -> tuple[str, ...]:
    match subject:
        case PolicyTerm():
            return "term", subject.tenant, subject.number, str(to_us(subject.valid_from))
        case VehicleMonth():
            return "vehicle", subject.vehicle, str(subject.month)
        case RunSubject():
            return "run", subject.run_id


def _encoded(subject: Subject) -> bytes:
    return msgspec.json.encode(_parts(subject))


def _decoded(encoded: bytes) -> Subject:
    match msgspec.json.decode(encoded):
        case ["term", tenant, number, since]:
            return PolicyTerm(number, tenant, from_us(int(since)))
        case ["vehicle", vehicle, month]:
            return VehicleMonth(vehicle, int(month))
        case ["run", run_id]:
            return RunSubject(run_id)
    raise StoreCorrupt("the key store has a secret of an unknown kind", todo="upgrade journeymesh")
