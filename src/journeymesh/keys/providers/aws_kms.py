"""Wrapping keys in AWS KMS: symmetric keys, bound to a context by KMS itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from journeymesh.errors import ExtraMissing
from journeymesh.keys.port import KeyLost, KeysUnavailable

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
WAITING_DAYS: Final = 7
"""The least that KMS waits before it deletes a key."""
_LOST: Final = frozenset(
    {
        "NotFoundException",
        "DisabledException",
        "KMSInvalidStateException",
        "InvalidCiphertextException",
        "IncorrectKeyException",
    }
)
_SAME: Final = "use the account, region and key that this key store was made with; enable the key if it is disabled"


class AwsKmsProvider:
    """See ``KeyProvider``. Credentials come as boto3 finds them: workload identity, role, environment.

    ``region`` None: as boto3 finds it. ``endpoint`` is for endpoints of one's own network.

    Raises:
        ExtraMissing: ``boto3`` is not installed.
    """

    def __init__(self, region: str | None, *, endpoint: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        try:
            import boto3
        except ImportError as error:
            raise ExtraMissing("boto3", "keys-aws") from error
        self._boto3 = boto3
        self._region, self._endpoint, self._timeout_s = region, endpoint, timeout_s
        self.url = f"aws-kms://{region or ''}"
        self._lock = threading.Lock()
        self._opened: Any = None

    def create(self) -> str:
        tags = [{"TagKey": "application", "TagValue": "journeymesh"}]
        described = "Wraps an intermediate key of journeymesh; replaced and deleted after each treatment."
        return str(self._asked(lambda kms: kms.create_key(Description=described, Tags=tags))["KeyMetadata"]["KeyId"])

    def wrap(self, key_id: str, secret: bytes, context: str) -> bytes:
        asked = {"KeyId": key_id, "Plaintext": secret, "EncryptionContext": {"journeymesh": context}}
        return bytes(self._asked(lambda kms: kms.encrypt(**asked))["CiphertextBlob"])

    def unwrap(self, key_id: str, wrapped: bytes, context: str) -> bytes:
        asked = {"KeyId": key_id, "CiphertextBlob": wrapped, "EncryptionContext": {"journeymesh": context}}
        return bytes(self._asked(lambda kms: kms.decrypt(**asked))["Plaintext"])

    def destroy(self, key_id: str) -> datetime:
        try:
            described = self._described(key_id)
        except KeyLost:
            return datetime.now(UTC)
        if described.get("DeletionDate") is None:
            asked = {"KeyId": key_id, "PendingWindowInDays": WAITING_DAYS}
            described = self._asked(lambda kms: kms.schedule_key_deletion(**asked))
        gone_at: datetime = described["DeletionDate"]
        return gone_at.astimezone(UTC)

    def check(self, key_id: str) -> None:
        state = self._described(key_id)["KeyState"]
        if state != "Enabled":
            raise KeyLost(f"{self.url}: key {key_id} is in state {state}", todo=_SAME)

    def close(self) -> None:
        with self._lock:
            client, self._opened = self._opened, None
        if client is not None:
            client.close()

    def _described(self, key_id: str) -> dict[str, Any]:
        described: dict[str, Any] = self._asked(lambda kms: kms.describe_key(KeyId=key_id))["KeyMetadata"]
        return described

    def _client(self) -> Any:
        from botocore.config import Config

        with self._lock:
            if self._opened is None:
                waits = Config(
                    connect_timeout=self._timeout_s, read_timeout=self._timeout_s, retries={"total_max_attempts": 2}
                )
                session = self._boto3.session.Session(region_name=self._region)
                self._opened = session.client("kms", endpoint_url=self._endpoint, config=waits)
            return self._opened

    def _asked(self, ask: Callable[[Any], T]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return ask(self._client())
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown error"))
            if code in _LOST:
                raise KeyLost(f"{self.url}: {code}", todo=_SAME) from error
            raise KeysUnavailable(f"{self.url}: {code}", todo="check the rights of this workload, and KMS") from error
        except (BotoCoreError, ValueError) as error:
            raise KeysUnavailable(
                f"{self.url}: {type(error).__name__}", todo="check region, credentials and network"
            ) from error
