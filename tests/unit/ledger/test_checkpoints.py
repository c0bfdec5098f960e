"""Signed heads: signed by one key, kept in a folder, never overwritten, nothing changed unseen."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.ledger.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    CheckpointKeys,
    CheckpointRefused,
    CheckpointSigner,
    name_of,
)
from journeymesh.ledger.port import Head


def private_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(private: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private, None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


TAKEN = Checkpoint(name_of(1_700_000_000_000_000), 1_700_000_000_000_000, (Head("api", 3, b"d" * 32),), b"")


def test_a_file_is_named_by_its_instant() -> None:
    assert TAKEN.name == "20231114T221320.000000Z.checkpoint.json"
    assert name_of(9) < name_of(10) < name_of(10**6) < name_of(10**15)


def test_what_was_signed_is_read_with_the_public_key() -> None:
    key = private_pem()
    content = CheckpointSigner(key).sign(TAKEN)
    assert CheckpointKeys([public_pem(key)]).opened(TAKEN.name, content) == TAKEN
    assert CheckpointKeys([public_pem(private_pem()), public_pem(key)]).opened(TAKEN.name, content) == TAKEN


def test_a_former_key_stands_behind_the_present_one() -> None:
    former, present = private_pem(), private_pem()
    signer = CheckpointSigner(present + public_pem(former))
    assert signer.keys.opened(TAKEN.name, CheckpointSigner(former).sign(TAKEN)) == TAKEN
    assert CheckpointKeys([present]).opened(TAKEN.name, signer.sign(TAKEN)) == TAKEN


def test_another_key_name_or_byte_is_refused() -> None:
    key = private_pem()
    content, keys = CheckpointSigner(key).sign(TAKEN), CheckpointKeys([key])
    with pytest.raises(CheckpointRefused, match="none of the keys"):
        CheckpointKeys([private_pem()]).opened(TAKEN.name, content)
    with pytest.raises(CheckpointRefused, match=f"signed as {TAKEN.name}"):
        keys.opened("other", content)
    for place in range(len(content)):
        for flip in (1, 32):
            changed = content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
            with pytest.raises(CheckpointRefused):
                keys.opened(TAKEN.name, changed)
    for changed in (content + b"\n", b"", b"[]", content[:-1]):
        with pytest.raises(CheckpointRefused):
            keys.opened(TAKEN.name, changed)


def test_only_a_private_ed25519_key_signs() -> None:
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem, told in (
        (public_pem(private_pem()), "0 private keys, one is needed"),
        (private_pem() + private_pem(), "2 private keys"),
        (other, "another kind than Ed25519: make one with: openssl"),
        (b"nothing", "not PEM"),
    ):
        with pytest.raises(UsageError, match=told):
            CheckpointSigner(pem)


@pytest.mark.parametrize("where", ["folder", "file://{}/folder", "memory://{}"])
def test_a_folder_keeps_and_never_overwrites(tmp_path: Path, where: str) -> None:
    url = where.format(tmp_path) if "{" in where else str(tmp_path / where)
    kept = CheckpointFolder(url)
    assert kept.names() == []
    assert kept.newest() is None
    for at_us in (3, 1, 2):
        kept.add(name_of(at_us), str(at_us).encode())
    assert kept.names() == [name_of(1), name_of(2), name_of(3)]
    assert kept.newest() == (name_of(3), b"3")
    with pytest.raises(StoreUnavailable):
        kept.add(name_of(3), b"other")
    assert CheckpointFolder(url).read(name_of(3)) == b"3"
    with pytest.raises(StoreUnavailable):
        kept.read(name_of(4))


def test_an_unknown_kind_of_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="checkpoints nosuch://x"):
        CheckpointFolder("nosuch://x")
