"""TLS settings that several threads open connections with.

httpcore sets the protocols to offer (ALPN) again on the same ``SSLContext`` before each connection. OpenSSL frees the
old list while another thread, which needs no interpreter lock for that, copies it into its own connection: the other
side is then offered freed memory and closes with ``decode error`` (seen in CI; some 50 in a million connections that
16 threads open without a pause, OpenSSL 3.0).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from threading import Lock


def set_alpn_once(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, which passes a list of ALPN protocols on to OpenSSL only when it is another than before."""
    apply = context.set_alpn_protocols
    lock = Lock()
    applied: list[str] | None = None

    def set_alpn_protocols(protocols: Iterable[str]) -> None:
        nonlocal applied
        wanted = list(protocols)
        with lock:
            if wanted != applied:
                apply(wanted)
                applied = wanted

    context.set_alpn_protocols = set_alpn_protocols  # type: ignore[method-assign,assignment]
    return context
