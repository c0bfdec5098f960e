"""The commands as people type them: what they print, what they refuse, how they end."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from tests.support.encrypted_tree import needs_sops

from journeymesh.cli.main import outcome
from journeymesh.delivery.secrets import EnvironmentSecrets
from journeymesh.delivery.tree import Tree

pytestmark = needs_sops


@pytest.fixture
def begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """A tree whose dev was begun by the printed commands, and the key's file."""
    tree, keys = tmp_path / "tree", tmp_path / "keys"
    (tree / "customization").mkdir(parents=True)
    assert outcome(["delivery", "secrets", "keys", "new", str(keys), "--name", "dev"]) == 0
    recipient = re.search(r"^public +(age1\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert recipient is not None
    new = ["delivery", "secrets", "new", "--env", "dev", "--recipient", recipient[1], "--tree", str(tree)]
    assert outcome(new) == 0
    return tree, keys / "dev.agekey"


def _called(tree: Path, *arguments: str) -> int:
    return outcome(["delivery", "secrets", *arguments, "--tree", str(tree)])


def test_from_nothing_to_a_checked_environment_by_two_commands(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tree, key = begun
    made = capsys.readouterr().out
    assert made.count("made     customization/secrets/dev/") == 5
    assert _called(tree, "check", "--env", "dev", "--key-file", str(key)) == 0
    assert capsys.readouterr().out == "dev: 5 Secrets in order\n"
    assert _called(tree, "check", "--env", "dev", "--sealed") == 0
    assert key.stat().st_mode & 0o077 == 0


def test_again_changes_nothing_and_says_so(begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    tree, _ = begun
    before = {path: path.read_bytes() for path in tree.rglob("*.enc.yaml")}
    capsys.readouterr()
    assert _called(tree, "new", "--env", "dev") == 0
    assert capsys.readouterr().out == "dev has every Secret that it needs; nothing was changed\n"
    assert {path: path.read_bytes() for path in tree.rglob("*.enc.yaml")} == before


def test_a_value_comes_by_standard_input_and_is_never_printed(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, key = begun
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery staple"))
    assert _called(tree, "set", "orders-database", "password", "--env", "dev", "--key-file", str(key)) == 0
    told = capsys.readouterr()
    assert "horse" not in told.out + told.err
    held = EnvironmentSecrets(Tree(tree), "dev", key)
    assert held.values("orders-database") == {"password": "correct horse battery staple"}


def test_an_empty_value_is_refused(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, _ = begun
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert _called(tree, "set", "orders-database", "password", "--env", "dev") == 2
    assert "the value on standard input is empty" in capsys.readouterr().err


def test_a_fault_is_printed_with_its_file_and_ends_with_1(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tree, _ = begun
    (tree / "customization/secrets/dev/gateway-tls.enc.yaml").unlink()
    capsys.readouterr()
    assert _called(tree, "check", "--env", "dev", "--sealed") == 1
    told = capsys.readouterr().out
    assert told.startswith("customization/secrets/dev/gateway-tls.enc.yaml: secret-missing: ")
    assert told.count("\n") == 1


def test_what_must_stay_is_refused_with_the_reason(
    begun: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tree, key = begun
    rotate = ["rotate", "journeymesh-keys", "--env", "dev", "--key", "pseudonyms.key", "--key-file", str(key)]
    assert _called(tree, *rotate) == 2
    assert "with another key, earlier pseudonyms cannot be matched" in capsys.readouterr().err


def test_a_private_key_is_not_made_in_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".git").mkdir()
    assert outcome(["delivery", "secrets", "keys", "new", str(tmp_path / "keys")]) == 2
    assert "is in the git repository" in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_an_unknown_environment_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "customization").mkdir()
    assert _called(tmp_path, "new", "--env", "staging", "--recipient", "age1x") == 2
    assert "no environment staging: use one of dev, test, prod" in capsys.readouterr().err
