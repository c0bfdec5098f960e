"""Every route of journeyapi, asked by one tenant while another uses the same policy numbers, devices and times.

What one tenant is told is compared, byte by byte, with what it is told where the other does not exist: no row, count,
header, entity tag or cursor of the other's can be in an answer that is the same without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.ports.test_mongodb_store import drop_database, own_database
from tests.support import records
from tests.support.rooms_databases import fresh_postgresql
from tests.support.two_tenants import (
    ALONE,
    BEGIN,
    LAPSED,
    NOON,
    SHARED,
    TENANTS,
    UNKNOWN,
    Answer,
    TwoTenants,
    journeys_of,
    policies,
    two_tenants,
)  # fmt: skip

from journeymesh import wiring
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import StoreBatch, Superseded

_DATABASES = records.unique_names("jm_tenants_")
HANDED_ON = "car-handed-on"
"""A vehicle that north drives for the first days and south from then on, under one number."""
LATER = NOON + timedelta(days=10)
FIRST_OWNER = Policy(number="H-1", valid_from=BEGIN, valid_to=LATER, vehicle=HANDED_ON, tenant="north")
NEXT_OWNER = replace(FIRST_OWNER, valid_from=LATER, valid_to=None, tenant="south")
MEDIA = (
    "application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
)  # fmt: skip
NUMBERS = (
    SHARED,
    FIRST_OWNER.number,
    UNKNOWN,
    *(each.format(tenant) for each in (ALONE, LAPSED) for tenant in TENANTS),
)
OF_SOUTH = re.compile(rb"south", re.IGNORECASE)
IDS = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9A-Za-z_-]{60,}")
WRITTEN_AT = re.compile(rb'"superseded_at":"[^"]*"')
"""Ids of requests and decisions, and cursors, which are other ones every time."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    method: str = "GET"
    media: str = MEDIA[0]
    body: bytes = b""
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What it is sent with."""
        given = {"accept": self.media}
        if self.method == "POST":
            given |= {"content-type": MEDIA[0], "idempotency_key": self.key}
        return given


def _policies(tenant: str) -> list[Policy]:
    return [*policies(tenant), FIRST_OWNER if tenant == "north" else NEXT_OWNER]


def _rows(policy: Policy) -> list[dict[str, Any]]:
    km = 1.0 if policy.tenant == "north" else 77.0
    rows = journeys_of(policy, distance_m=km * 1000, driving_s=km * 60, rules_version=ALWAYS_ON.version)
    if policy is not NEXT_OWNER:
        return rows
    moved = []
    for row in rows:
        start = row["started_at"] + timedelta(days=10)
        name = journey_id(HANDED_ON, round(start.timestamp() * 1e6))
        moved.append(row | {"journey_id": name, "started_at": start, "ended_at": start + timedelta(minutes=20)})
    return moved


def _fill(store: Any, tenants: Sequence[str]) -> None:
    store.migrate()
    held = [policy for tenant in tenants for policy in _policies(tenant)]
    rows = [row for policy in held for row in _rows(policy)]
    kept = []
    for row in rows:
        at = [row["started_at"] + timedelta(minutes=minute) for minute in range(3)]
        kept.append(records.fixes(row["vehicle"], *at, lat_deg=51.0 if row["tenant"] == "north" else 44.0))
    store.write(StoreBatch(journeys=records.journeys(*rows), fixes=Fixes.concat(kept), policies=held))
    for tenant in tenants:  # the id of a journey that went on in the next one
        first, second = (journey_id(f"car-{tenant}-{SHARED}", _us(day)) for day in (0, 1))
        store.write(StoreBatch(superseded=[Superseded(first, second)]))


def _us(day: int) -> int:
    return round((NOON + timedelta(days=day)).timestamp() * 1e6)


def _journeys() -> list[str]:
    names = [f"car-{tenant}-{number.format(tenant)}" for tenant in TENANTS for number in (SHARED, ALONE, LAPSED)]
    known = [journey_id(name, _us(day)) for name in names for day in (0, 1)]
    return [*known, journey_id(HANDED_ON, _us(0)), journey_id(HANDED_ON, _us(10)), "0" * 26]


def _of_policies(path: str, *queries: str) -> list[Asked]:
    paths = [path.replace("{policy}", number) + query for number in NUMBERS for query in ("", *queries)]
    return [Asked(each) for each in paths] + [Asked(path.replace("{policy}", SHARED), media=each) for each in MEDIA[1:]]


def _of_book(path: str, *queries: str) -> list[Asked]:
    return [*(Asked(path, media=media) for media in MEDIA), *(Asked(path + query) for query in queries)]


def _of_journeys(path: str, media: Sequence[str]) -> list[Asked]:
    names = _journeys()
    return [Asked(path.replace("{journey}", name)) for name in names] + [
        Asked(path.replace("{journey}", name), media=each) for name in names[:7:6] for each in media[1:]
    ]


def _batches(path: str) -> list[Asked]:
    """Fixes of vehicles of one's own, of the other's, and of nobody; then each key once more. Of a vehicle that was
    handed on those of one's own time: that later ones are refused has to tell that it is another's now."""
    cars = ["car-north-P-1", "car-south-P-1", "car-south-L-south", "car-nobody"]
    given = [(car, NOON + timedelta(days=20)) for car in cars] + [(HANDED_ON, NOON)]
    found = []
    for number, (vehicle, first) in enumerate(given):
        rows = [
            {
                "vehicle": vehicle, "fixed_at": (first + timedelta(hours=5, seconds=10 * second)).isoformat(),
                "lat_deg": 51.5 + second / 1000, "lon_deg": -0.1, "speed_mps": 11.0,
            }
            for second in range(30)
        ]  # fmt: skip
        body = msgspec.json.encode({"fixes": rows})
        found += [Asked(path, "POST", body=body, key=f"key-{number}")] * 2
    return [*found, Asked(path, "POST", body=b'{"fixes": []}', key="key-1")]


def _plain(path: str) -> list[Asked]:
    return [Asked(path)]


CASES: dict[tuple[str, str], Callable[[str], list[Asked]]] = {
    ("get", "/v1/policies"): lambda path: _of_book(
        path, "?limit=1", "?product=motor", "?status=lapsed", "?status=none"
    ),
    ("get", "/v1/summaries"): lambda path: _of_book(
        path, "?limit=1", "?period=term", "?by=distance_m&limit=1", "?by=journeys&order=lowest", "?status=lapsed"
    ),
    ("get", "/v1/policies/{policy}/journeys"): lambda path: _of_policies(
        path, "?limit=1", "?fields=started_at,distance_m&limit=1", "?from=2024-01-01T00:00:00Z", "?limit=1000"
    ),
    ("get", "/v1/policies/{policy}/summary"): lambda path: _of_policies(path, "?period=day", "?period=term"),
    ("get", "/v1/policies/{policy}/score"): lambda path: [
        Asked(path.replace("{policy}", number)) for number in NUMBERS
    ],
    ("get", "/v1/policies/{policy}/comparison"): lambda path: [
        Asked(path.replace("{policy}", number) + query) for number in NUMBERS for query in ("", "?period=term")
    ],
    ("get", "/v1/policies/{policy}/refusals"): lambda path: [
        Asked(path.replace("{policy}", number) + query) for number in NUMBERS for query in ("", "?positions=true")
    ],
    ("get", "/v1/journeys/{journey}"): lambda path: _of_journeys(path, MEDIA[:1]),
    ("get", "/v1/journeys/{journey}/versions"): lambda path: _of_journeys(path, MEDIA[:1]),
    ("get", "/v1/journeys/{journey}/refusals"): lambda path: _of_journeys(path, MEDIA[:1]),
    ("get", "/v1/journeys/{journey}/track"): lambda path: _of_journeys(path, MEDIA),
    ("get", "/v1/products/journeys"): _plain,
    ("post", "/v1/fixes"): _batches,
    ("get", "/livez"): _plain,
    ("get", "/readyz"): _plain,
    ("get", "/openapi.json"): _plain,
    ("get", "/metrics"): lambda path: [],  # counts requests of all; that it names nobody is looked at below
}


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def worlds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], TwoTenants]]:
    """Makes the service over a store of this kind with these tenants' data, each over one of its own."""
    with contextlib.ExitStack() as opened:

        def world(name: str) -> TwoTenants:
            folder = tmp_path / name
            folder.mkdir()
            rooms = f"sqlite:///{folder}/room.db"
            url = rooms
            if request.param == "postgresql":
                url = rooms = opened.enter_context(fresh_postgresql(request.getfixturevalue("postgresql_url")))
            elif request.param == "mongodb":
                server = request.getfixturevalue("mongodb_url")
                database = next(_DATABASES)
                opened.callback(drop_database, server, database)
                url = own_database(server, database)
            store = wiring.open_store(url)
            opened.callback(store.close)
            tenants = TENANTS if name == "both" else [name]
            _fill(store, tenants)
            return opened.enter_context(two_tenants(store, rooms, folder, filled=False, taking=True))

        yield world


async def _answers(served: TwoTenants, tenant: str, asked: Sequence[Asked], **more: str) -> list[Answer]:
    token = served.token(tenant)
    return [await served.send(each.method, token, each.path, body=each.body, **each.headers, **more) for each in asked]


def _comparable(answer: Answer) -> tuple[int, Any, bytes]:
    """The answer without ids and without the instant at which this store was written to, nor what that changes."""
    body, instants = WRITTEN_AT.subn(b'"superseded_at":"AT"', answer.body)
    left_out = (b"content-length", b"etag") if instants else ()
    headers = sorted((name, IDS.sub(b"ID", value)) for name, value in answer.headers if name not in left_out)
    return answer.status, headers, IDS.sub(b"ID", body)


def _every(served: TwoTenants) -> list[Asked]:
    """Every request of every route that the application has."""
    routes = {(route.method.lower(), route.path) for route in served.app.routes}
    assert routes == set(CASES), "every route has its cases here"
    return [asked for (_, path), cases in CASES.items() for asked in cases(path)]


async def _following(served: TwoTenants, tenant: str, path: str) -> list[Answer]:
    """The pages of a listing, by their cursors."""
    token, pages, cursor = served.token(tenant), [], ""
    while True:
        pages.append(await served.get(token, path + cursor))
        assert pages[-1].status == 200, pages[-1]
        following = msgspec.json.decode(pages[-1].body).get("next")
        if following is None:
            return pages
        cursor = f"&cursor={following}"


LISTINGS = ("/v1/policies?limit=1", "/v1/summaries?limit=1&period=day", f"/v1/policies/{SHARED}/journeys?limit=1")


def test_no_answer_to_one_tenant_changes_by_what_another_has(worlds: Callable[[str], TwoTenants]) -> None:
    async def told(served: TwoTenants, *before: str) -> tuple[list[Asked], list[Answer], list[Answer], Answer]:
        async with served.running():
            asked = _every(served)
            for tenant in before:  # what is remembered of the other's answers is there
                await _answers(served, tenant, asked)
            answers = await _answers(served, "north", asked)
            answers += await _answers(served, "north", asked)  # from memory now
            pages = [page for path in LISTINGS for page in await _following(served, "north", path)]
            return asked * 2, answers, pages, await served.get("", "/metrics")

    asked, beside, pages, metrics = asyncio.run(told(worlds("both"), "south"))
    _, alone, pages_alone, _ = asyncio.run(told(worlds("north")))
    for request, one, other in zip(asked, beside, alone, strict=True):
        assert _comparable(one) == _comparable(other), request
        assert not OF_SOUTH.search(one.body + repr(one.headers).encode()), request
    assert [_comparable(page) for page in pages] == [_comparable(page) for page in pages_alone]
    assert not re.search(rb"north|south|P-1", metrics.body)
    statuses = {request.path: answer.status for request, answer in zip(asked, beside, strict=True)}
    assert [statuses[f"/v1/policies/{number}/summary"] for number in (SHARED, "P-north", "P-south")] == [200, 200, 404]


def test_an_entity_tag_or_a_cursor_of_one_tenant_is_of_no_use_to_another(
    worlds: Callable[[str], TwoTenants],
) -> None:
    served = worlds("both")

    async def ask() -> None:
        async with served.running():
            every = [each for each in _every(served) if each.method == "GET" and "/v1/p" in each.path]
            souths, norths = [await _answers(served, tenant, every) for tenant in ("south", "north")]
            for asked, south, north in zip(every, souths, norths, strict=True):
                tag = dict(south.headers).get(b"etag")
                if tag is None or north.status != 200 or south.body == north.body:
                    continue
                token = served.token("north")
                again = await served.get(token, asked.path, accept=asked.media, if_none_match=tag.decode())
                assert (again.status, again.body.partition(b'"next"')[0]) == (200, north.body.partition(b'"next"')[0])
            for path in LISTINGS:
                cursor = msgspec.json.decode((await served.get(served.token("south"), path)).body)["next"]
                mine, made_up = [
                    await served.get(served.token("north"), f"{path}&cursor={each}")
                    for each in (cursor, "A" * len(cursor))
                ]
                assert mine.status == 400
                assert _comparable(mine) == _comparable(made_up)

    asyncio.run(ask())


def test_a_key_used_by_one_tenant_is_free_to_another(
    worlds: Callable[[str], TwoTenants],
) -> None:
    served = worlds("both")

    async def ask() -> list[dict[str, Any]]:
        async with served.running():
            batch = _batches("/v1/fixes")[0]
            return [msgspec.json.decode((await _answers(served, tenant, [batch]))[0].body) for tenant in TENANTS]

    north, south = asyncio.run(ask())
    assert (north["accepted"], len(north["refused"])) == (30, 0)
    assert (south["accepted"], len(south["refused"])) == (0, 30)
    assert {each["reason"] for each in south["refused"]} == {"vehicle_not_admitted"}
