"""What both clients are made of: their options, and the steps of each kind of call, without input or output."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Generator
from typing import Any, ClassVar, Generic, Self, TypeVar

from journeymesh.client import carrier
from journeymesh.client.calls import Call, Export
from journeymesh.client.exchange import Outcome, Step, exchange
from journeymesh.client.governed import IdentityCalls
from journeymesh.client.journey_calls import JourneyCalls
from journeymesh.client.methods import Method
from journeymesh.client.remembered import Remembered
from journeymesh.client.retries import Retries
from journeymesh.client.tokens import HeldToken

T = TypeVar("T")
TokenT = TypeVar("TokenT")
Steps = Generator[Step, Outcome, T]


class Client(JourneyCalls, IdentityCalls, Generic[TokenT]):
    """The part of a client that sends nothing; what is sent, and how it is waited for, is its subclass's to say."""

    _httpx_client: ClassVar[str]
    _lock: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        for name, made in inspect.getmembers_static(cls):
            if isinstance(made, Method):
                setattr(cls, name, made.of(cls))

    def __init__(
        self,
        url: str,
        *,
        token: TokenT | None = None,
        purpose: str | None = None,
        identity_url: str | None = None,
        timeout_s: float = 30.0,
        connect_s: float = 5.0,
        retries: Retries | None = None,
        remember_bytes: int = carrier.REMEMBERED_BYTES,
        plain_http: bool = False,
        transport: Any = None,
    ) -> None:
        self._bases = carrier.addresses(url, identity_url, plain_http=plain_http)
        self._httpx = carrier.require_httpx()
        kind = getattr(self._httpx, self._httpx_client)
        self._http = kind(**carrier.settings(timeout_s, connect_s, transport))
        self.purpose = purpose
        self._retries = retries or Retries()
        self._remembered = Remembered(remember_bytes)
        self._token, self._held, self._asking = token, HeldToken(), self._lock()

    def for_purpose(self, purpose: str | None) -> Self:
        """The same client, connections and token, for another purpose."""
        other = copy.copy(self)
        other.purpose = purpose
        return other

    def for_token(self, token: TokenT | None) -> Self:
        """The same client and connections for another bearer. What is remembered stays each bearer's own."""
        other = copy.copy(self)
        other._token, other._held, other._asking = token, HeldToken(), self._lock()
        return other

    def _steps(self, call: Call[T]) -> Steps[T]:
        reply = yield from exchange(call.request, self._retries, self._remembered)
        return call.read(reply)

    def _export_steps(self, export: Export) -> Steps[int]:
        with export.writing() as (request, into):
            yield from exchange(request, self._retries, self._remembered)
            return into.tell()
