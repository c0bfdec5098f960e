"""The lake store."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("duckdb", reason="duckdb is not installed (the lake extra)")

import duckdb
import pyarrow.parquet as pq

from journeymesh.errors import ExtraMissing, StoreCorrupt, StoreUnavailable, UsageError
from journeymesh.stores import lake_commits
from journeymesh.stores.lake import SCHEMA_VERSION, LakeStore
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, Superseded
from tests.support.before_limits import BeforeLimitsSuite, lake_before_limits
from tests.support.before_terms import BeforeTermsSuite, lake_before_terms
from tests.support.follower import Follower
from tests.support.former_refusals import FORMER, FormerRefusalsSuite
from tests.support.records import DAY, EPOCH, NOON, a_series, fixes, full_batch, ids, journey, journeys, policy, refusal

from .journey_store_suite import JourneyStoreSuite


def _stop(*_: object) -> None:
    raise RuntimeError("injected")


def _parquet(root: Path) -> set[Path]:
    return set(root.rglob("*.parquet"))


class TestLakeStore(BeforeLimitsSuite, BeforeTermsSuite, FormerRefusalsSuite, JourneyStoreSuite):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "a lake's folder"

    @pytest.fixture
    def unmigrated(self, root: Path) -> Iterator[Callable[[], LakeStore]]:
        opened: list[LakeStore] = []

        def connect() -> LakeStore:
            opened.append(LakeStore(root, f"lake:///{root}", busy_timeout_s=5.0))
            return opened[-1]

        yield connect
        for store in opened:
            store.close()

    @pytest.fixture
    def store(self, unmigrated: Callable[[], LakeStore]) -> LakeStore:
        store = unmigrated()
        store.migrate()
        return store

    @pytest.fixture
    def store_of_before(self, store: LakeStore, root: Path) -> Callable[[], Store]:
        def opened() -> Store:
            store.write(StoreBatch(refusals=FORMER))
            (root / "lake.json").write_text('{"schema": "0001"}')
            return store

        return opened

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lake_commits, "link_marker", _stop)

    def put_back_to_0004(self, store: LakeStore) -> LakeStore:
        lake_before_limits(store._root)
        return LakeStore(store._root, store.url)

    def put_back(self, store: LakeStore) -> LakeStore:
        lake_before_terms(store._root)
        return LakeStore(store._root, store.url)

    # commits

    def test_a_store_without_its_schema_says_how_to_create_it(self, unmigrated: Callable[[], LakeStore]) -> None:
        store = unmigrated()
        assert store.schema_version() == (None, SCHEMA_VERSION)
        for call in (lambda: store.journeys(JourneyQuery()), lambda: store.write(full_batch())):
            with pytest.raises(StoreUnavailable, match="journeymesh store migrate"):
                call()

    def test_a_store_of_a_newer_journeymesh_is_refused(self, store: LakeStore, root: Path) -> None:
        (root / "lake.json").write_text('{"schema": "9999"}')
        for call in (store.migrate, lambda: store.journeys(JourneyQuery()), lambda: store.write(full_batch())):
            with pytest.raises(StoreUnavailable, match="newer journeymesh"):
                call()

    def test_files_that_no_marker_names_are_not_there(
        self, store: LakeStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(StoreBatch(journeys=journeys(journey())))
        before, files = store.digest(), _parquet(root)
        with monkeypatch.context() as patch:
            patch.setattr(lake_commits, "link_marker", _stop)
            patch.setattr("journeymesh.stores.lake.remove_files", lambda *_: None)
            with pytest.raises(RuntimeError, match="injected"):
                store.write(full_batch())
        assert _parquet(root) > files
        assert store.digest() == before
        store.compact(grace_s=0.0)
        assert len(_parquet(root)) == len(files)
        assert store.digest() == before

    def test_a_failed_write_takes_its_files_away(
        self, store: LakeStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(StoreBatch(journeys=journeys(journey())))
        files = _parquet(root)
        with monkeypatch.context() as patch:
            patch.setattr(lake_commits, "link_marker", _stop)
            with pytest.raises(RuntimeError, match="injected"):
                store.write(full_batch())
        assert _parquet(root) == files

    def test_of_two_writers_without_a_common_lock_one_plans_anew(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore], root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other, link = unmigrated(), lake_commits.link_marker
        monkeypatch.setattr(lake_commits.LakeCommits, "writing", lambda _: contextlib.nullcontext())
        first = journey("car-1", distance_m=1.0)
        store.write(StoreBatch(journeys=journeys(first)))
        links: list[str] = []

        def overtaken(temporary: Path, path: Path) -> None:
            links.append(path.name)
            if len(links) == 1:
                other.write(StoreBatch(journeys=journeys(first | {"distance_m": 2.0}, journey("car-2"))))
            link(temporary, path)

        monkeypatch.setattr(lake_commits, "link_marker", overtaken)
        same = [Superseded(first["journey_id"], first["journey_id"])]
        store.write(StoreBatch(journeys=journeys(first | {"distance_m": 3.0}), superseded=same))
        assert links == ["00000002.json", "00000002.json", "00000003.json"]
        found = {row["vehicle"]: row["distance_m"] for row in store.journeys(JourneyQuery()).to_pylist()}
        assert found == {"car-1": 3.0, "car-2": 1.5}
        (entry,) = store.history(first["journey_id"])
        assert entry.journey["distance_m"].to_pylist() == [2.0]
        named = {file for number in (1, 2, 3) for file in _named(root, number)}
        assert {str(path.relative_to(root)) for path in _parquet(root)} == named

    def test_a_second_writer_waits_and_then_gives_up(self, store: LakeStore, root: Path) -> None:
        other = LakeStore(root, store.url, busy_timeout_s=0.1)
        with store._commits.writing(), pytest.raises(StoreUnavailable, match="another writer holds it"):
            other.write(full_batch())
        other.write(full_batch())
        assert len(store.runs()) == 1
        other.close()

    def test_writing_the_same_again_commits_nothing(self, store: LakeStore, root: Path) -> None:
        for batch in (full_batch(), full_batch()):
            store.write(batch)
        assert store._commits.numbers() == [1]

    def test_whole_markers_say_what_all_before_them_said(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lake_commits, "WHOLE_EVERY", 3)
        for number, batch in enumerate(a_series(count=7)):
            store.write(batch)
            store.write(StoreBatch(journeys=journeys(journey("car-1", distance_m=float(number)))))
        markers = [store._commits.marker(number) for number in store._commits.numbers()]
        assert [marker.number for marker in markers if marker.whole] == [3, 6, 9, 12]
        assert unmigrated().digest() == store.digest()
        assert unmigrated().changes(None) == store.changes(None)

    def test_a_damaged_lake_says_what_is_damaged(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore], root: Path
    ) -> None:
        for number in range(3):
            store.write(StoreBatch(journeys=journeys(journey(f"car-{number}"))))
        marker = root / "_commits" / "00000002.json"
        content = marker.read_bytes()
        marker.write_bytes(content[:40])
        with pytest.raises(StoreCorrupt, match="marker of commit 2 is damaged"):
            unmigrated().journeys(JourneyQuery())
        marker.unlink()
        with pytest.raises(StoreCorrupt, match="marker of commit 2 is missing"):
            unmigrated().journeys(JourneyQuery())
        marker.write_bytes(content)
        (root / _named(root, 2)[0]).write_bytes(b"dear diary " * 100)
        with pytest.raises(StoreUnavailable) as fault:
            unmigrated().journeys(JourneyQuery())
        assert "\n" not in str(fault.value)

    # what is read

    def test_a_period_reads_its_months_only(self, store: LakeStore, root: Path) -> None:
        rows = [journey(start=NOON + month * 31 * DAY) for month in range(4)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        for month in ("2024-03", "2024-06"):
            for path in (root / "journeys" / f"month={month}").iterdir():
                path.unlink()
        period = {"started_from": NOON + 31 * DAY, "started_to": NOON + 80 * DAY}
        assert ids(store.journeys(JourneyQuery(policy="P-1", **period))) == [row["journey_id"] for row in rows[1:3]]
        first = rows[1]["started_at"], ""
        assert ids(store.journeys(JourneyQuery(after=first, limit=2))) == [row["journey_id"] for row in rows[1:3]]

    def test_a_policy_reads_its_row_groups_only(self, store: LakeStore, root: Path) -> None:
        start = timedelta(seconds=1)
        rows = [journey(f"car-{i}", NOON + i * start, policy=f"P-{i % 7}") for i in range(40_000)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        (path,) = (root / "journeys").rglob("*.parquet")
        meta = pq.ParquetFile(path).metadata
        column = meta.schema.names.index("policy")
        spans = [meta.row_group(i).column(column).statistics for i in range(meta.num_row_groups)]
        assert len(spans) == 3
        assert sum(span.min <= "P-6" <= span.max for span in spans) == 1
        assert len(store.journeys(JourneyQuery(policy="P-6"))) == 40_000 // 7

    def test_a_month_is_that_of_the_start_in_utc(self, store: LakeStore, root: Path) -> None:
        begin = datetime(2024, 4, 1, tzinfo=UTC)
        store.write(StoreBatch(journeys=journeys(journey(start=begin), journey(start=begin - timedelta(seconds=1)))))
        assert sorted(path.name for path in (root / "journeys").iterdir()) == ["month=2024-03", "month=2024-04"]

    # compaction

    def filled(self, store: LakeStore) -> MemoryStore:
        twin = MemoryStore()
        moved = [Superseded(journey()["journey_id"], journey()["journey_id"])]
        withdrawn = StoreBatch(refusals_withdrawn=[refusal().refusal_id])
        changed = [StoreBatch(journeys=journeys(journey(distance_m=9.0)), superseded=moved), withdrawn]
        for batch in (full_batch(), *a_series(), *changed):
            store.write(batch)
            twin.write(batch)
        return twin

    def test_compaction_changes_no_content_and_no_position(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore], root: Path
    ) -> None:
        twin, follower = self.filled(store), Follower()
        follower.follow(store)
        before, feed, files = store.journeys(JourneyQuery()), store.changes(None), len(_parquet(root))
        done = store.compact()
        assert done.merged > 20
        assert done.dropped_rows == 2
        assert done.removed_files == 0
        assert len(_parquet(root)) == files + done.made
        for reader in (store, unmigrated()):
            assert reader.digest() == twin.digest()
            assert reader.journeys(JourneyQuery()).equals(before)
            assert reader.changes(None) == feed
            assert len(reader.history(journey()["journey_id"])) == 1
            assert follower.differences(reader) == []
        again = store.compact(grace_s=0.0)
        assert (again.merged, again.made) == (0, 0)
        assert again.removed_files == done.merged
        assert {str(path.relative_to(root)) for path in _parquet(root)} == store._state().files.keys()
        assert store.digest() == unmigrated().digest() == twin.digest()

    def test_a_reader_that_began_before_a_compaction_goes_on(self, store: LakeStore) -> None:
        held = [refusal(i, vehicle=f"car-{i}") for i in range(60)]
        for part in range(6):
            store.write(StoreBatch(refusals=held[part * 10 : part * 10 + 10], policies=[policy(f"P-{part}")]))
        state = store._state()
        store.compact()
        store.compact()
        found = store._queries.rows(state, "refusals", state.of("refusals"))
        assert len(found) == 60
        store.compact(grace_s=0.0)
        with pytest.raises(StoreUnavailable, match="ask again"):
            store._queries.rows(state, "refusals", state.of("refusals"))

    def test_a_reader_that_slept_over_compactions_sees_the_present(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore]
    ) -> None:
        sleeper = unmigrated()
        store.write(full_batch())
        assert len(sleeper.journeys(JourneyQuery())) == 2
        for number in range(4):
            store.write(StoreBatch(journeys=journeys(journey(f"car-9{number}"))))
            store.compact(grace_s=0.0)
        assert len(store._commits.numbers()) == 1
        assert len(sleeper.journeys(JourneyQuery())) == 6

    def test_readers_and_writers_beside_compactions_lose_nothing(
        self, store: LakeStore, unmigrated: Callable[[], LakeStore]
    ) -> None:
        done, faults = threading.Event(), list[BaseException]()

        def compact() -> None:
            other = unmigrated()
            try:
                while not done.is_set():
                    other.compact(grace_s=5.0)
                    time.sleep(0.01)
            except BaseException as fault:
                faults.append(fault)

        compacting = threading.Thread(target=compact)
        compacting.start()
        for number in range(25):
            store.write(
                StoreBatch(journeys=journeys(journey(f"car-{number}"), journey("car", distance_m=float(number))))
            )
            assert len(store.journeys(JourneyQuery())) == number + 2
        done.set()
        compacting.join()
        assert faults == []
        assert store.journeys(JourneyQuery(vehicle="car"))["distance_m"].to_pylist() == [24.0]

    def test_expired_fixes_are_off_the_disk_after_compaction(self, store: LakeStore, root: Path) -> None:
        store.write(StoreBatch(fixes=fixes("car-1", NOON)))
        store.write(StoreBatch(fixes=fixes("car-2", NOON, NOON + DAY)))
        assert store.expire(NOON + timedelta(hours=12)) == 2
        store.compact(grace_s=0.0)
        store.compact(grace_s=0.0)
        (path,) = (root / "fixes").rglob("*.parquet")
        assert pq.read_table(path, columns=["vehicle", "day"], partitioning=None).to_pylist() == [
            {"vehicle": "car-2", "day": (NOON + DAY - EPOCH).days}
        ]

    # tools of one's own

    def test_the_views_and_the_list_say_what_is_committed(
        self, store: LakeStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.filled(store)
        (root / "journeys" / "month=2024-03" / "stray.parquet").write_bytes(b"no Parquet")
        monkeypatch.chdir(root)
        expected = store.journeys(JourneyQuery())
        for _ in range(2):
            connection = duckdb.connect()
            connection.execute((root / "current.sql").read_text())
            found = connection.execute("SELECT journey_id FROM journeys ORDER BY started_at, journey_id").fetchall()
            assert [key for (key,) in found] == ids(expected)
            assert connection.execute("SELECT count(*) FROM policies").fetchone() == (len(store.policies()),)
            connection.close()
            store.compact()
        current = json.loads((root / "current.json").read_text())
        assert current["superseded_rows"] == {}
        table = pq.ParquetDataset([str(root / path) for path in current["journeys"]], partitioning=None).read()
        assert sorted(table["journey_id"].to_pylist()) == sorted(ids(expected))
        assert current["position"] == store.changes(None).position


def _named(root: Path, number: int) -> list[str]:
    marker = json.loads((root / "_commits" / f"{number:08d}.json").read_text())
    return [file["path"] for file in marker["added"]]


class TestLakeUrl:
    def test_a_url_without_a_folder_is_refused(self) -> None:
        for url in ("lake://", "lake:///", "lake://folder"):
            with pytest.raises(UsageError, match="names no folder"):
                LakeStore.connect(url)

    def test_a_relative_folder_is_one_below_the_present(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        LakeStore.connect("lake:///journeys").migrate()
        assert LakeStore.connect(f"lake:///{tmp_path}/journeys").schema_version() == (SCHEMA_VERSION, SCHEMA_VERSION)
        assert (tmp_path / "journeys" / "lake.json").exists()

    def test_a_missing_duckdb_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(ExtraMissing, match=r"journeymesh\[lake\]"):
            LakeStore.connect("lake:///journeys")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written_is_one_clear_line(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o555)
        with pytest.raises(StoreUnavailable, match="Permission denied"):
            LakeStore.connect(f"lake:///{tmp_path}/lake").migrate()
