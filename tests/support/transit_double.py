"""The part of the transit engine of Vault and OpenBao that journeymesh asks, as documented in their HTTP API.

https://openbao.org/api-docs/secret/transit/
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from journeymesh.keys.derivations import derived
from tests.support.scripted_server import Exchange, ScriptedServer, scripted_server


class TransitDouble:
    """Keys by name; each is derived for the context, which is required. ``refuses_with``: every answer's status."""

    def __init__(self) -> None:
        self.token = "t-1"
        self.refuses_with: int | None = None
        self.keys: dict[str, dict[str, Any]] = {}
        self.server: ScriptedServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    def answer(self, exchange: Exchange) -> None:
        asked = json.loads(exchange.asked() or b"{}")
        if self.refuses_with is not None:
            return exchange.answer({"errors": ["refused"]}, self.refuses_with)
        if exchange.headers.get("X-Vault-Token") != self.token:
            return exchange.answer({"errors": ["permission denied"]}, 403)
        status, body = self._routed(exchange.command, exchange.path.removeprefix("/v1/transit/").split("/"), asked)
        return exchange.answer(body, status) if status != 204 else exchange.answer(b"", 204)

    def _routed(self, method: str, path: list[str], asked: dict[str, Any]) -> tuple[int, Any]:
        match [method, *path]:
            case ["POST" | "PUT", "keys", name]:
                self.keys.setdefault(name, {"secret": os.urandom(32), "deletion_allowed": False})
                return 204, None
            case ["POST" | "PUT", "keys", name, "config"] if name in self.keys:
                self.keys[name] |= asked
                return 204, None
            case ["GET", "keys", name] if name in self.keys:
                return 200, {"data": {"name": name, "type": "aes256-gcm96", "derived": True}}
            case ["DELETE", "keys", name] if name in self.keys:
                if not self.keys[name]["deletion_allowed"]:
                    return 400, {"errors": ["deletion is not allowed for this key"]}
                del self.keys[name]
                return 204, None
            case ["POST" | "PUT", "encrypt", name] if name in self.keys:
                nonce = os.urandom(12)
                sealed = self._cipher(name, asked).encrypt(nonce, base64.b64decode(asked["plaintext"]), None)
                return 200, {"data": {"ciphertext": "vault:v1:" + base64.b64encode(nonce + sealed).decode()}}
            case ["POST" | "PUT", "decrypt", name]:
                return self._decrypted(name, asked)
        return 404, {"errors": []}

    def _decrypted(self, name: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        try:
            raw = base64.b64decode(asked["ciphertext"].removeprefix("vault:v1:"), validate=True)
            opened = self._cipher(name, asked).decrypt(raw[:12], raw[12:], None)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(opened).decode()}}

    def _cipher(self, name: str, asked: dict[str, Any]) -> AESGCM:
        return AESGCM(derived(self.keys[name]["secret"], base64.b64decode(asked["context"])))


@contextmanager
def transit_double() -> Iterator[TransitDouble]:
    double = TransitDouble()
    with scripted_server(double.answer) as server:
        double.server = server
        yield double
