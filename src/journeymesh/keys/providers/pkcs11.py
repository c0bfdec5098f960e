"""Wrapping keys in an HSM, or SoftHSM, by PKCS#11: AES keys that never leave the token, wrapping by AES-GCM."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as TooSlow
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

from journeymesh.databases.database import now_us
from journeymesh.errors import ExtraMissing
from journeymesh.instants import from_us
from journeymesh.keys.derivations import NONCE_BYTES, joined
from journeymesh.keys.port import KeyLost, KeysUnavailable

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
_PREFIX: Final = "journeymesh-"


class Pkcs11Provider:
    """See ``KeyProvider``. ``module``: the vendor's library; ``token``: the label of the token; ``pin`` gives its PIN.

    A library of PKCS#11 is called in a thread of its own: where it does not answer within ``timeout_s`` the caller goes
    on with an error.

    Raises:
        ExtraMissing: ``python-pkcs11`` is not installed.
    """

    def __init__(self, module: str, token: str, pin: Callable[[], str], *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            import pkcs11
        except ImportError as error:
            raise ExtraMissing("python-pkcs11", "keys-pkcs11") from error
        self._pkcs11 = pkcs11
        self._module, self._token, self._pin, self._timeout_s = module, token, pin, timeout_s
        self.url = f"pkcs11:token={token}"
        self._session: Any = None
        self._thread: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def create(self) -> str:
        key_id = _PREFIX + os.urandom(8).hex()
        attribute = self._pkcs11.Attribute
        template = {attribute.EXTRACTABLE: False, attribute.SENSITIVE: True}
        self._asked(
            lambda: self._opened().generate_key(
                self._pkcs11.KeyType.AES, 256, label=key_id, store=True, template=template
            )
        )
        return key_id

    def wrap(self, key_id: str, secret: bytes, context: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._asked(
            lambda: bytes(self._key(key_id).encrypt(secret, **self._gcm(nonce, key_id, context)))
        )

    def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        nonce, ciphertext = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]

        def opened() -> bytes:
            key = self._key(key_id)
            try:
                return bytes(key.decrypt(ciphertext, **self._gcm(nonce, key_id, context)))
            except (
                self._pkcs11.exceptions.DataInvalid,
                self._pkcs11.exceptions.EncryptedDataInvalid,
                self._pkcs11.exceptions.EncryptedDataLenRange,
                self._pkcs11.exceptions.GeneralError,  # what SoftHSM says of a wrong tag
            ) as error:
                raise KeyLost(
                    f"{self.url}: key {key_id} does not open what it should have wrapped", todo=_SAME
                ) from error

        return self._asked(opened)

    def destroy(self, key_id: str) -> datetime:
        def destroyed() -> None:
            try:
                self._key(key_id).destroy()
            except KeyLost:
                return

        self._asked(destroyed)
        return from_us(now_us())

    def check(self, key_id: str) -> None:
        self._asked(lambda: self._key(key_id))

    def close(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            session, self._session = self._session, None
        if thread is not None:
            if session is not None:
                wait([thread.submit(session.close)], self._timeout_s)  # ended later, it would log the next one out
            thread.shutdown(wait=False)

    def _gcm(self, nonce: bytes, key_id: str, context: str) -> dict[str, Any]:
        parameters = self._pkcs11.GCMParams(nonce=nonce, aad=joined(key_id, context), tag_bits=128)
        return {"mechanism": self._pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}

    def _key(self, key_id: str) -> Any:
        kind = self._pkcs11.ObjectClass.SECRET_KEY
        try:
            return self._opened().get_key(object_class=kind, label=key_id)
        except self._pkcs11.exceptions.NoSuchKey as error:
            raise KeyLost(f"{self.url} has no key {key_id}", todo=_SAME) from error

    def _opened(self) -> Any:
        if self._session is None:
            token = self._pkcs11.lib(self._module).get_token(token_label=self._token)
            try:
                self._session = token.open(user_pin=self._pin(), rw=True)
            except self._pkcs11.exceptions.UserAlreadyLoggedIn:  # by another session of this process
                self._session = token.open(rw=True)
        return self._session

    def _asked(self, ask: Callable[[], T]) -> T:
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "pkcs11")
            thread = self._thread

        def asked() -> T:
            with self._faults():
                return ask()

        waiting = thread.submit(asked)
        try:
            return waiting.result(self._timeout_s)
        except TooSlow as error:
            waiting.cancel()
            raise KeysUnavailable(
                f"{self.url} did not answer within {self._timeout_s:g} s", todo="check the HSM and its network"
            ) from error

    @contextmanager
    def _faults(self) -> Iterator[None]:
        exceptions = self._pkcs11.exceptions
        try:
            yield
        except (exceptions.PinIncorrect, exceptions.PinLocked, exceptions.PinInvalid, exceptions.PinExpired) as error:
            raise KeysUnavailable(
                f"{self.url} refuses the PIN: {type(error).__name__}", todo="correct the PIN"
            ) from error
        except (exceptions.NoSuchToken, exceptions.TokenNotPresent, exceptions.TokenNotRecognised) as error:
            raise KeysUnavailable(f"{self.url}: there is no such token", todo="check the label and the HSM") from error
        except (exceptions.PKCS11Error, RuntimeError, OSError) as error:
            self._session = None  # whatever is wrong with it, the next call opens another
            raise KeysUnavailable(
                f"{self.url}: {type(error).__name__} {error}".rstrip(), todo="check the HSM and its library"
            ) from error


_SAME: Final = "use the token that this key store was made with"
