"""What the audit costs: records per second, how long one takes, and a million verified.

    python -m benchmarks.audit [--records N] [--database URL] [--workdir FOLDER]

prints one line of JSON. Without a URL, a SQLite file in a temporary folder. Records are those of decisions, about 550
bytes of JSON each. The commits of the first two figures are durable: SQLite with ``synchronous=FULL``, PostgreSQL as
its server is set up.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.results import Bench, Result, printed
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.chain import canonical, genesis, link
from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointSigner

RECORDS, QUICK_RECORDS = 1_000_000, 50_000
WRITERS = 4
_AT_ONCE = 10_000
_COLUMNS = "writer, number, at_us, kind, key, body, digest"


def audit(bench: Bench, quick: bool) -> None:
    """The figures of the audit in SQLite, measured in a fresh process."""
    found = printed("benchmarks.audit", "--records", str(QUICK_RECORDS if quick else RECORDS))
    note = f"{found['records']:,} records, {found['audit_verify_cpu_s']:.2f} s of CPU"
    bench.add(Result("audit_verify_s_1m", found["audit_verify_s"], "s", None, 5.0, note=note))
    note = f"p99 {found['audit_commit_p99_ms']:.1f} ms; one record alone, SQLite"
    bench.add(Result("audit_commit_p50_ms", found["audit_commit_p50_ms"], "ms", note=note))
    bench.add(Result("audit_records_per_s", found["audit_records_per_s"], "records/s", note="many at once, SQLite"))


def measure(url: str, folder: Path, records: int = RECORDS) -> dict[str, Any]:
    """The figures of an audit in this database; checkpoints are kept in the folder."""
    database = AuditDatabase(url)
    database.migrate()
    audit = Audit(database)
    try:
        figures = _written(audit)
        for number in range(WRITERS):
            _filled(database, f"filled-{number}-{secrets.token_hex(4)}", records // WRITERS)
        key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        signer, kept = CheckpointSigner(key), CheckpointFolder(str(folder / "checkpoints"))
        audit.checkpoint(signer, kept)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        found = audit.verify(kept, signer.keys)
        figures["audit_verify_s"] = round(time.perf_counter() - began_s, 2)
        figures["audit_verify_cpu_s"] = round(time.process_time() - began_cpu_s, 2)
        if not found.holds or found.unsigned or found.records < records:
            raise RuntimeError(f"the audit does not hold: {found}")
        figures["records"] = found.records
    finally:
        database.close()
    return figures


def _body(number: int) -> dict[str, Any]:
    return {
        "decision_id": f"{number:032x}",
        "provider": "keycloak",
        "subject": "5b1f8a7c2d9e4f60" * 2,
        "tenant": "insurer",
        "domains": ["claims", "fleet"],
        "product": "journeys",
        "capability": "journeys:read",
        "purpose": "claims-handling",
        "approval": "0f1e2d3c4b5a69788796a5b4",
        "resource_kind": "policy",
        "resource": "9c8b7a6d5e4f3021" * 2,
        "reason": "allowed",
        "determining": ["read-personal-data"],
        "obligations": "d41d8cd98f00b204e9800998",
    }


def _written(audit: Audit) -> dict[str, Any]:
    """One record after the other, then as fast as they are taken."""
    writer = audit.writer()
    taken_s = []
    for number in range(500):
        began_s = time.perf_counter()
        writer.append("decision.made", _body(number), key=secrets.token_hex(16)).result()
        taken_s.append(time.perf_counter() - began_s)
    taken_s.sort()
    together, began_s = 50_000, time.perf_counter()
    futures = []
    for number in range(together):
        while writer.waiting > 5_000:
            time.sleep(0.0005)
        futures.append(writer.append("decision.made", _body(number), key=secrets.token_hex(16)))
    for future in futures:
        future.result()
    per_s = together / (time.perf_counter() - began_s)
    writer.close()
    return {
        "audit_commit_p50_ms": round(statistics.median(taken_s) * 1e3, 2),
        "audit_commit_p99_ms": round(taken_s[int(len(taken_s) * 0.99)] * 1e3, 2),
        "audit_records_per_s": round(per_s),
    }


def _filled(database: AuditDatabase, writer: str, records: int) -> None:
    """A chain as a writer would have left it, in commits of many records."""
    mark = ", ".join(["?" if database.is_sqlite else "%s"] * 7)
    digest, number = genesis(writer), 0
    while number < records:
        rows = []
        for _ in range(min(_AT_ONCE, records - number)):
            number += 1
            body, key, at_us = canonical(_body(number)), secrets.token_hex(16), 1_750_000_000_000_000 + number * 1_000
            digest = link(digest, number, at_us, "decision.made", key, body)
            rows.append((writer, number, at_us, "decision.made", key, body, digest))
        with database.writing(alone=False) as connection:
            connection.exec_driver_sql(f"INSERT INTO audit_records ({_COLUMNS}) VALUES ({mark})", rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--database", help="sqlite:///FILE or postgresql://…; records are added to it")
    parser.add_argument("--workdir", type=Path, help="where the temporary folder is made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.workdir) as held:
        folder = Path(held)
        print(json.dumps(measure(given.database or f"sqlite:///{folder}/audit.db", folder, given.records)))


if __name__ == "__main__":
    main()
