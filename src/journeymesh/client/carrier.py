"""How both clients send with httpx: addresses, time limits, and what httpx raises as an outcome."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from journeymesh import __version__
from journeymesh.client.exchange import Reply, Request, Send, Service, Unanswered
from journeymesh.errors import ExtraMissing, UsageError
from journeymesh.shared_tls import set_alpn_once

if TYPE_CHECKING:
    import httpx

REMEMBERED_BYTES: Final = 16 * 1024 * 1024


def require_httpx() -> Any:
    """httpx.

    Raises:
        ExtraMissing: it is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise ExtraMissing("httpx", "client") from error
    return httpx


def addresses(url: str, identity_url: str | None, *, plain_http: bool) -> dict[Service, str]:
    """Where each API is. A token is sent over TLS, or to this machine, unless the caller allows otherwise.

    Raises:
        UsageError: a URL is none, or would send the token in the clear.
    """
    return {
        "journeyapi": _checked(url, plain_http),
        "identityapi": _checked(identity_url or url, plain_http),
    }


def _checked(url: str, plain_http: bool) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{parts.hostname or url!r} is no service's URL", todo="use one such as https://journeys.example"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"the URL of {parts.hostname} has more than host and path", todo="use one such as https://journeys.example"
        )
    if parts.scheme == "http" and not plain_http and not _this_machine(parts.hostname):
        raise UsageError(
            f"http://{parts.hostname} would send the token in the clear",
            todo="use https://, or give plain_http=True where the network encrypts",
        )
    return url.rstrip("/")


def _this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def settings(timeout_s: float, connect_s: float, transport: Any) -> dict[str, Any]:
    """What both kinds of httpx client are made with. Redirects are not followed: the token is for one service."""
    httpx = require_httpx()
    trust = {"verify": set_alpn_once(httpx.create_ssl_context())} if transport is None else {"transport": transport}
    return {
        **trust,
        "timeout": httpx.Timeout(timeout_s, connect=min(connect_s, timeout_s)),
        "headers": {"user-agent": f"journeymesh-client/{__version__}"},
        "follow_redirects": False,
    }


def arguments(step: Send, bases: Mapping[Service, str]) -> dict[str, Any]:
    """What httpx is to send."""
    request = step.request
    return {
        "method": request.method,
        "url": bases[request.service] + request.path,
        "params": dict(request.params) or None,
        "headers": dict(step.headers),
        "content": request.body,
    }


def reply_of(answer: httpx.Response, body: bytes) -> Reply:
    """httpx's response as ours."""
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)


def goes_elsewhere(request: Request, answer: httpx.Response) -> bool:
    """Whether the body is written to where the request says; a refusal's is read into memory."""
    return request.into is not None and answer.status_code < 300


def start_over(request: Request) -> None:
    """Forget what an earlier attempt wrote."""
    if request.into is not None:
        request.into.seek(0)
        request.into.truncate()


def unanswered(error: Exception) -> Unanswered:
    """What came of a request that httpx gave up on. Only what happens before a connection stands left no trace."""
    httpx = require_httpx()
    before = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    what = "no answer in time" if isinstance(error, httpx.TimeoutException) else "the connection broke"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        what = "cannot be reached"
    return Unanswered(what, left=not before)
