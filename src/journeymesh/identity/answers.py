"""Asking a provider over HTTP: bounded in time and size, whatever the other side does."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from journeymesh.errors import ExtraMissing, SettingsInvalid
from journeymesh.identity.identity import ProviderUnavailable
from journeymesh.shared_tls import set_alpn_once

MAX_ANSWER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """A provider's answer: the HTTP status, and the JSON of its body (None: it is no JSON)."""

    status: int
    body: Any


class Asking:
    """Connections to one provider's servers, kept open. Safe for several threads.

    Redirects are not followed: a key, or a yes, from where nobody configured it is none.
    """

    def __init__(self, provider: str, *, timeout_s: float, ca_file: Path | None = None, connections: int = 32) -> None:
        """``timeout_s`` bounds a whole question and its answer. ``ca_file``: whom to trust instead of the system.

        Raises:
            ExtraMissing: httpcore is not installed. SettingsInvalid: the file has no certificates.
        """
        try:
            import httpcore

            from journeymesh.identity.deadlines import Deadline, DeadlineBackend
        except ImportError as error:
            raise ExtraMissing("httpcore", "services") from error
        self.provider = provider
        self.timeout_s = timeout_s
        self._deadline = Deadline()
        self._closed = False
        self._connections = httpcore.ConnectionPool(
            ssl_context=_trust(provider, ca_file),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=DeadlineBackend(self._deadline),
        )

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> ProviderAnswer:
        """The answer to a GET.

        Raises:
            ProviderUnavailable: there is none in time, or it is too large.
        """
        return self._ask("GET", url, headers or {})

    def post_form(
        self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> ProviderAnswer:
        """The answer to a POST of a form. Raises as ``get``."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", url, {**kind, **(headers or {})}, urlencode(form).encode())

    def post_json(self, url: str, body: Any, *, headers: Mapping[str, str] | None = None) -> ProviderAnswer:
        """The answer to a POST of JSON. Raises as ``get``."""
        return self._ask(
            "POST", url, {"Content-Type": "application/json", **(headers or {})}, msgspec.json.encode(body)
        )

    def close(self) -> None:
        """Release the connections; nothing is asked any more. Idempotent."""
        self._closed = True
        self._connections.close()

    def _ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None) -> ProviderAnswer:
        import httpcore

        if self._closed:
            raise ProviderUnavailable(self.provider, "it was closed")
        raw = bytearray()
        sent = [("Accept", "application/json"), ("User-Agent", "journeymesh"), *headers.items()]
        waits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self.timeout_s)}
        try:
            with (
                self._deadline.within(self.timeout_s),
                self._connections.stream(method, url, headers=sent, content=content, extensions=waits) as response,
            ):
                for part in response.iter_stream():
                    raw += part
                    if len(raw) > MAX_ANSWER_BYTES:
                        raise ProviderUnavailable(self.provider, "its answer is too large")
        except httpcore.TimeoutException as error:
            raise ProviderUnavailable(self.provider, "it does not answer in time") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError) as error:
            raise ProviderUnavailable(self.provider, "it cannot be reached") from error
        return ProviderAnswer(response.status, _json(bytes(raw)))


def _json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _trust(provider: str, ca_file: Path | None) -> ssl.SSLContext:
    try:
        return set_alpn_once(ssl.create_default_context(cafile=None if ca_file is None else str(ca_file)))
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            f"identity provider {provider}: {ca_file} has no certificates that can be read",
            todo="name a PEM file with the certificate of the authority that signed the server's",
        ) from error
