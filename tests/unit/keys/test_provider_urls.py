"""A provider by its URL: what is taken, what is refused, and no secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.errors import UsageError
from journeymesh.keys.providers.aws_kms import AwsKmsProvider
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.providers.pkcs11 import Pkcs11Provider
from journeymesh.keys.providers.vault import VaultProvider
from journeymesh.wiring.keys import key_provider


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("local:///var/lib/keys", LocalFileProvider),
        ("pkcs11:token=journeys?module-path=/usr/lib/hsm.so", Pkcs11Provider),
        ("pkcs11:token=journeys;object=x?module-path=/usr/lib/hsm.so&pin-source=file:/run/pin", Pkcs11Provider),
        ("aws-kms://eu-central-1", AwsKmsProvider),
        ("aws-kms://eu-central-1?endpoint=https://kms.internal", AwsKmsProvider),
        ("vault://vault.internal:8200/transit", VaultProvider),
        ("vault://vault.internal/transit?role=journeymesh", VaultProvider),
        ("vault://127.0.0.1:8200/transit?tls=off", VaultProvider),
    ],
)
def test_a_url_is_opened_as_its_kind(url: str, kind: type) -> None:
    provider = key_provider(url)
    assert type(provider) is kind
    provider.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys",
        "gcp-kms://x",
        "local://host/file",
        "local:///",
        "pkcs11:token=journeys",
        "pkcs11:?module-path=/usr/lib/hsm.so",
        "pkcs11:token=journeys?module-path=/usr/lib/hsm.so&pin-value=s3cr3t",
        "aws-kms://eu-central-1?endpoint=http://kms.internal",
        "vault://",
        "vault://token:s3cr3t@vault.internal/transit",
        "vault://vault.internal/transit?tls=off",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        key_provider(url)
    assert raised.value.todo
    assert "s3cr3t" not in str(raised.value)


def test_a_token_and_a_pin_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    provider = key_provider("vault://127.0.0.1:9/transit?tls=off")
    with pytest.raises(UsageError, match="VAULT_TOKEN"):
        provider.create()
    provider = key_provider(f"vault://127.0.0.1:9/transit?tls=off&token-source=file:{tmp_path}/none")
    with pytest.raises(UsageError, match="none"):
        provider.create()
