"""What a journey was before late fixes changed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.journeys.answers import json_rows
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.problems import CURSOR_REFUSED, NOT_FOUND, PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import ENTITY_TAG, IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.journey_answers import about_journey, journey_in_vain, journey_of
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    obliged,
    read_answer,
    remembered_unchanged,
    state_of,
)
from journeymesh.services.journeyapi.ports import Reads
from journeymesh.services.journeyapi.rendering import JSON
from journeymesh.services.journeyapi.schemas import JourneyVersionsPage
from journeymesh.stores.port import HistoryEntry
from journeymesh.wire.journeys import FieldChange, JourneyVersion, JourneyVersions

MOST_VERSIONS: Final = 1_000
"""Of one journey: of more the oldest are not told."""
_NUMBER: Final = "number"
"""The column that a former content has its place in: it is none of a journey's."""


class VersionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of a journey's earlier versions."""

    cursor: Annotated[str | None, msgspec.Meta(description="`next` of the page before")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="at most so many")] = 20


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}/versions",
    summary="What a journey was before",
    tag="journeys",
    capability="journeys:read",
    about=about_journey("journeys:read"),
    in_vain=journey_in_vain("journeys:read"),
    answers=(
        Answer(
            200,
            "Earlier versions, the latest first",
            {JSON: JourneyVersionsPage},
            ENTITY_TAG,
        ),
        Answer(304, "The caller has them already", {}, ENTITY_TAG),
    ),
    query=VersionsQuery,
    path_told={"journey": "the journey's id; one that a late fix made obsolete leads to its successor"},
    headers=IF_NONE_MATCH,
    problems=(CURSOR_REFUSED, PRECONDITION_FAILED),
)
async def versions(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Each content that the journey had under the id that is asked for, and under those that this id leads on to: its
    fields as they may be seen, when and by which journey it was superseded, and what the next one has otherwise.
    A version of another policy is not among them. Legacy, which computes on read, has none."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    journey_id, query = request.path_params["journey"], query_of(scope, VersionsQuery)
    name = f"versions\0{policy.number}\0{policy.tenant}\0{journey_id}"
    before = None if query.cursor is None else _place(deps.cursors.open(name, query.cursor)[1])
    state = state_of(deps, decision, policy, "versions", journey_id, str(before), str(query.limit))
    if (held := remembered_unchanged(deps, scope, state)) is not None:
        return held
    current = await journey_of(deps, scope, journey_id, policy)
    found = await deps.threads.run(_found, deps, decision, policy, journey_id, current)
    if found is None:
        raise ProblemRaised(NOT_FOUND)
    page = [each for each in found if before is None or each[0] < before][: query.limit + 1]
    following = None
    if len(page) > query.limit:
        number, last = page[query.limit - 1]
        following = deps.cursors.seal(name, last.superseded_at, str(number))
    items = [version for _, version in page[: query.limit]]
    body = msgspec.json.encode(JourneyVersions(items, following))
    return read_answer(deps, scope, state, body, JSON, following)


def _found(
    deps: Dependencies, decision: Decision, policy: Admitted, journey_id: str, current: pa.Table
) -> list[tuple[int, JourneyVersion[dict[str, Any]]]] | None:
    """(number, version) of each earlier version that may be seen, the latest first; None: nor may the journey."""
    now = json_rows(obliged(current, decision, policy))
    if not now:
        return None
    entries = _entries(deps.reads, journey_id, current["journey_id"][0].as_py())
    first = max(0, len(entries) - MOST_VERSIONS)
    former = [
        entry.journey.select(JOURNEY_SCHEMA.names).append_column(_NUMBER, pa.array([number]))
        for number, entry in enumerate(entries[first:], first)
    ]
    if not former:
        return []
    hides_id = "journey_id" in decision.obligations.hidden
    found, after = [], now[0]
    for row in reversed(json_rows(obliged(pa.concat_tables(former), decision, policy))):
        number = row.pop(_NUMBER)
        entry = entries[number]
        changes = [FieldChange(name, row[name], after[name]) for name in row if row[name] != after[name]]
        successor = None if hides_id else entry.successor_id
        found.append((number, JourneyVersion(entry.superseded_at, successor, changes, row)))
        after = row
    return found


def _entries(reads: Reads, journey_id: str, current_id: str) -> Sequence[HistoryEntry]:
    """The former contents under this id and under those that it leads on to, oldest first."""
    found: list[HistoryEntry] = []
    passed: set[str] = set()
    following: str | None = journey_id
    while following is not None and following not in passed:
        passed.add(following)
        entries = reads.history(following)
        found += entries
        led_to = (entry.successor_id for entry in reversed(entries) if entry.successor_id not in passed)
        following = None if following == current_id else next(led_to, current_id)
    return found


def _place(text: str) -> int:
    if not text.isdecimal():
        raise ProblemRaised(CURSOR_REFUSED)
    return int(text)


ROUTES: Final = (versions,)
