from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import yaml

from journeymesh.delivery import sops
from journeymesh.delivery.needed_secrets import NEEDED
from journeymesh.delivery.secrets import EnvironmentSecrets, SecretAbsent
from journeymesh.errors import UsageError
from journeymesh.ledger.checkpoints import CheckpointKeys, CheckpointSigner
from journeymesh.ledger.pseudonyms import Pseudonyms
from tests.support.encrypted_tree import age_key, dev_secrets, needs_sops, tree_in

pytestmark = needs_sops


def test_every_secret_of_an_environment_comes_back_as_its_readers_want_it(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    assert held.names() == tuple(sorted(needed.name for needed in NEEDED))
    for needed in NEEDED:
        values = held.values(needed.name)
        assert set(values) == set(needed.keys)
        assert needed.faults(values) == []
    keys = held.values("journeymesh-keys")
    (tmp_path / "pseudonyms.key").write_text(keys["pseudonyms.key"])
    assert Pseudonyms.from_file(tmp_path / "pseudonyms.key").of("subject", "keycloak", "ada")
    CheckpointSigner(keys["checkpoints.pem"].encode())


def test_nothing_of_a_value_stands_in_any_file_of_the_tree(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    written = [path.read_bytes() for path in held.tree.root.rglob("*") if path.is_file()]
    assert len(written) == len(NEEDED) + 1
    for needed in NEEDED:
        for value in held.values(needed.name).values():
            encoded = base64.b64encode(value.encode())
            assert not [text for text in written if value.strip().encode() in text or encoded in text]


def test_no_two_values_and_no_two_environments_share_a_password(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    other = EnvironmentSecrets(held.tree, "prod", key.file)
    other.make_missing([key.recipient])
    passwords = [
        value
        for each in (held, other)
        for name in ("postgres-passwords", "keycloak-clients")
        for value in each.values(name).values()
    ]
    assert len(set(passwords)) == len(passwords) == 24
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in passwords)


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    before = {path: path.read_bytes() for path in held.folder.iterdir()}
    held.file("gateway-tls").unlink()
    assert held.make_missing() == [held.file("gateway-tls")]
    del before[held.file("gateway-tls")]
    assert {path: path.read_bytes() for path in before} == before


def test_another_recipient_than_sops_yaml_names_is_refused(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    with pytest.raises(UsageError, match=r"dev is read by age1.*rewrap"):
        held.make_missing([age_key(tmp_path, "other").recipient])


def test_without_a_recipient_nothing_is_made(tmp_path: Path) -> None:
    held = EnvironmentSecrets(tree_in(tmp_path), "dev")
    with pytest.raises(UsageError, match="no recipients configured for dev"):
        held.make_missing()
    assert not held.folder.exists()


def test_what_is_no_recipient_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    held = EnvironmentSecrets(tree_in(tmp_path), "dev")
    with pytest.raises(UsageError, match="age1short is not an age recipient"):
        held.make_missing(["age1short"])
    assert not held.folder.exists()
    assert not held.config.exists()


def test_a_key_that_is_not_a_reader_s_fails_clearly(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    with pytest.raises(
        sops.SecretUndecryptable, match=f"no available key decrypts it; its recipients are {key.recipient}"
    ):
        sops.decrypted(held.file("keycloak-admin"), age_key(tmp_path, "other").file)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("namespace: dev", "namespace: prod"),
        ("name: keycloak-admin", "name: gateway-tls"),
        ("kind: Secret", "kind: ConfigMap"),
    ],
)
def test_a_file_that_was_changed_without_the_key_is_refused(tmp_path: Path, before: str, after: str) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    path = held.file("keycloak-admin")
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(sops.SecretTampered, match="was changed without its key"):
        held.values("keycloak-admin")


def test_a_value_moved_to_another_key_is_refused(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    path = held.file("postgres-passwords")
    text = path.read_text()
    mine, theirs = re.search(r"journeyapi: (ENC\S+)", text), re.search(r"identityapi: (ENC\S+)", text)
    assert mine is not None
    assert theirs is not None
    path.write_text(text.replace(mine[1], theirs[1]))
    with pytest.raises(sops.SecretTampered):
        held.values("postgres-passwords")


def test_renewed_passwords_are_all_new(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    before = held.values("postgres-passwords")
    held.renew("postgres-passwords")
    after = held.values("postgres-passwords")
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


def test_one_key_is_renewed_and_the_others_stay(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    before = held.values("keycloak-clients")
    held.renew("keycloak-clients", ["ingest"])
    after = held.values("keycloak-clients")
    assert after.pop("ingest") != before.pop("ingest")
    assert after == before


def test_renewing_keeps_pseudonyms_and_what_the_former_key_signed(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    before = held.values("journeymesh-keys")
    for _ in range(2):
        held.renew("journeymesh-keys")
    after = held.values("journeymesh-keys")
    assert after["pseudonyms.key"] == before["pseudonyms.key"]
    assert after["checkpoints.pem"] != before["checkpoints.pem"]
    CheckpointSigner(after["checkpoints.pem"].encode())
    assert after["checkpoints.pem"].count("BEGIN PUBLIC KEY") == 2
    assert CheckpointKeys([after["checkpoints.pem"].encode()])


def test_the_key_of_pseudonyms_is_not_renewed_even_when_named(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    with pytest.raises(UsageError, match=r"pseudonyms\.key of journeymesh-keys must stay"):
        held.renew("journeymesh-keys", ["pseudonyms.key"])


def test_a_value_that_others_gave_is_put_beside_what_is_there(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    held.put("orders-database", "password", "ünïcode and spaces\n")
    held.put("orders-database", "user", "orders")
    assert held.values("orders-database") == {"password": "ünïcode and spaces\n", "user": "orders"}


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    with pytest.raises(SecretAbsent, match="dev has no Secret orders-database"):
        held.values("orders-database")


def test_a_second_reader_reads_after_rewrapping_and_the_values_stay(tmp_path: Path) -> None:
    key, other = age_key(tmp_path), age_key(tmp_path, "other")
    held = dev_secrets(tmp_path, key)
    before = held.values("keycloak-clients")
    held.entrust([key.recipient, other.recipient])
    assert len(held.rewrap()) == len(NEEDED)
    assert EnvironmentSecrets(held.tree, "dev", other.file).values("keycloak-clients") == before
    assert held.rewrap() == []


def test_each_environment_has_its_own_readers(tmp_path: Path) -> None:
    key, other = age_key(tmp_path), age_key(tmp_path, "other")
    held = dev_secrets(tmp_path, key)
    prod = EnvironmentSecrets(held.tree, "prod", other.file)
    prod.make_missing([other.recipient])
    assert (held.recipients(), prod.recipients()) == ((key.recipient,), (other.recipient,))
    rules = yaml.safe_load(held.config.read_text())["creation_rules"]
    assert [re.search(r"/(dev|prod)/", rule["path_regex"]) is not None for rule in rules] == [True, True]
    with pytest.raises(sops.SecretUndecryptable):
        EnvironmentSecrets(held.tree, "prod", key.file).values("keycloak-admin")
