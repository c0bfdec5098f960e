"""People in a file and a key beside it: a provider for laptops and tests. It also mints the tokens it accepts."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from journeymesh.errors import ExtraMissing, NotFound, UsageError
from journeymesh.identity.capabilities import BY_NAME
from journeymesh.identity.identity import Identity, ProviderState, ProviderUnavailable, TokenRefused
from journeymesh.identity.keys import KeyRing
from journeymesh.identity.tokens import (
    TokenRefusal,
    TokenRules,
    expires_at_s,
    token_digest,
    verified_claims,
)
from journeymesh.yaml_files import load_yaml

if TYPE_CHECKING:
    from joserfc.jwk import Key

STATIC_ISSUER: Final = "https://static.journeymesh.invalid"
"""The issuer of tokens minted here, unless settings name another. The name can never be anybody's (RFC 2606)."""

AUDIENCE: Final = "journeymesh"
"""Whom tokens are for, unless settings name another."""

MAX_TTL_S: Final = 86_400.0
_KEY_TODO: Final = "name a PEM file with an EC or Ed25519 key, or let `create_key` write one"


class PeopleInvalid(UsageError):
    """A file of people, or the key beside it, cannot be used."""


class PersonUnknown(NotFound):
    """There is no person of this name in the file."""


class StaticPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody in the file. ``capabilities``: by data product, the names of what they are capable of. ``person``: the
    id by which other providers know them too."""

    tenant: str
    domains: frozenset[str] = frozenset()
    capabilities: dict[str, frozenset[str]] = {}
    person: str | None = None


class _PeopleFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    people: dict[str, StaticPerson]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSettings:
    """``people``: the YAML file. ``key``: PEM; with a public key tokens are checked but not minted."""

    people: Path
    key: Path
    issuer: str = STATIC_ISSUER
    audience: str = AUDIENCE


class StaticProvider:
    """The people of a YAML file, with tokens signed by a local key. Safe for several threads.

    The file is read again when it changes: who is no longer in it is refused, and what changed counts at once.
    """

    kind = "static"
    staleness_s = 0.0

    def __init__(
        self,
        name: str,
        settings: StaticSettings,
        *,
        tenants: frozenset[str] | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """``tenants``: those whose people it may name; None: any.

        Raises:
            PeopleInvalid: one of the files cannot be used. ExtraMissing: joserfc is not installed.
        """
        self.name = name
        self.issuers: tuple[str, ...] = (settings.issuer,)
        self.tenants = tenants
        self._rules = TokenRules(issuer=settings.issuer, audience=settings.audience)
        self._key, self._algorithm = _read_key(settings.key)
        self._keys = _OneKey(self._key)
        self._now_s = now_s
        self._people = _FollowedPeople(settings.people)
        self._people.current()

    def identify(self, token: str) -> Identity:
        """Who bears this token. Raises as the port says."""
        claims = verified_claims(token, self._keys, self._rules, now_s=self._now_s)
        subject = claims.get("sub")
        person = self._person(subject) if isinstance(subject, str) else None
        if person is None or not isinstance(subject, str):
            raise TokenRefused(TokenRefusal.SUBJECT)
        return Identity(
            provider=self.name,
            subject=subject,
            tenant=person.tenant,
            domains=person.domains,
            person=person.person,
            expires_at_s=expires_at_s(claims, self._rules),
            token_digest=token_digest(token),
        )

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:  # noqa: ARG002 - the port's
        """What the file says now. Raises as the port says."""
        person = self._person(identity.subject)
        if person is None or person.tenant != identity.tenant:
            raise TokenRefused(TokenRefusal.INACTIVE)
        return person.capabilities.get(product, frozenset())

    def mint(self, subject: str, ttl_s: float = 3600.0, audience: str | None = None) -> str:
        """A token for a person of the file.

        Raises:
            PersonUnknown: there is none. UsageError: ``ttl_s`` is not above 0 and up to a day, or the key is public.
        """
        people = self._people.current()
        if subject not in people:
            raise PersonUnknown(f"no person {subject!r} in the file", todo=f"known: {', '.join(sorted(people))}")
        if not 0 < ttl_s <= MAX_TTL_S:
            raise UsageError(f"a token cannot hold for {ttl_s:g} s", todo="choose from 1 s to a day")
        if not self._key.is_private:
            raise UsageError("tokens cannot be minted with a public key", todo="name the private key's file")
        from joserfc import jwt

        now_s = self._now_s()
        claims = {
            "iss": self._rules.issuer,
            "aud": audience or self._rules.audience,
            "sub": subject,
            "iat": int(now_s),
            "exp": now_s + ttl_s,
            "jti": secrets.token_hex(8),
        }
        return jwt.encode({"alg": self._algorithm}, claims, self._key, algorithms=[self._algorithm])

    def people(self) -> list[str]:
        """The names of all people in the file.

        Raises:
            ProviderUnavailable: it cannot be read.
        """
        return sorted(self._people.current())

    def state(self) -> ProviderState:
        """Ready as long as the file can be read."""
        try:
            known = len(self._people.current())
        except PeopleInvalid as error:
            return ProviderState(self.name, self.kind, self.issuers[0], False, what=error.what)
        return ProviderState(self.name, self.kind, self.issuers[0], True, what=f"{known} people")

    def close(self) -> None:
        """Nothing to release."""

    def _person(self, subject: str) -> StaticPerson | None:
        try:
            return self._people.current().get(subject)
        except PeopleInvalid as error:
            raise ProviderUnavailable(self.name, "its file of people cannot be used") from error


def create_key(path: Path) -> None:
    """Write a new Ed25519 private key as PEM that only its owner can read.

    Raises:
        UsageError: there is a file already, or none can be written there.
    """
    import os

    try:
        from joserfc.jwk import OKPKey
    except ImportError as error:
        raise ExtraMissing("joserfc", "services") from error
    pem = OKPKey.generate_key("Ed25519").as_pem(private=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", todo="remove it first, or use it") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", todo="choose another folder") from error


class _OneKey:
    """The file's key, whatever key id a token names."""

    def __init__(self, key: Key) -> None:
        self._ring = KeyRing([(None, None, key)])

    def find(self, kid: str | None, algorithm: str) -> Key:
        key = None if kid is not None else self._ring.find(None, algorithm)
        if key is None:
            raise TokenRefused(TokenRefusal.KEY)
        return key


class _FollowedPeople:
    """The people of a file, read again when the file is another one or has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int], Mapping[str, StaticPerson]] | None = None

    def current(self) -> Mapping[str, StaticPerson]:
        """By subject. Raises ``PeopleInvalid``."""
        try:
            seen = self._path.stat()
        except OSError as error:
            raise _unreadable(self._path, error) from error
        mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        read = self._read
        if read is None or read[0] != mark:
            with self._lock:
                read = (mark, read_people(self._path))
                self._read = read
        return read[1]


def read_people(path: Path) -> Mapping[str, StaticPerson]:
    """The people of a YAML file, by subject.

    Raises:
        PeopleInvalid: it cannot be read, or says something that is not understood.
    """
    try:
        document = load_yaml(path.read_text("utf-8"))
        people = msgspec.convert(document, _PeopleFile).people
    except OSError as error:
        raise _unreadable(path, error) from error
    except (yaml.YAMLError, UnicodeError, RecursionError) as error:
        raise PeopleInvalid(f"{path}: not YAML", todo="correct the file") from error
    except msgspec.ValidationError as error:
        raise PeopleInvalid(f"{path}: {error}", todo="correct the file") from error
    for subject, person in people.items():
        _check_person(path, subject, person)
    return people


def _check_person(path: Path, subject: str, person: StaticPerson) -> None:
    if not subject or not person.tenant:
        raise PeopleInvalid(f"{path}: {subject or 'a person'}: a name and a tenant are needed", todo="give both")
    for product, names in person.capabilities.items():
        for name in sorted(names):
            if (product, name) not in BY_NAME:
                known = sorted(known for of, known in BY_NAME if of == product) or sorted({of for of, _ in BY_NAME})
                raise PeopleInvalid(
                    f"{path}: {subject}: there is no capability {name} of product {product}",
                    todo=f"choose from {', '.join(known)}",
                )


def _unreadable(path: Path, error: OSError) -> PeopleInvalid:
    return PeopleInvalid(f"{path}: cannot be read ({error.strerror})", todo="check the path and its permissions")


def _read_key(path: Path) -> tuple[Key, str]:
    """The key of a PEM file, and the algorithm it is for."""
    try:
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, OKPKey
    except ImportError as error:
        raise ExtraMissing("joserfc", "services") from error
    algorithms = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise PeopleInvalid(f"{path}: cannot be read ({error.strerror})", todo=_KEY_TODO) from error
    kinds: tuple[Any, ...] = (OKPKey, ECKey)
    for kind in kinds:
        try:
            key: Key = kind.import_key(pem)
            curve = getattr(key, "curve_name", "")
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if curve in algorithms:
            return key, algorithms[curve]
    raise PeopleInvalid(f"{path}: this is not an EC or Ed25519 key", todo=_KEY_TODO)
