"""Whose word counts for a client's address."""

from __future__ import annotations

import pytest

from journeymesh.errors import UsageError
from journeymesh.services.http.proxies import TrustedProxies
from journeymesh.services.http.requests import client_address


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.42.3.7", True), ("::ffff:10.42.3.7", True), ("10.43.0.1", False), ("192.0.2.1", True), ("fd00::5", True),
        ("fe80::1", False), ("testclient", False), ("", False),
    ],
)  # fmt: skip
def test_addresses_and_networks_are_trusted_and_nothing_else(address: str, trusted: bool) -> None:
    proxies = TrustedProxies(["10.42.0.0/16", "192.0.2.1", "fd00::/8"])
    assert (address in proxies) is trusted
    assert address not in TrustedProxies([])
    scope = {"client": (address, 1), "headers": [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.9")]}
    assert client_address(scope, proxies) == ("203.0.113.9" if trusted else address)


def test_what_is_no_address_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'gateway' is no address"):
        TrustedProxies(["gateway"])
