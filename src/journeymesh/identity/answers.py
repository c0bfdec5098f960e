"""Asking a provider over HTTP: bounded in time and size, whatever the other side does."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from journeymesh.errors import ExtraMissing, SettingsInvalid
from journeymesh.identity.identity import ProviderUnavailable

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer: the HTTP status, and the JSON of its body (None: it is no JSON)."""

    status: int
    body: Any


class Asking:
    """Connections to one provider's servers. Safe for several threads."""

    def __init__(self, provider: str, *, timeout_s: float, ca_file: Path | None = None, connections: int = 32) -> None:
        """``timeout_s`` bounds a whole question and its answer. ``ca_file``: whom to trust instead of the system.

        Raises:
            ExtraMissing: httpx is not installed. SettingsInvalid: the file has no certificates.
        """
        try:
            import httpx
        except ImportError as error:
            raise ExtraMissing("httpx", "services") from error
        self.provider = provider
        self.timeout_s = timeout_s
        self._client = httpx.Client(
            timeout=timeout_s,
            verify=_trust(provider, ca_file),
            follow_redirects=False,  # a key or a yes from where nobody configured it is none
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET.

        Raises:
            ProviderUnavailable: there is none in time, or it is too large.
        """
        return self._ask(self._client.build_request("GET", url, headers=dict(headers or {})))

    def post_form(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a POST of a form. Raises as ``get``."""
        return self._ask(self._client.build_request("POST", url, data=dict(form), headers=dict(headers or {})))

    def post_json(self, url: str, body: Any, *, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a POST of JSON. Raises as ``get``."""
        return self._ask(self._client.build_request("POST", url, json=body, headers=dict(headers or {})))

    def close(self) -> None:
        """Release the connections. Idempotent."""
        self._client.close()

    def _ask(self, request: httpx.Request) -> Answer:
        import httpx

        ends_at = time.monotonic() + self.timeout_s
        raw = bytearray()
        try:
            response = self._client.send(request, stream=True)
            try:
                for part in response.iter_bytes():
                    raw += part
                    if len(raw) > MAX_ANSWER_BYTES:
                        raise ProviderUnavailable(self.provider, "its answer is too large")
                    if time.monotonic() > ends_at:  # httpx bounds each read; a byte a second would never end
                        raise ProviderUnavailable(self.provider, "it answers too slowly")
            finally:
                response.close()
        except httpx.TimeoutException as error:
            raise ProviderUnavailable(self.provider, "it does not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:  # RuntimeError: the client was closed
            raise ProviderUnavailable(self.provider, "it cannot be reached") from error
        return Answer(response.status_code, _json(bytes(raw)))


def _json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _trust(provider: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsInvalid(
            f"identity provider {provider}: {ca_file} has no certificates that can be read",
            todo="name a PEM file with the certificate of the authority that signed the server's",
        ) from error
