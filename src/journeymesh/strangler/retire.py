"""Retiring a slice: the one step that cannot be taken back, made in steps that can be, until the last.

    fenced      the route says retired: nobody asks the source or feeds from it any more
    (proven)    source and target are compared once more; any difference undoes the fence
    exported    legacy documents are in a file, their number and digest in its manifest
    removed     those documents are deleted from legacy

The step is recorded before the next begins. A crash leaves a step that ``apply`` goes on from.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec
import sqlalchemy as sa

from journeymesh.journeys.policies import Policy
from journeymesh.sources.vehicle_port import DocumentRemover
from journeymesh.strangler.control import Control, feeds, now_us, pending_moves, put_row
from journeymesh.strangler.gates import GateClosed, NothingCompared
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.policy_book import members_of
from journeymesh.strangler.routes import STALE_S, Route, RouteChange, note, read_routes, record
from journeymesh.strangler.slices import Phase

FENCED: Final = "fenced"
EXPORTED: Final = "exported"
_FENCE_S: Final = 2 * STALE_S
_FEEDERS_S: Final = 60.0
_MANIFEST: Final = "manifest.json"


class ExportManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds: ``documents`` in ``file`` (BSON, one after the other, as mongodump writes them)."""

    slice: str
    file: str
    documents: int
    sha256: str
    vehicles: int
    policies: int
    exported_at: datetime


@dataclass(frozen=True, slots=True)
class Retiring:
    """Retires slices.

    - ``exports``: the folder that a slice's folder is made in
    - ``remover``: what exports and deletes legacy documents
    - ``differences``: how many journeys of a slice differ between source and target now; raises ``NothingCompared``
      where neither has any
    """

    control: Control
    policies: Sequence[Policy]
    exports: Path
    remover: Callable[[], DocumentRemover]
    differences: Callable[[Route], int]
    fence_s: float = _FENCE_S
    feeders_s: float = _FEEDERS_S
    sleep: Callable[[float], None] = field(default=time.sleep)

    def retire(self, route: Route, who: str, why: str) -> None:
        """Retire the slice, or leave it in phase target and say why.

        Raises:
            GateClosed: source and target differ, or something still writes to legacy; the fence is taken back.
        """
        fenced = replace(route, phase=Phase.RETIRED, since_us=now_us())
        with self.control.writing() as connection:
            record(connection, fenced, RouteChange(who, why, "began", Phase.TARGET, Phase.RETIRED))
            _step(connection, route.slice.name, FENCED, who, why)
        self._go_on(fenced, FENCED, who, why)

    def resume(self) -> list[str]:
        """Go on with what a crash left; returns the slices."""
        with self.control.reading() as connection:
            pending = connection.execute(sa.select(pending_moves).order_by(pending_moves.c.slice)).all()
        recorded = read_routes(self.control)
        for row in pending:
            route = recorded.get(row.slice)
            if route is not None:
                self._go_on(route, row.step, row.who, row.why, row.content)
        return [row.slice for row in pending]

    def _go_on(self, route: Route, step: str, who: str, why: str, content: str | None = None) -> None:
        manifest = msgspec.json.decode(content, type=ExportManifest) if content else None
        if step == FENCED:
            self._wait_for_readers(route)
            try:
                found = self.differences(route)
            except NothingCompared as error:
                self._undo(route, who, why, error.what)
            if found:
                self._undo(route, who, why, f"{found} journeys differ between {route.source} and {route.target}")
            if route.source == LEGACY:
                manifest = self._export(route)
                with self.control.writing() as connection:
                    _step(connection, route.slice.name, EXPORTED, who, why, manifest)
        if manifest is not None:
            vehicles = self._vehicles(route)
            there = sum(1 for _ in self._documents(vehicles))
            if there > manifest.documents:
                self._undo(
                    route, who, why, f"{there - manifest.documents} documents were added to legacy since the export"
                )
            self.remover().remove_vehicles(vehicles)
        with self.control.writing() as connection:
            connection.execute(sa.delete(pending_moves).where(pending_moves.c.slice == route.slice.name))
            detail = None if manifest is None else f"{manifest.documents} legacy documents exported and removed"
            entry = RouteChange(who, why, "moved", Phase.TARGET, Phase.RETIRED, detail)
            note(connection, route.slice.name, entry)

    def _wait_for_readers(self, route: Route) -> None:
        """Until no replica and no feeder can still act on the route as it was."""
        self.sleep(self.fence_s)
        fence = read_routes(self.control).revision
        until = time.monotonic() + self.feeders_s
        while (busy := self._feeders_before(fence)) and time.monotonic() < until:
            self.sleep(0.2)
        if busy:
            self._undo(route, "apply", "", "a feeder has not taken over the new routes")

    def _feeders_before(self, fence: int) -> int:
        """Feeders alive that still act on an earlier revision."""
        earlier = sa.or_(feeds.c.revision.is_(None), feeds.c.revision < fence)
        query = sa.select(sa.func.count()).where(feeds.c.lease_until_us > now_us(), earlier)
        with self.control.reading() as connection:
            return connection.execute(query).scalar_one()

    def _undo(self, route: Route, who: str, why: str, because: str) -> NoReturn:
        name = route.slice.name
        with self.control.writing() as connection:
            connection.execute(sa.delete(pending_moves).where(pending_moves.c.slice == name))
            back = replace(route, phase=Phase.TARGET, since_us=now_us())
            record(connection, back, RouteChange(who, why, "undone", Phase.RETIRED, Phase.TARGET, because))
        raise GateClosed(f"slice {name!r} is not retired: {because}", todo="fix this and apply again")

    def _vehicles(self, route: Route) -> list[str]:
        """Vehicles and devices that only this slice's policies insure: another slice's documents stay."""
        ours, others = set[str](), set[str]()
        for policy in self.policies:
            names = {policy.device, policy.vehicle} - {None}
            (ours if route.slice.selector.holds(policy) else others).update(map(str, names))
        return sorted(ours - others)

    def _documents(self, vehicles: Sequence[str]) -> Iterator[bytes]:
        return self.remover().raw_documents(vehicles) if vehicles else iter(())

    def _export(self, route: Route) -> ExportManifest:
        folder = self.exports / route.slice.name
        folder.mkdir(parents=True, exist_ok=True)
        vehicles = self._vehicles(route)
        digest, documents = hashlib.sha256(), 0
        with (folder / "documents.bson.part").open("wb") as file:
            for document in self._documents(vehicles):
                file.write(document)
                digest.update(document)
                documents += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(folder / "documents.bson.part", folder / "documents.bson")
        manifest = ExportManifest(
            slice=route.slice.name,
            file="documents.bson",
            documents=documents,
            sha256=digest.hexdigest(),
            vehicles=len(vehicles),
            policies=len(members_of(route.slice.selector, self.policies)),
            exported_at=datetime.now(UTC),
        )
        (folder / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        return manifest


def _step(
    connection: sa.Connection, name: str, step: str, who: str, why: str, manifest: ExportManifest | None = None
) -> None:
    content = None if manifest is None else msgspec.json.encode(manifest).decode()
    values: dict[str, Any] = {"step": step, "content": content}
    at_first = {"after": Phase.RETIRED.value, "who": who, "why": why, "since_us": now_us()}
    put_row(connection, pending_moves, {"slice": name}, values, at_first)
