"""Proxies whose word counts: where the client's address is theirs to say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from journeymesh.errors import UsageError

_REMEMBERED = 4_096


class TrustedProxies:
    """Addresses and networks (``10.42.0.0/16``), asked by ``in``. Safe for several threads.

    Raises:
        UsageError: one of them is neither.
    """

    def __init__(self, named: Iterable[str]) -> None:
        networks = []
        for each in named:
            try:
                networks.append(ipaddress.ip_network(each.strip(), strict=False))
            except ValueError as error:
                what = f"the trusted proxy {each!r} is no address and no network"
                raise UsageError(what, todo="name one like 10.0.0.7 or 10.42.0.0/16") from error
        self._networks = tuple(networks)
        self._is_one = lru_cache(_REMEMBERED)(self._looked_up)

    def __contains__(self, address: Any) -> bool:
        return bool(self._networks) and self._is_one(address)

    def _looked_up(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:  # a test's, or none
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._networks)
