"""Legacy still has an erased customer's documents: nothing of them is answered, fed, handed in or counted missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replace_refusal
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from journeymesh.engines.port import Retention
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.tombstone_tables import TombstoneDatabase
from journeymesh.keys.tombstones import Tombstone, Tombstones, TombstonesNotReady
from journeymesh.sources.policy_reading import UnusablePolicy, UsablePolicies
from journeymesh.sources.refusing_source import RefusingSource
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import accepted_writes, document_index
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.legacy_cache import AnswerCache
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.legacy_upstream import LegacyUpstream
from journeymesh.strangler.plan import Feed
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.reconcile import Reconciliation
from journeymesh.strangler.routes import read_routes
from tests.support.builders import NOON, drive
from tests.support.doors import a_door, following
from tests.support.feeds import Bench, plan_for, policy_of
from tests.support.legacy_double import MemoryLegacy

YEAR = timedelta(days=365)
ENDED = NOON + timedelta(days=100)
GONE = policy_of("V0", number="GONE-1", device="box-1", valid_to=ENDED)
NEXT = policy_of("V0", number="NEXT-1", valid_from=ENDED)
STAYS = policy_of("V1", number="STAYS-1")


@dataclass
class Move:
    """A move of three policies, one of which is erased in it."""

    bench: Bench
    bare: MemoryLegacy
    source: RefusingSource
    tombstones: Tombstones

    def erase(self) -> None:
        self.tombstones.add("t-1", [Tombstone(GONE, None)])

    def differences(self, source: object) -> list[object]:
        bench = self.bench
        session = FeedSession(
            control=bench.control, feed=Feed(), source=LegacyUpstream(source, bench.rules),  # type: ignore[arg-type]
            store=bench.open_store("embedded"), rules=bench.rules, retention=Retention(), upstream="legacy",
            target="embedded", routes=read_routes(bench.control).routes,
        )  # fmt: skip
        session.reload()
        return list(Reconciliation(session, session.routes[0].slice).differences())


@pytest.fixture
def move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tombstone.key").write_text("07" * 32)
    (tmp_path / "tombstone.key").chmod(0o600)
    monkeypatch.setenv("JOURNEYMESH_TOMBSTONES", f"sqlite:///{tmp_path}/tombstones.db")
    monkeypatch.setenv("JOURNEYMESH_TOMBSTONE_KEY", str(tmp_path / "tombstone.key"))
    tombstones = Tombstones(
        TombstoneDatabase(f"sqlite:///{tmp_path}/tombstones.db"), CommonKey(bytes.fromhex("07" * 32), 1)
    )
    tombstones.migrate()
    bench = Bench(tmp_path)
    bare = bench.legacy
    for name, start in (("V0", NOON), ("box-1", NOON), ("V0", NOON + YEAR), ("V1", NOON)):
        bare.put(drive((15.0, 300), vehicle=name, start=start, every_s=3.0))
    bare.held_policies = [GONE, NEXT, STAYS]
    source = RefusingSource(bare, tombstones, lambda: None)
    bench.legacy = source  # type: ignore[assignment]
    bench.route()
    bench.feed()
    yield Move(bench, bare, source, tombstones)
    tombstones.close()


def test_an_erased_customer_is_left_out_on_both_sides_and_not_counted_missing(move: Move) -> None:
    move.erase()
    assert move.differences(move.source) == []
    assert move.bench.digest() == move.bench.expected()
    missing = {each.vehicle for each in move.differences(move.bare)}  # type: ignore[attr-defined]
    assert missing >= {"V0", "box-1"}


def test_live_sync_and_a_new_backfill_bring_nothing_back(move: Move) -> None:
    move.erase()
    before = move.bench.digest()
    late = drive((9.0, 300), vehicle="V0", start=NOON + timedelta(hours=5), every_s=3.0)
    move.bare.put(late)
    move.bench.feed()
    assert move.bench.digest() == before
    late_documents = {number for number, row in move.bare.rows.items() if row[4] == 9.0}
    with move.bench.control.reading() as connection:
        recorded = set(connection.execute(sa.select(document_index.c.document)).scalars())
    assert late_documents
    assert not recorded & late_documents


def test_of_policies_that_cannot_be_used_those_of_an_erased_customer_are_not_told(move: Move) -> None:
    contents = {"GONE-1": '{"number":"GONE-1"}', "ODD-1": '{"number":"ODD-1"}', None: '{"no":"GONE-1"}'}
    refused = [
        Refusal(Reason.POLICY_UNUSABLE.code, f"policies/{place}", "why", content=content)
        for place, content in enumerate(contents.values())
    ]
    told = [UnusablePolicy(number, "why", one.refusal_id) for number, one in zip(contents, refused, strict=True)]
    nothing_kept = replace_refusal(refused[0], content=None, origin="policies/9")
    told.append(UnusablePolicy("GONE-1", "why", nothing_kept.refusal_id))
    move.bare.held_policies = UsablePolicies([STAYS], [*refused, nothing_kept], (), told)
    assert len(move.source.policies().refusals) == len(move.source.policies().unusable) == 4
    move.erase()
    found = move.source.policies()
    assert [each.number for each in found.unusable] == ["ODD-1"]
    assert list(found.refusals) == [refused[1]]


def test_the_door_answers_nothing_of_it_from_legacy(move: Move) -> None:
    with following(move.bench.control) as follower:
        door = a_door(follower, move.source, {"embedded": move.bench.open_store("embedded")})  # type: ignore[arg-type]
        [before] = door.journeys(JourneyQuery(policy="GONE-1"))["journey_id"].to_pylist()[:1]
        assert door.journey(before) is not None
        assert len(door.fixes("V0", NOON, NOON + timedelta(hours=1))) > 60
        move.erase()
        assert len(door.journeys(JourneyQuery(policy="GONE-1"))) == 0
        assert door.journey(before) is None
        assert len(door.fixes("V0", NOON, NOON + timedelta(hours=1))) == 0
        assert len(door.fixes("V0", NOON + YEAR, NOON + YEAR + timedelta(hours=1))) > 60
        door.policy_book.refresh()
        assert [each.number for each in door.policies()] == ["NEXT-1", "STAYS-1"]
        assert door.policies("GONE-1") == []
        assert len(door.journeys(JourneyQuery(policy="STAYS-1"))) == 1


def test_an_answer_that_was_kept_is_not_given_again(move: Move) -> None:
    cache = AnswerCache()
    cache.heard()
    side = LegacySide(
        source=move.source, rules=ALWAYS_ON, policy_book=PolicyBook(move.source.policies), cache=cache,
        revision=move.tombstones.revision,
    )  # fmt: skip
    assert len(side.journeys(JourneyQuery(policy="GONE-1"))) == 2
    cache.heard()
    assert len(side.journeys(JourneyQuery(policy="GONE-1"))) == 2
    assert cache.hits == 1
    move.erase()
    cache.heard()
    assert len(side.journeys(JourneyQuery(policy="GONE-1"))) == 0


def test_policies_of_before_are_not_kept_while_legacy_is_away(move: Move) -> None:
    book = PolicyBook(move.source.policies, only=move.tombstones.without_treated)
    assert len(book.every()) == 3
    move.erase()
    book.refresh()
    assert {each.number for each in book.every()} == {"NEXT-1", "STAYS-1"}


def test_what_is_handed_in_of_it_is_neither_journaled_nor_written_to_legacy(move: Move) -> None:
    move.erase()
    plan = plan_for(move.bench.url)
    installation = Installation(
        plan=plan, rules=ALWAYS_ON, control=move.bench.control, open_store=lambda _: move.bench.open_store("embedded"),
        open_legacy=lambda: move.source, open_remover=lambda: move.bare, open_writer=lambda: None,  # type: ignore[arg-type,return-value]
        keep_fixes=lambda _: None, exports=Path(), tombstones=move.tombstones,
    )  # fmt: skip
    installation.plan = replace(plan, legacy=replace(plan.legacy, reverse_sync=True))
    late = Fixes.concat([drive((9.0, 60), vehicle=name, start=NOON + timedelta(hours=7)) for name in ("V0", "V1")])
    installation.accept(late, "key-1")
    with move.bench.control.reading() as connection:
        contents = b"".join(connection.execute(sa.select(accepted_writes.c.content)).scalars())
    assert b"V1" in contents
    assert b"V0" not in contents
    assert move.tombstones.refused() == {"fixes": 61}
    assert len(installation.policies()) == 2


def test_without_its_tombstones_legacy_is_not_read(move: Move, tmp_path: Path) -> None:
    def not_ready() -> None:
        raise TombstonesNotReady("tombstones are older than the key store", todo="restore the newest")

    refusing = RefusingSource(move.bare, move.tombstones, not_ready)
    with pytest.raises(TombstonesNotReady):
        refusing.policies()
    (tmp_path / "tombstones.db").unlink()
    again = Tombstones(TombstoneDatabase(f"sqlite:///{tmp_path}/tombstones.db"), CommonKey(bytes(32), 1))
    with pytest.raises(TombstonesNotReady):
        RefusingSource(move.bare, again, lambda: None).policies()
