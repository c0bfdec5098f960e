"""Wrapping keys in a file of this machine: for development. Who reads the file has every key."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from journeymesh.databases.database import now_us
from journeymesh.instants import from_us
from journeymesh.keys.derivations import SECRET_BYTES, SealBroken, aead, joined, seal, unseal
from journeymesh.keys.port import KeyLost, KeysUnavailable

_NOTE: Final = "Wrapping keys of journeymesh, for development alone: in production they belong into a KMS."
_PRIVATE: Final = 0o600


class LocalFileProvider:
    """See ``KeyProvider``. ``path``: a JSON file of mode 0600, made by the first ``create``."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.url = f"local://{self._path}"
        self._lock = threading.Lock()

    def create(self) -> str:
        with self._changing() as keys:
            key_id = os.urandom(8).hex()
            keys[key_id] = base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        return key_id

    def wrap(self, key_id: str, secret: bytes, context: str) -> bytes:
        return seal(aead(self._key(key_id)), secret, joined(key_id, context))

    def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        try:
            return unseal(aead(self._key(key_id)), wrapped, joined(key_id, context))
        except SealBroken as error:
            raise KeyLost(f"key {key_id} of {self.url} is another than the one that wrapped", todo=_RESTORE) from error

    def destroy(self, key_id: str) -> datetime:
        if self._path.exists():
            with self._changing() as keys:
                keys.pop(key_id, None)
        return from_us(now_us())

    def check(self, key_id: str) -> None:
        self._key(key_id)

    def close(self) -> None:
        """Nothing is open."""

    def _key(self, key_id: str) -> bytes:
        found = self._read().get(key_id)
        if found is None:
            raise KeyLost(f"{self.url} has no key {key_id}", todo=_RESTORE)
        return base64.b64decode(found)

    def _read(self) -> dict[str, str]:
        try:
            with open(self._path, encoding="utf-8") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise KeysUnavailable(
                        f"{self.url} may be read by others (mode {mode:04o})", todo=f"chmod 600 {self._path}"
                    )
                keys = json.load(file)["keys"]
        except FileNotFoundError as error:
            raise KeyLost(f"{self.url}: there is no such file", todo=_RESTORE) from error
        except OSError as error:
            raise KeysUnavailable(f"{self.url}: {error.strerror}", todo="check the file's permissions") from error
        except (ValueError, KeyError, TypeError):  # not chained: what could not be read are keys
            raise KeysUnavailable(f"{self.url} is not a file of keys", todo=_RESTORE) from None
        if not isinstance(keys, dict) or not all(isinstance(each, str) for each in keys.values()):
            raise KeysUnavailable(f"{self.url} is not a file of keys", todo=_RESTORE)
        return keys

    @contextmanager
    def _changing(self) -> Iterator[dict[str, str]]:
        """The keys to change; the file is replaced as a whole, its former content overwritten."""
        import fcntl

        with self._lock:
            try:
                folder = os.open(self._path.parent, os.O_RDONLY)
            except OSError as error:
                raise KeysUnavailable(f"{self.url}: its folder: {error.strerror}", todo="create the folder") from error
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                keys = self._read() if self._path.exists() else {}
                yield keys
                self._replace(keys)
                os.fsync(folder)
            except OSError as error:
                raise KeysUnavailable(f"{self.url}: {error.strerror}", todo="check folder and free space") from error
            finally:
                os.close(folder)

    def _replace(self, keys: dict[str, str]) -> None:
        former = self._path.stat().st_size if self._path.exists() else 0
        beside = self._path.with_name(self._path.name + ".new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _PRIVATE)
            json.dump({"note": _NOTE, "keys": keys}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        old = os.open(self._path, os.O_WRONLY) if former else None
        os.replace(beside, self._path)
        if old is not None:
            os.write(old, bytes(former))
            os.fsync(old)
            os.close(old)


_RESTORE: Final = "restore the file that this key store was made with"
