"""Hostile requests and files against every parser that they reach:
``python -m tests.fuzz.fuzz_parsers --seconds 60 --seed 1 [--only NAME]``.

A case is a sound input with wounds, or of pieces that inputs are made of. It is read, or refused by an error that the
reader declares; in time, and within bounded memory. Anything else fails, with the case's seed.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tests.support import tokens_made
from tests.support.body_attacks import ARROW, JSON, columns, forget_peak, peak_mib, stream
from tests.support.hostile_texts import HOSTILE_TEXTS

from journeymesh.access.access_file import load_access_file
from journeymesh.delivery.documents import documents
from journeymesh.delivery.workloads.score import read_score
from journeymesh.errors import JourneymeshError
from journeymesh.governance.contract import SHIPPED_CONTRACT, load_contract
from journeymesh.governance.purposes import SHIPPED_PURPOSES, load_purposes
from journeymesh.identity.identity import TokenRefused
from journeymesh.identity.static import read_people
from journeymesh.identity.tokens import TokenRules, verified_claims
from journeymesh.services.http import requests as told
from journeymesh.services.http.bodies import BODIES, BodyBudget
from journeymesh.services.http.conditions import is_unchanged
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.negotiation import accepted_encodings, chosen
from journeymesh.services.http.problems import ProblemRaised
from journeymesh.services.http.queries import json_body, query_of
from journeymesh.services.identityapi.approvals import ApprovalsAsked
from journeymesh.services.identityapi.audit import AuditQuery
from journeymesh.services.identityapi.bearer import OfProduct, Wanted
from journeymesh.services.journeyapi.book_routes import PoliciesQuery, SummariesQuery
from journeymesh.services.journeyapi.fix_bodies import read_fixes
from journeymesh.services.journeyapi.policy_routes import JourneysQuery, SummaryQuery
from journeymesh.sources.columnar import ParquetSource
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.policies_file import load_policies
from journeymesh.sources.text import TextSource
from journeymesh.stores.used_rules import load_rules
from journeymesh.strangler.plan import load_plan
from journeymesh.wire.identity import ApprovalTaken, AsksTaken, AskTaken, StepBody

CASE_SECONDS: Final = 20.0
MOST_MIB: Final = 700
REPOSITORY: Final = Path(__file__).parents[2]
NOON: Final = datetime(2024, 3, 4, 12, tzinfo=UTC)
CURSORS: Final = Cursors(b"k" * 32)
RULES: Final = TokenRules(issuer=tokens_made.ISSUER, audience=tokens_made.AUDIENCE)
QUERIES: Final = (
    JourneysQuery, SummaryQuery, PoliciesQuery, SummariesQuery, OfProduct, Wanted, ApprovalsAsked, AuditQuery,
)  # fmt: skip
BODY_TYPES: Final = (AskTaken, AsksTaken, ApprovalTaken, StepBody)
VALUES: Final = (
    b"null", b"true", b"-1", b"0", b"1e999", b"9" * 400, b"1.5", b'""', b'"x"', b"[]", b"{}", b"NaN", b'"\\ud800"',
    b"[" * 2_000, b'{"a":' * 2_000, b"[" * 300 + b"]" * 300, b'"0001-01-01T00:00:00Z"',
    b'"9999-12-31T23:59:59.999999Z"',
    b'"2024-02-30T00:00:00Z"', b'"2024-03-04T12:00:00+23:59"', b"\xff\xfe", b"\0", b"\xc3", b"${HOME}", b"*a",
    b"&a [*a]", b"Europe", b"../etc/passwd",
)  # fmt: skip
FIX: Final = {"vehicle": "V", "fixed_at": "2024-03-04T12:00:00Z", "lat_deg": 52.0, "lon_deg": 13.0, "speed_mps": 9.5}
BODIES_MADE: Final = (
    {"product": "journeys", "capability": "journeys:read", "purpose": "pricing", "policy": {"number": "P-1"}},
    {"asks": [{"product": "journeys", "capability": "journeys:read"}]},
    {"product": "journeys", "version": 1, "purpose": "pricing", "domain": "pricing", "reason": "a reason", "days": 30},
    {"comment": "seen"},
)
QUERIES_MADE: Final = (
    b"from=2024-01-01T00:00:00Z&to=2024-02-01T00:00:00Z&limit=10&fields=journey_id,started_at",
    b"period=week&from=2024-01-01T00:00:00Z", b"product=motor&status=active&cursor=abc", b"capability=journeys:read",
    b"status=requested&limit=5", b"kind=decision.made&after=3",
)  # fmt: skip
GPX: Final = (
    b'<?xml version="1.0"?><gpx version="1.1"><trk><name>a</name><trkseg><trkpt lat="52.5" lon="-5.25"><time>'
    b"2024-05-06T08:00:00Z</time><extensions><x:speed>1</x:speed></extensions></trkpt></trkseg></trk></gpx>"
)
SCORE: Final = b"""apiVersion: score.dev/v1b1
metadata:
  name: hello
  annotations: {journeymesh.io/answers: /hello, journeymesh.io/environments: dev test}
service:
  ports: {web: {port: 80, targetPort: 3000}}
containers:
  main:
    image: registry.example/hello
    args: [--name, "${metadata.name}", "$$5"]
    variables: {GREETING: "hello, ${metadata.name}"}
    livenessProbe: {httpGet: {path: /alive, port: 3000}}
    resources: {requests: {cpu: 10m}, limits: {memory: 1Gi}}
"""
NMEA: Final = b"$GPRMC,120000.00,A,5200.0000,N,01300.0000,E,010.0,090.0,040324,,*0F\r\n$GPGGA,120001,5200.0,N,,,1\r\n"


class Target(NamedTuple):
    """A parser: what makes a sound input, what reads one, and by which errors it may refuse it."""

    sound: Callable[[random.Random], bytes]
    read: Callable[[bytes, random.Random, Path], object]
    refuses: tuple[type[Exception], ...]


def _json_fixes(rng: random.Random) -> bytes:
    return json.dumps({"fixes": [FIX] * rng.randrange(1, 4)}).encode()


def _arrow_fixes(rng: random.Random) -> bytes:
    rows = rng.randrange(1, 50)
    vehicle = pa.array([rng.choice(HOSTILE_TEXTS) for _ in range(rows)])
    return stream(columns(rows, vehicle=vehicle.dictionary_encode() if rng.random() < 0.5 else vehicle))


def _read_body(content: bytes, rng: random.Random, _: Path) -> object:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content}

    scope = {"headers": [(b"content-type", b"application/json")]}
    state = {BODIES: BodyBudget(1 << 24)}
    coroutine = json_body(SimpleNamespace(scope=scope, state=state, receive=receive), rng.choice(BODY_TYPES))
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    finally:
        assert state[BODIES].used_bytes == 0, "the body's share of the budget is not given back"
    raise AssertionError("the body is waited for")


def _token(rng: random.Random) -> bytes:
    changed = {rng.choice(("exp", "iat", "nbf", "aud", "iss")): rng.choice((None, -1, 9e11, "x", [], {}, True, 1e300))}
    return tokens_made.signed(**(changed if rng.random() < 0.5 else {})).encode()


def _read_token(content: bytes, _: random.Random, __: Path) -> object:
    keys = SimpleNamespace(find=lambda kid, algorithm: tokens_made.EC)
    return verified_claims(content.decode("latin-1"), keys, RULES, now_s=lambda: tokens_made.NOW_S)


def _read_cursor(content: bytes, _: random.Random, __: Path) -> object:
    return CURSORS.open("journeys", content.decode("latin-1"))


def _read_query(content: bytes, rng: random.Random, _: Path) -> object:
    return query_of({"query_string": content}, rng.choice(QUERIES))


def _headers(rng: random.Random) -> bytes:
    return rng.choice(
        (
            b"application/json;q=0.5, text/csv, */*;q=nan", b"gzip;q=1e400, zstd, br;q=", b"Bearer a.b.c", b'W/"a", *',
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"10.0.0.1, 192.0.2.7",
            b"text/" + b"a," * 9_000,
        )
    )  # fmt: skip


def _read_headers(content: bytes, _: random.Random, __: Path) -> object:
    text = content.decode("latin-1")
    names = (b"accept", b"authorization", b"if-match", b"if-none-match", b"x-forwarded-for", b"traceparent")
    scope = {"headers": [(name, content) for name in names], "client": ("10.0.0.1", 1)}
    accepted_encodings(text)
    told.trace_id(content)
    told.given_id(content)
    assert len(told.client_address(scope, frozenset({"10.0.0.1"}))) <= 64
    told.bearer_token(scope)
    chosen(text, (JSON, "text/csv", ARROW))
    return is_unchanged({"headers": [(b"if-none-match", content)]}, 'W/"a"')


def _of_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, random.Random, Path], object]:
    def written(content: bytes, _: random.Random, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return written


def _like(*places: str) -> Callable[[random.Random], bytes]:
    contents = [(REPOSITORY / place).read_bytes() for place in places]
    return lambda rng: rng.choice(contents)


def _rows(source: type[Any]) -> Callable[[Path], object]:
    return lambda place: [len(batch.fixes) + len(batch.refusals) for batch in source(str(place)).batches()]


def _parquet(rng: random.Random) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(columns(rng.randrange(1, 50)), sink, compression=rng.choice(("none", "zstd", "snappy")))
    return sink.getvalue().to_pybytes()


def _policies_in_parquet(rng: random.Random) -> bytes:
    rows, sink = rng.randrange(1, 50), pa.BufferOutputStream()
    table = pa.table({"number": [f"P-{n}" for n in range(rows)], "device": ["V"] * rows, "valid_from": [NOON] * rows})
    pq.write_table(table, sink, compression=rng.choice(("none", "zstd", "snappy")))
    return sink.getvalue().to_pybytes()


OURS: Final = (JourneymeshError,)
POLICY: Final = b'{"number":"P-1","device":"V","valid_from":"2024-01-01","zone":"Europe/London"}'
TARGETS: Final[dict[str, Target]] = {
    "json fixes": Target(_json_fixes, lambda content, *_: read_fixes(JSON, content, 1_000), (ProblemRaised,)),
    "arrow fixes": Target(_arrow_fixes, lambda content, *_: read_fixes(ARROW, content, 1_000), (ProblemRaised,)),
    "json bodies": Target(lambda rng: json.dumps(rng.choice(BODIES_MADE)).encode(), _read_body, (ProblemRaised,)),
    "tokens": Target(_token, _read_token, (TokenRefused,)),
    "cursors": Target(lambda rng: CURSORS.seal("journeys", NOON, str(rng)).encode(), _read_cursor, (ProblemRaised,)),
    "query strings": Target(lambda rng: rng.choice(QUERIES_MADE), _read_query, (ProblemRaised,)),
    "headers": Target(_headers, _read_headers, (ProblemRaised,)),
    "mappings": Target(
        _like("examples/mappings/blackbox.yaml", "examples/mappings/trips.yaml"),
        _of_file("mapping.yaml", load_mapping), OURS,
    ),
    "plans": Target(_like("examples/plans/plan.yaml"), _of_file("plan.yaml", load_plan), OURS),
    "access files": Target(
        _like("src/journeymesh/cli/demo_access/access.yaml", "customization/components/access/access.yaml"),
        _of_file("access.yaml", load_access_file), OURS,
    ),
    "people": Target(
        _like("src/journeymesh/cli/demo_access/people.yaml"), _of_file("people.yaml", read_people), OURS,
    ),
    "contracts": Target(lambda _: SHIPPED_CONTRACT.read_bytes(), _of_file("contract.yaml", load_contract), OURS),
    "purposes": Target(lambda _: SHIPPED_PURPOSES.read_bytes(), _of_file("purposes.yaml", load_purposes), OURS),
    "score files": Target(lambda _: SCORE, _of_file("score.yaml", read_score), OURS),
    "manifests": Target(
        _like("customization/components/access/kustomization.yaml"),
        _of_file("manifest.yaml", lambda place: list(documents(place))), OURS,
    ),
    "rules": Target(
        _like("examples/rules/always-on.yaml", "examples/rules/recorder-marks.yaml"),
        _of_file("rules.yaml", lambda place: load_rules(str(place))), OURS,
    ),
    "policies as yaml": Target(lambda _: b"policies:\n- " + POLICY, _of_file("policies.yaml", load_policies), OURS),
    "policies as json": Target(lambda _: b"[" + POLICY + b"]", _of_file("policies.json", load_policies), OURS),
    "policies as csv": Target(
        lambda _: b"number,device,valid_from,zone\nP-1,V,2024-01-01,Europe/London\n",
        _of_file("policies.csv", load_policies), OURS,
    ),
    "policies as parquet": Target(_policies_in_parquet, _of_file("policies.parquet", load_policies), OURS),
    "csv": Target(
        lambda _: b"vehicle,fixed_at,lat_deg,lon_deg\nV,2024-03-04T12:00:00Z,52.0,13.0\n" * 3,
        _of_file("fixes.csv", _rows(TextSource)), OURS,
    ),
    "ndjson": Target(
        lambda _: (json.dumps(FIX).encode() + b"\n") * 3, _of_file("fixes.ndjson", _rows(TextSource)), OURS,
    ),
    "gpx": Target(lambda _: GPX, _of_file("fixes.gpx", _rows(TextSource)), OURS),
    "nmea": Target(lambda _: NMEA, _of_file("fixes.nmea", _rows(TextSource)), OURS),
    "parquet": Target(_parquet, _of_file("fixes.parquet", _rows(ParquetSource)), OURS),
}  # fmt: skip
"""Every parser by name."""


def wounded(content: bytes, rng: random.Random) -> bytes:
    """The input with a few wounds: bytes changed, pieces taken out, doubled, or put in."""
    wounds = bytearray(content)
    for _ in range(rng.choice((0, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(wounds) + 1)
        match rng.randrange(7):
            case 0 if at < len(wounds):
                wounds[at] = rng.choice((0, 9, 10, 32, 34, 44, 58, 91, 123, 127, 255, rng.randrange(256)))
            case 1:
                del wounds[at : at + rng.randrange(1, 20)]
            case 2:
                wounds[at:at] = rng.choice(VALUES)
            case 3:
                wounds[at:at] = rng.choice(HOSTILE_TEXTS).encode("utf-8", "surrogatepass")
            case 4:
                wounds[at:at] = wounds[at : at + rng.randrange(1, 200)] * rng.choice((1, 2, 50))
            case 5:  # instead of a whole value
                end = next((n for n in range(at, len(wounds)) if wounds[n] in b",&}]\n;"), len(wounds))
                wounds[at:end] = rng.choice(VALUES)
            case _ if rng.random() < 0.1:
                wounds = wounds[:at]
            case _:
                wounds[at:at] = base64.b64encode(rng.randbytes(rng.randrange(12)))
    return bytes(wounds)


def one_case(target: Target, rng: random.Random, folder: Path) -> bool:
    """Whether the input was read; False: it was refused as declared.

    Raises:
        Exception: whatever else came out.
        AssertionError: it took too long.
    """
    content = wounded(target.sound(rng), rng)
    began = time.process_time()
    try:
        target.read(content, rng, folder)
    except target.refuses:
        return False
    finally:
        took = time.process_time() - began
        assert took < CASE_SECONDS, f"{len(content)} bytes took {took:.1f} s"
    return True


def fuzz(names: list[str], seconds: float, seed: int) -> dict[str, tuple[int, int]]:
    """(cases, of these read) by target, each for its share of the time."""
    rng = random.Random(seed)
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            target, cases, were_read = TARGETS[name], 0, 0
            forget_peak()
            before, until = peak_mib(), time.monotonic() + seconds / len(names)
            while time.monotonic() < until or cases < 20 or (not were_read and cases < 2_000):
                case_seed = rng.getrandbits(64)
                try:
                    were_read += one_case(target, random.Random(case_seed), Path(folder))
                except BaseException:
                    print(f"{name}: case {cases} failed, its seed is {case_seed}", flush=True)
                    raise
                cases += 1
            grown = peak_mib() - before
            assert grown < MOST_MIB, f"{name}: {grown:.0f} MiB more than before"
            assert were_read, f"{name}: nothing is read, not even what is sound"
            counts[name] = cases, were_read
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=list(TARGETS))
    given = parser.parse_args()
    for name, (cases, were_read) in fuzz(given.only or list(TARGETS), given.seconds, given.seed).items():
        print(f"{name}: {cases} cases passed, {were_read} of them read, seed {given.seed}")


if __name__ == "__main__":
    main()
