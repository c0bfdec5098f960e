"""A policy that cannot be used stops nobody: whoever reads policies goes on with the others, and `status` names it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from journeymesh.cli.main import outcome
from journeymesh.engines.port import Retention
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.mapping import load_mapping
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, StoreBatch
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.opened_door import opened_door
from journeymesh.strangler.plan import Feed
from journeymesh.strangler.routes import read_routes
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.store_upstream import StoreUpstream
from tests.support.builders import NOON, drive
from tests.support.doors import a_control, fill, made_of, route
from tests.support.worlds import World

SECTION = load_mapping("""
version: 1
collection: fixes
layout: document
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
policies:
  collection: policies
  number: {path: number}
  valid_from: {path: from, clock: bson_date}
  valid_to: {path: to, clock: bson_date}
  device: {path: imei}
  zone: {path: tz}
  tenant: {path: tenant}
""").policies
assert SECTION is not None

BEGIN = NOON - timedelta(days=1)
PERSON = "jane.roe@example.com"
"""What stands in bad documents and in no message."""
Document = dict[str, Any]


def good(k: int, **changed: Any) -> Document:
    """The document of a policy that can be used."""
    return {
        "_id": k,
        "number": f"P{k}",
        "from": BEGIN,
        "imei": f"V{k}",
        "tz": "Europe/London",
        "holder": PERSON,
    } | changed


GOOD = [Policy(number=f"P{k}", valid_from=BEGIN, device=f"V{k}", zone="Europe/London") for k in range(3)]
VEHICLES = tuple(f"V{k}" for k in range(5))


@dataclass(frozen=True)
class Kind:
    """Documents that are put, and the numbers that cannot be used then, each with why."""

    documents: tuple[Document | bytes, ...]
    told: dict[str | None, str]
    spoilt: frozenset[str] = frozenset()
    """Good policies that are not used either."""


def one(why: str, **changed: Any) -> Kind:
    """One document that cannot be used, of policy P4."""
    return Kind((good(4, **changed),), {changed.get("number", "P4"): why})


KINDS = {
    "an unknown zone": one("its time zone is unknown", tz="Mars/Olympus"),
    "a folder of zones": one("its time zone is unknown", tz="Europe"),
    "no number": one("it has no number", number=None),
    "from is to": one("it ends before it begins, or when it begins", to=BEGIN),
    "a text for a date": one("its valid_to cannot be read (field to)", to=PERSON),
    "a device that is an object": one("its device cannot be read (field imei)", imei={"owner": PERSON}),
    "a device that is JavaScript": one("its device cannot be read (field imei)", imei=bson.Code(PERSON)),
    "a device without end": one("its device cannot be read (field imei)", imei=bson.Decimal128("1E+6000")),
    "no device": one("it names neither a device nor a vehicle", imei=None),
    "broken text": Kind(
        (bson.encode(good(4, zone="XX")).replace(b"XX\0", b"\xff\xfe\0"),), {None: "its document cannot be decoded"}
    ),
    "two tenants at once": Kind(
        (good(3, tenant="north"), good(4, tenant="south", imei="V3")),
        dict.fromkeys(
            ("P3", "P4"),
            "policy P3 of tenant north and policy P4 of tenant south are both in force for one vehicle from "
            f"{BEGIN.isoformat()}: neither is used",
        ),
    ),
    "another tenant's of a good one": Kind(
        (good(4, tenant="south", imei="V2", **{"from": NOON}),),
        dict.fromkeys(
            ("P2", "P4"),
            "policy P2 of tenant default and policy P4 of tenant south are both in force for one vehicle from "
            f"{NOON.isoformat()}: neither is used",
        ),
        frozenset({"P2"}),
    ),
}  # fmt: skip


@dataclass
class Move:
    """A slice of every policy, with documents for policies; ``good`` are those that can be used."""

    world: World
    kind: Kind

    @property
    def good(self) -> list[Policy]:
        return [policy for policy in GOOD if policy.number not in self.kind.spoilt]

    def spoil(self) -> None:
        documents = [*(good(k) for k in range(len(GOOD))), *self.kind.documents]
        self.world.legacy.set_policy_documents(documents, SECTION)

    def run(self, command: str, *more: str) -> int:
        return outcome(["strangler", command, "plan.yaml", *more])


def _feeds(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    assert move.run("run", "--once") == 0
    expected = fill(MemoryStore(), move.world.legacy)
    with move.world.installation() as installation:
        store = installation.store("embedded")
        assert store.digest() == expected.digest()
        assert [policy.number for policy in store.policies()] == [policy.number for policy in move.good]
        kept = {refusal_id for refusal_id, _ in store.refusals(RefusalQuery())}
        assert {each.refusal_id for each in move.world.legacy.policies().unusable} <= kept


def _legacy_answers(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    _answers(move, "legacy")


def _answers(move: Move, side: str) -> None:
    fixes = move.world.legacy.everything()
    with move.world.installation() as installation, opened_door(installation) as door:
        (route,) = read_routes(installation.control).routes
        assert route.answering_name == side
        for policy in move.good:
            made = made_of(fixes, policy.number, move.good)
            assert len(made) == 1
            assert answer_bytes(door.journeys(JourneyQuery(policy=policy.number))) == answer_bytes(made)


def _compares(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert move.run("compare", "all", "--all") == 0
    number = len(move.good)
    assert f"{number} policies requested, {number} of {number} compared so far" in capsys.readouterr().out


def _lists_no_difference(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert move.run("diff", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == []


def _applies(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    move.world.phase = Phase.TARGET_WITH_REVERSE_SHADOW
    assert move.run("apply", "--why", "test") == 0
    _answers(move, "embedded")


def _reconciles(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert move.run("reconcile", "all") == 0
    out = capsys.readouterr().out
    assert f"{len(VEHICLES)} vehicles" in out
    assert "0 missing, 0 extra, 0 values differ" in out


def _names_the_bad(move: Move, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert move.run("status", "--format", "json") == 0
    told = capsys.readouterr()
    (shown,) = json.loads(told.out)
    unusable = shown["unusable_policies"]
    assert (shown["policies"], shown["complete"]) == (len(move.good), True)
    assert unusable["count"] == len(move.kind.told)
    assert {each["number"]: each["reason"] for each in unusable["first"]} == move.kind.told
    assert move.run("status") == 0
    text = capsys.readouterr()
    assert f"policies of legacy that cannot be used, and are in no slice: {len(move.kind.told)}" in text.out
    for each in unusable["first"]:
        named = each["number"] or f"one without a number (quarantine: {each['refusal_id']})"
        assert f"    {named}: {each['reason']}" in text.out.splitlines()
    assert not [out for out in (told.out, told.err, text.out, text.err) if PERSON in out]


READERS = (_feeds, _names_the_bad, _legacy_answers, _compares, _lists_no_difference, _applies, _reconciles,
           _names_the_bad)  # fmt: skip


def a_move(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind) -> Move:
    world = World(folder, GOOD)
    for vehicle in VEHICLES[len(GOOD) :]:
        world.legacy.put(drive((10.0, 300), start=NOON, vehicle=vehicle, every_s=10))
    monkeypatch.setattr("journeymesh.cli.strangler.open_installation", world.installation)
    return Move(world, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_reads_policies_goes_on_with_the_others_and_status_names_the_bad_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    move = a_move(tmp_path, monkeypatch, KINDS[kind])
    move.world.go(Phase.SHADOW)
    move.spoil()
    for reader in READERS:
        reader(move, capsys)


def test_many_at_once_from_the_first_day_on_are_counted_and_the_first_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = one("its time zone is unknown", tz="Mars/Olympus")
    many = Kind(tuple(good(4, _id=100 + k, number=f"P{100 + k}", tz="Mars") for k in range(12)), {})
    move = a_move(tmp_path, monkeypatch, many)
    move.spoil()
    move.world.go(Phase.TARGET)
    _answers(move, "embedded")
    capsys.readouterr()
    assert move.run("status") == 0
    shown = capsys.readouterr().out.splitlines()
    at = shown.index("policies of legacy that cannot be used, and are in no slice: 12")
    assert shown[at + 1 : at + 7] == [
        *(f"    P{100 + k}: {kind.told['P4']}" for k in range(5)),
        "    and 7 more: see `journeymesh quarantine` of the target",
    ]
    assert max(map(len, shown)) <= 80


def test_a_store_that_holds_two_tenants_policies_for_one_vehicle_is_copied_as_it_stands(tmp_path: Path) -> None:
    """Two upstreams brought them: one policy was retired out of legacy before the other came."""
    both = [Policy(number=f"P{k}", valid_from=BEGIN, device="V3", tenant=tenant) for k, tenant in ((3, "a"), (4, "b"))]
    old, new = MemoryStore(), MemoryStore()
    old.write(StoreBatch(policies=both))
    asked = route(source="old", target="new", upstream="old")
    session = FeedSession(
        control=a_control(tmp_path, asked), feed=Feed(), source=StoreUpstream("old", old), store=new, rules=ALWAYS_ON,
        retention=Retention(), upstream="old", target="new", routes=(asked,),
    )  # fmt: skip
    session.reload()
    batch, _ = session.policy_changes()
    assert batch.policies == both
