"""Key stores and providers by their URLs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from journeymesh.errors import UsageError
from journeymesh.safe_text import shown_url

if TYPE_CHECKING:
    from journeymesh.journeys.policies import Policy
    from journeymesh.keys.port import KeyProvider
    from journeymesh.keys.sql import SqlKeyStore
    from journeymesh.keys.tombstone_watch import TombstoneMetrics, TombstoneWatch
    from journeymesh.keys.tombstones import Tombstones
    from journeymesh.settings import Settings
    from journeymesh.sources.vehicle_port import VehicleSource
    from journeymesh.stores.row_store import RowStore
    from journeymesh.strangler.forgetting import ControlForgetting

PIN_VARIABLE: Final = "JOURNEYMESH_PKCS11_PIN"
TOKEN_VARIABLE: Final = "VAULT_TOKEN"  # noqa: S105 - a variable's name
KNOWN: Final = "local:///FILE, pkcs11:token=LABEL?module-path=LIBRARY, aws-kms://REGION, vault://HOST[:PORT]/MOUNT"
_KUBERNETES_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def key_store(url: str, provider_url: str) -> SqlKeyStore:
    """The key store in this database, whose keys this provider wraps. Nothing is asked yet.

    Raises:
        UsageError: one of the URLs is of no kind that there is. ExtraMissing: what it needs is not installed.
    """
    from journeymesh.keys.sql import SqlKeyStore
    from journeymesh.keys.tables import KeyStoreDatabase

    return SqlKeyStore(KeyStoreDatabase(url), key_provider(provider_url))


def configured_key_store(settings: Settings) -> SqlKeyStore:
    """The key store that the settings name.

    Raises:
        UsageError: they name none, or no provider.
    """
    if settings.key_store is None or settings.key_provider is None:
        raise UsageError("no key store is named", todo="set key_store and key_provider, see docs/reference/settings")
    return key_store(settings.key_store, settings.key_provider)


def configured_tombstones(settings: Settings) -> Tombstones:
    """The tombstones that the settings name.

    Raises:
        UsageError: they name none, or no key, or the key's file is none.
    """
    from journeymesh.keys.tombstone_tables import TombstoneDatabase
    from journeymesh.keys.tombstones import Tombstones, tombstone_key

    if settings.tombstones is None or settings.tombstone_key is None:
        raise UsageError(
            "no tombstones are named", todo="set tombstones and tombstone_key, see docs/reference/settings"
        )
    return Tombstones(TombstoneDatabase(settings.tombstones), tombstone_key(settings.tombstone_key))


def sealed(store: RowStore, settings: Settings) -> RowStore:
    """The store, whose rows are sealed by the key store's keys, where the settings say so.

    Raises:
        UsageError: they name no key store or no provider, or the store is in MongoDB.
    """
    from journeymesh.stores.protected_store import ProtectedStore

    if not settings.sealed:
        return store
    require_sealable(store)
    return ProtectedStore(store, configured_key_store(settings), closes_keys=True)


def require_sealable(store: RowStore) -> None:
    """Refuse a store in MongoDB: sealed rows are not tried there.

    Raises:
        UsageError: it is one.
    """
    if urlsplit(store.url).scheme.startswith("mongodb"):
        raise UsageError("a store in MongoDB cannot be sealed", todo="move its data into SQLite or PostgreSQL")


def guarded(store: RowStore, settings: Settings) -> RowStore:
    """The store, which takes and answers nothing that tombstones cover, where the settings name tombstones.

    Raises:
        UsageError: they name tombstones by halves.
    """
    from journeymesh.stores.refusing_store import RefusingStore

    if settings.tombstones is None and settings.tombstone_key is None:
        return store
    tombstones = configured_tombstones(settings)
    return RefusingStore(store, tombstones, lambda: require_ready(tombstones, settings))


def guarded_source(source: VehicleSource, settings: Settings) -> VehicleSource:
    """The source, which gives nothing that tombstones cover, where the settings name tombstones.

    Raises:
        UsageError: they name tombstones by halves.
    """
    from journeymesh.sources.refusing_source import RefusingSource

    tombstones = tombstones_if_named(settings)
    if tombstones is None:
        return source
    return RefusingSource(source, tombstones, lambda: require_ready(tombstones, settings))


def tombstones_if_named(settings: Settings) -> Tombstones | None:
    """The tombstones that the settings name; None: they name none.

    Raises:
        UsageError: they name them by halves.
    """
    is_named = settings.tombstones is not None or settings.tombstone_key is not None
    return configured_tombstones(settings) if is_named else None


@contextmanager
def watched_tombstones(settings: Settings) -> Iterator[tuple[TombstoneWatch, TombstoneMetrics] | None]:
    """Whether the tombstones that the settings name can be trusted, and their metrics; None: they name none.

    Raises:
        UsageError: they name them by halves.
    """
    from journeymesh.keys.tombstone_watch import TombstoneMetrics, TombstoneWatch

    tombstones = tombstones_if_named(settings)
    if tombstones is None:
        yield None
        return
    watch = TombstoneWatch(lambda: require_ready(tombstones, settings), tombstones.refused)
    with closing(tombstones), watch:
        yield watch, TombstoneMetrics(watch)


def require_ready(tombstones: Tombstones, settings: Settings) -> None:
    """Refuse tombstones that cannot be trusted, by the key store as well where the settings name one.

    Raises:
        TombstonesNotReady: they are missing, of another key, or older than the key store's last run.
    """
    if settings.key_store is None:
        tombstones.require_ready()
        return
    with closing(configured_key_store(settings)) as keys:
        tombstones.require_ready(keys)


def unguarded(store: RowStore) -> RowStore:
    """The store below what tombstones guard: a guard erases what they cover before its first answer."""
    from journeymesh.stores.refusing_store import RefusingStore

    return store.inner if isinstance(store, RefusingStore) else store


@contextmanager
def control_forgetting(url: str, policies: Callable[[], Iterable[Policy]]) -> Iterator[ControlForgetting]:
    """What forgets erased terms in the control database at this URL. ``policies`` are those of the stores.

    Raises:
        StoreUnavailable: it cannot be reached, or is none.
    """
    from journeymesh.strangler.control import Control
    from journeymesh.strangler.forgetting import ControlForgetting

    with closing(Control(url)) as control:
        control.require_schema()
        yield ControlForgetting(control, policies)


def key_provider(url: str) -> KeyProvider:
    """The provider of this URL. Secrets stand in no URL: a PIN and a token come from the environment or a file.

    Raises:
        UsageError: the URL is of no kind that there is. ExtraMissing: what it needs is not installed.
    """
    match urlsplit(url).scheme:
        case "local":
            return _local(url)
        case "pkcs11":
            return _pkcs11(url)
        case "aws-kms":
            return _aws_kms(url)
        case "vault":
            return _vault(url)
    raise UsageError(f"key provider {shown_url(url)}: unknown kind", todo=f"use one of {KNOWN}")


def _local(url: str) -> KeyProvider:
    from journeymesh.keys.providers.local_file import LocalFileProvider

    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise UsageError(f"key provider {shown_url(url)} names no file", todo="use local:///FILE")
    return LocalFileProvider(unquote(parts.path))


def _pkcs11(url: str) -> KeyProvider:
    """A URI of RFC 7512: of its attributes ``token``, ``module-path`` and ``pin-source`` are read."""
    from journeymesh.keys.providers.pkcs11 import Pkcs11Provider

    path, _, query = url.partition(":")[2].partition("?")
    given = {name: unquote(value) for name, _, value in (part.partition("=") for part in path.split(";"))}
    given |= {name: unquote(value) for name, _, value in (part.partition("=") for part in query.split("&"))}
    if "pin-value" in given:
        raise UsageError("a key provider's URL has a PIN in it", todo=f"give it by pin-source or {PIN_VARIABLE}")
    if not given.get("token") or not given.get("module-path"):
        raise UsageError(
            f"key provider {shown_url(url)} names no token or no library",
            todo="use pkcs11:token=LABEL?module-path=LIBRARY",
        )
    pin = _secret(given.get("pin-source"), PIN_VARIABLE, called="PIN of the HSM")
    return Pkcs11Provider(given["module-path"], given["token"], pin)


def _aws_kms(url: str) -> KeyProvider:
    from journeymesh.keys.providers.aws_kms import AwsKmsProvider

    parts = urlsplit(url)
    endpoint = dict(parse_qsl(parts.query)).get("endpoint")
    if endpoint is not None:
        _require_tls(endpoint, url)
    return AwsKmsProvider(parts.hostname, endpoint=endpoint)


def _vault(url: str) -> KeyProvider:
    """``?role=NAME`` logs in as this workload by Kubernetes; else ``token-source`` (a file) or ``VAULT_TOKEN``.
    ``?tls=off`` is taken of a server on this machine alone."""
    from journeymesh.keys.providers.vault import VaultProvider

    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    address = f"{'http' if asked.get('tls') == 'off' else 'https'}://{parts.netloc}"
    if not parts.hostname or parts.username is not None:
        raise UsageError(f"key provider {shown_url(url)}", todo="use vault://HOST[:PORT]/MOUNT, without a token in it")
    _require_tls(address, url)
    mount = parts.path.strip("/") or "transit"
    if (role := asked.get("role")) is not None:
        service_account = _secret(asked.get("token-source", _KUBERNETES_TOKEN), None, called="service account's token")

        def by_kubernetes(client: Any) -> None:
            client.auth.kubernetes.login(role=role, jwt=service_account())

        return VaultProvider(address, mount, by_kubernetes)
    token = _secret(asked.get("token-source"), TOKEN_VARIABLE, called="token of Vault")

    def by_token(client: Any) -> None:
        client.token = token()

    return VaultProvider(address, mount, by_token)


def _require_tls(address: str, url: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise UsageError(f"key provider {shown_url(url)} has no TLS", todo="use https, or a loopback address")


def _secret(file: str | None, variable: str | None, *, called: str) -> Callable[[], str]:
    """Reads the secret each time it is needed, from the file or else the environment's variable."""

    def read() -> str:
        if file is not None:
            path = Path(unquote(urlsplit(file).path) if file.startswith("file:") else file)
            try:
                return path.read_text("utf-8").strip()
            except (OSError, ValueError) as error:
                raise UsageError(f"the {called} cannot be read from {path}", todo="check the file") from error
        value = os.environ.get(variable or "")
        if not value:
            raise UsageError(f"there is no {called}", todo=f"set {variable}, or name a file that has it")
        return value

    return read
