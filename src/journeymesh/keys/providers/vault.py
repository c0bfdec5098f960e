"""Wrapping keys in the transit engine of HashiCorp Vault or OpenBao: derived keys, so that a context is required."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from journeymesh.databases.database import now_us
from journeymesh.errors import ExtraMissing
from journeymesh.instants import from_us
from journeymesh.keys.port import KeyLost, KeysUnavailable

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
_SAME: Final = "use the server and the mount that this key store was made with"
_PREFIX: Final = "journeymesh-"


class VaultProvider:
    """See ``KeyProvider``. ``address``: ``https://…``; ``mount``: where the transit engine is mounted; ``log_in`` gives
    a client its token, again where the server no longer takes it.

    Raises:
        ExtraMissing: ``hvac`` is not installed.
    """

    def __init__(
        self, address: str, mount: str, log_in: Callable[[Any], None], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        try:
            import hvac
        except ImportError as error:
            raise ExtraMissing("hvac", "keys-vault") from error
        self._hvac = hvac
        self._address, self._mount, self._log_in, self._timeout_s = address, mount, log_in, timeout_s
        self.url = f"vault://{address.partition('://')[2]}/{mount}"
        self._lock = threading.Lock()
        self._client: Any = None

    def create(self) -> str:
        key_id = _PREFIX + os.urandom(8).hex()
        self._asked(lambda at: at.create_key(key_id, derived=True, key_type="aes256-gcm96", mount_point=self._mount))
        return key_id

    def wrap(self, key_id: str, secret: bytes, context: str) -> bytes:
        self.check(key_id)  # Vault makes a key that is not there where the token may
        given = {"plaintext": _encoded(secret), "context": _encoded(context.encode()), "mount_point": self._mount}
        answer = self._asked(lambda at: at.encrypt_data(key_id, **given))
        return str(answer["data"]["ciphertext"]).encode()

    def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        given = {"ciphertext": wrapped.decode(), "context": _encoded(context.encode()), "mount_point": self._mount}
        answer = self._asked(lambda at: at.decrypt_data(key_id, **given), lost_on_refusal=True)
        return base64.b64decode(answer["data"]["plaintext"])

    def destroy(self, key_id: str) -> datetime:
        try:
            self.check(key_id)
        except KeyLost:
            return from_us(now_us())
        self._asked(lambda at: at.update_key_configuration(key_id, deletion_allowed=True, mount_point=self._mount))
        self._asked(lambda at: at.delete_key(key_id, mount_point=self._mount))
        return from_us(now_us())

    def check(self, key_id: str) -> None:
        self._asked(lambda at: at.read_key(key_id, mount_point=self._mount))

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.adapter.close()

    def _transit(self, *, again: bool = False) -> Any:
        with self._lock:
            if self._client is None or again:
                self._client = self._hvac.Client(self._address, timeout=self._timeout_s, namespace=None)
                self._log_in(self._client)
            return self._client.secrets.transit

    def _asked(self, ask: Callable[[Any], T], *, lost_on_refusal: bool = False) -> T:
        from requests.exceptions import RequestException

        exceptions = self._hvac.exceptions
        try:
            try:
                return ask(self._transit())
            except (exceptions.Forbidden, exceptions.Unauthorized):
                return ask(self._transit(again=True))  # the token may have ended
        except exceptions.InvalidPath as error:
            raise KeyLost(f"{self.url} has no such key", todo=_SAME) from error
        except exceptions.InvalidRequest as error:
            if lost_on_refusal:
                raise KeyLost(f"{self.url} does not open what it should have wrapped", todo=_SAME) from error
            raise KeysUnavailable(f"{self.url} refuses the request", todo="check the transit engine") from error
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise KeysUnavailable(f"{self.url} refuses the token", todo="check the token and its policy") from error
        except exceptions.VaultError as error:
            raise KeysUnavailable(
                f"{self.url}: {type(error).__name__}", todo="check that the server is up and unsealed"
            ) from error
        except RequestException as error:
            raise KeysUnavailable(
                f"{self.url}: {type(error).__name__}", todo="check the address and the network"
            ) from error


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
