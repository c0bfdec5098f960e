"""1,000 of 1,000 tampers are found, each with its first bad record."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from journeymesh.errors import UsageError
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointKeys, CheckpointRefused, CheckpointSigner
from journeymesh.ledger.verification import ChainFault
from tests.support.rooms_databases import database_url
from tests.support.tampers import CHAIN_TAMPERS, LINKED_ANEW, Chains, Row

__all__ = ["database_url"]

PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
OTHER_PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC_PEM = load_pem_private_key(PEM, None).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KEYS = CheckpointKeys([PUBLIC_PEM])
WRITERS, CHECKPOINTS = 3, 4


class Installation:
    """An audit of three writers, signed four times, the last time after its last record."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = AuditDatabase(url)
        self.database.migrate()
        self.audit = Audit(self.database)
        self.folder = folder
        self.kept = CheckpointFolder(str(folder))
        writers = [self.audit.writer(f"api-{n}") for n in range(WRITERS)]
        for checkpoint in range(CHECKPOINTS):
            for n in range(8 * WRITERS):
                body = {"n": n, "reason": "allowed"}
                writers[n % WRITERS].append("decision.made", body, key=f"{checkpoint}-{n}").result(10)
            self.audit.checkpoint(CheckpointSigner(PEM), self.kept)
        for writer in writers:
            writer.close()
        with self.database.reading() as connection:
            read = connection.exec_driver_sql("SELECT * FROM audit_records ORDER BY writer, number").all()
        self.rows: list[Row] = [[*row] for row in read]
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self._allow_changes()

    def _allow_changes(self) -> None:
        """Whoever owns a database can drop its triggers, its key and its NOT NULLs, too."""
        loose = [
            "CREATE TABLE loose AS SELECT * FROM audit_records",
            "DROP TABLE audit_records",
            "ALTER TABLE loose RENAME TO audit_records",
        ]
        with self.database.writing() as connection:
            for statement in loose:
                connection.exec_driver_sql(statement)

    def chains(self) -> Chains:
        chains: Chains = {}
        for row in self.rows:
            chains.setdefault(row[0], []).append([*row])
        return chains

    def replace(self, rows: list[Row]) -> None:
        mark = ", ".join(["?" if self.database.is_sqlite else "%s"] * 7)
        if not self.database.is_sqlite:  # its columns of bytes keep bytes, whoever owns them
            rows = [[*row[:5], *(each.encode() if isinstance(each, str) else each for each in row[5:])] for row in rows]
        with self.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM audit_records")
            connection.exec_driver_sql(f"INSERT INTO audit_records VALUES ({mark})", [tuple(row) for row in rows])

    def restore_files(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)

    def findings(self) -> tuple[ChainFault, ...]:
        return self.audit.verify(self.kept, KEYS).findings


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(database_url, tmp_path / "checkpoints")
    yield made
    made.database.close()


def test_an_untouched_audit_holds(installation: Installation) -> None:
    found = installation.audit.verify(installation.kept, KEYS)
    assert (found.records, found.chains, found.checkpoints, found.unsigned, found.findings) == (96, 3, 4, 0, ())


def test_every_tamper_is_found_with_its_first_bad_record(installation: Installation) -> None:
    rng = random.Random(20_250_101)
    wanted = 900 if installation.database.is_sqlite else 200
    made: Counter[str] = Counter()
    for n in range(wanted):
        tamper = CHAIN_TAMPERS[n % len(CHAIN_TAMPERS)]
        chains = installation.chains()
        writer, number = tamper(chains, rng)
        rows = [row for chain in chains.values() for row in chain]
        if rows == installation.rows:  # a digest replaced by itself and the like
            continue
        installation.replace(rows)
        named = [(f.number, f.last_number) for f in installation.findings() if f.writer == writer]
        found = (tamper.__name__, number, named)
        if tamper in LINKED_ANEW:
            assert any(first - 1 <= number <= last for first, last in named), found
        else:
            assert number in {first for first, _ in named}, found
        made[tamper.__name__] += 1
    assert sum(made.values()) >= wanted * 0.97
    assert min(made.values()) >= 10
    installation.replace(installation.rows)
    assert installation.findings() == ()


def test_a_cut_tail_names_the_last_record_left(installation: Installation) -> None:
    installation.replace([row for row in installation.rows if row[0] != "api-1" or row[1] <= 20])
    (found,) = installation.findings()
    newest = max(installation.files)
    assert str(found) == f"api-1: records 17 to 32: the chain ends at record 20; {newest} signed record 32"
    assert installation.audit.verify().holds  # the chain alone does not show it


def test_every_change_of_a_checkpoint_is_found(installation: Installation) -> None:
    rng = random.Random(7)
    names = sorted(installation.files)
    for n in range(130):
        name = rng.choice(names)
        file = installation.folder / name
        content = installation.files[name]
        match n % 5:
            case 0:  # a byte
                at = rng.randrange(len(content))
                file.write_bytes(content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :])
            case 1:  # signed anew by somebody else
                checkpoint = KEYS.opened(name, content)
                file.write_bytes(CheckpointSigner(OTHER_PEM).sign(checkpoint))
            case 2:  # another one's content
                file.write_bytes(installation.files[rng.choice([other for other in names if other != name])])
            case 3:  # taken away, unless it is the newest: only its own other copy shows that
                name = rng.choice(names[:-1])
                (installation.folder / name).unlink()
                name = names[names.index(name) + 1]
            case _:
                file.write_bytes(content[: rng.randrange(len(content))])
        findings = installation.findings()
        assert findings, (n, name)
        assert any(name in finding.what for finding in findings), (n, name, findings)
        installation.restore_files()
    assert installation.findings() == ()


def test_a_change_after_the_newest_checkpoint_that_was_linked_anew_is_counted_as_unsigned(
    installation: Installation,
) -> None:
    """What no signature covers yet, somebody with the database can rewrite: so it is counted."""
    writer = installation.audit.writer("api-0")
    writer.append("decision.made", {"n": 1}).result(10)
    writer.close()
    found = installation.audit.verify(installation.kept, KEYS)
    assert (found.unsigned, found.findings) == (1, ())


def test_nothing_is_signed_on_top_of_a_changed_checkpoint(installation: Installation) -> None:
    newest = max(installation.files)
    (installation.folder / newest).write_bytes(
        CheckpointSigner(OTHER_PEM).sign(KEYS.opened(newest, installation.files[newest]))
    )
    with pytest.raises(CheckpointRefused, match="none of the keys"):
        installation.audit.checkpoint(CheckpointSigner(PEM), installation.kept)


def test_a_key_is_changed_and_older_checkpoints_still_count(installation: Installation) -> None:
    signer = CheckpointSigner(OTHER_PEM + PUBLIC_PEM)
    installation.audit.checkpoint(signer, installation.kept)
    found = installation.audit.verify(installation.kept, CheckpointKeys([OTHER_PEM, PEM]))
    assert (found.checkpoints, found.findings) == (5, ())
    assert len(installation.audit.verify(installation.kept, CheckpointKeys([OTHER_PEM])).findings) == 4


def test_a_record_that_cannot_be_digested_is_told_wherever_it_stands(installation: Installation) -> None:
    """A text as its body and nothing as its digest: behind the newest head, and where signed heads follow."""
    chain = [row for row in installation.rows if row[0] == "api-1"]
    others = [row for row in installation.rows if row[0] != "api-1"]
    for number in (len(chain) + 1, 15):
        planted = ["api-1", number, chain[-1][2], "decision.made", None, None, b""]
        installation.replace([*others, *(row for row in chain if row[1] != number), planted])
        (found,) = installation.findings()
        assert str(found) == f"api-1: record {number}: its digest is not 32 bytes"


def test_a_record_without_a_writer_is_told(installation: Installation) -> None:
    rows = [[*row] for row in installation.rows]
    installation.replace([*rows, [None, 1, rows[0][2], "decision.made", None, b"{}", b""]])
    assert [str(found) for found in installation.findings()] == ["1 records have no writer: no chain vouches for them"]


def test_checkpoints_are_not_verified_without_keys(installation: Installation) -> None:
    with pytest.raises(UsageError, match="give the public key"):
        installation.audit.verify(installation.kept)


@pytest.mark.parametrize("column", range(7))
def test_a_value_of_another_type_is_a_finding_and_no_fault(tmp_path: Path, column: int) -> None:
    """SQLite keeps any type in any column; PostgreSQL refuses it."""
    installation = Installation(f"sqlite:///{tmp_path}/audit.db", tmp_path / "checkpoints")
    for value in (b"\xff", "text", 1.5, -1):
        rows = [[*row] for row in installation.rows]
        rows[40][column] = value
        installation.replace(rows)
        assert installation.findings(), (column, value)
    installation.database.close()
