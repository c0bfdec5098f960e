"""Fixes handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from journeymesh.access.decision import Decision
from journeymesh.errors import UsageError
from journeymesh.governance.obligations import RowPredicate
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import PoliciesByName
from journeymesh.services.http.answers import ReadyAnswer, raw_headers
from journeymesh.services.http.bodies import BODIES, LeasedAnswer, read_body
from journeymesh.services.http.problems import (
    CONFLICT,
    MALFORMED,
    RULES_CONFLICT,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.services.http.requests import HttpRequest, header
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.journeyapi.fix_bodies import read_fixes
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, digest_of, key_of
from journeymesh.services.journeyapi.policy_answers import Dependencies, dependencies_of
from journeymesh.services.journeyapi.ports import FixTaker, Policies, RefusedFix
from journeymesh.services.journeyapi.rendering import ARROW, JSON
from journeymesh.sources.personal_data import DATA_KINDS, PersonalDataRefused, data_kind, require_admitted
from journeymesh.wire.journeys import GivenFixes, RefusedRow, TakenFixes

VEHICLE_NOT_ADMITTED: Final = "vehicle_not_admitted"
_LONGEST_KEY: Final = 200
_SMALL_BYTES: Final = 64 << 10
_HEADERS: Final = raw_headers({"content-type": JSON, "cache-control": "no-store"}.items())


@HttpRoute(
    "POST",
    "/v1/fixes",
    summary="Hand in fixes",
    tag="fixes",
    capability="fixes:write",
    answers=(Answer(200, "What was taken and what was refused", {JSON: TakenFixes}),),
    takes={JSON: GivenFixes, ARROW: None},
    headers={
        "Idempotency-Key": (
            "names the batch: sent again, it is answered as before",
            True,
            {"minLength": 1, "maxLength": _LONGEST_KEY},
        ),
        "Journeymesh-Data": (
            "what kind of data the batch has; where it is left out, personal",
            False,
            {"enum": list(DATA_KINDS)},
        ),
    },
    problems=(CONFLICT, RULES_CONFLICT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, UNPROCESSABLE),
)
async def put_fixes(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Takes those fixes of the batch that can be taken, and lists the others with their reasons. They are durable when
    the answer comes."""
    deps = dependencies_of(request)
    if deps.taker is None or deps.kept is None:
        raise ProblemRaised(CONFLICT, "fixes are not taken here")
    key = header(request.scope, b"idempotency-key")
    if not key or len(key) > _LONGEST_KEY:
        raise ProblemRaised(MALFORMED, f"give the batch an Idempotency-Key of at most {_LONGEST_KEY} characters")
    _require_admitted(request, deps)
    if header(request.scope, b"content-encoding") not in (None, "identity"):
        raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, "send the body as it is, without content-encoding")
    media = header(request.scope, b"content-type") or ""
    lease = request.state[BODIES].lease()
    try:
        body = await read_body(request, lease, deps.config.http.max_body_bytes)
    except BaseException:
        lease.release()
        raise
    batch = _Batch(deps, deps.taker, deps.kept, decision, key_of(decision.identity, key), media, body)
    taken = await deps.taking.work(batch.taken, after=lease.release)
    return LeasedAnswer(request.state[BODIES], _HEADERS, taken)


def _require_admitted(request: HttpRequest, deps: Dependencies) -> None:
    """Refuse a batch of data that this environment does not admit, before its body is read."""
    try:
        kind = data_kind(header(request.scope, b"journeymesh-data") or "personal", "Journeymesh-Data")
        require_admitted(kind, deps.config.personal_data, "the batch", mark="the header Journeymesh-Data")
    except PersonalDataRefused as error:
        raise ProblemRaised(CONFLICT, str(error)) from error
    except UsageError as error:
        raise ProblemRaised(MALFORMED, str(error)) from error


class _Batch(msgspec.Struct, frozen=True):
    deps: Any
    taker: Any
    kept: Any
    decision: Any
    key: str
    media: str
    body: bytearray

    def taken(self) -> bytes:
        """The answer, given before or now."""
        kept: KeptAnswers = self.kept
        answered, again = kept.once(self.key, digest_of(self.media, self.body), self._take)
        if not again:
            return answered
        before = msgspec.json.decode(answered, type=TakenFixes)
        return msgspec.json.encode(msgspec.structs.replace(before, again=again))

    def _take(self) -> bytes:
        """What comes of a large batch takes ten times its bytes while it is worked on: they take turns."""
        deps: Dependencies = self.deps
        if len(self.body) <= _SMALL_BYTES and ARROW not in self.media:
            return self._take_in_turn()
        with deps.turn:
            return self._take_in_turn()

    def _take_in_turn(self) -> bytes:
        deps: Dependencies = self.deps
        taker: FixTaker = self.taker
        fixes, refused = read_fixes(self.media, self.body, deps.config.most_fixes)
        rows = len(fixes) + len(refused)
        fixes, foreign = _admitted(fixes, deps.policies, self.decision)
        refused += foreign
        if len(fixes):
            try:
                refused += taker.take(fixes, self.key)
            except UsageError as error:
                raise ProblemRaised(CONFLICT, str(error)) from error
        listed = [RefusedRow(each.row, each.reason, each.detail) for each in sorted(refused, key=lambda each: each.row)]
        return msgspec.json.encode(TakenFixes(rows - len(listed), listed, False))


def _admitted(fixes: Fixes, policies: Policies, decision: Decision) -> tuple[Fixes, Sequence[RefusedFix]]:
    """The fixes of policies whose rows the caller is admitted to, and the others, refused.

    Where the caller is admitted to some policies only, a vehicle that nobody knows is refused as one of somebody
    else's is: nobody learns which vehicles there are.
    """
    rows: RowPredicate = decision.obligations.rows
    if rows == RowPredicate() or not len(fixes):
        return fixes, ()
    held = policies.of_vehicles(fixes.vehicles)
    timeline = PoliciesByName.of(held).timeline(fixes.vehicles)
    may = np.array([rows.admits(policy) for policy in timeline.policies], np.bool_)
    taken = np.zeros(len(fixes), np.bool_)
    order = np.argsort(fixes.vehicle, kind="stable")
    bounds = np.searchsorted(fixes.vehicle[order], np.arange(len(fixes.vehicles) + 1))
    for vehicle in range(len(fixes.vehicles)):
        spans = range(int(timeline.first[vehicle]), int(timeline.first[vehicle + 1]))
        if not spans:
            continue
        rows_of = order[bounds[vehicle] : bounds[vehicle + 1]]
        # Outside all its policies' times a vehicle is its policies' as a whole.
        taken[rows_of] = all(may[timeline.policy[span]] for span in spans)
        at = fixes.fixed_at_us[rows_of]
        for span in spans:
            inside = (at >= timeline.from_us[span]) & (at < timeline.to_us[span])
            taken[rows_of[inside]] = may[timeline.policy[span]]
    origins = fixes.origins
    assert origins is not None
    detail = "no policy that you may hand in fixes for covers this vehicle then"
    refused = [RefusedFix(int(row), VEHICLE_NOT_ADMITTED, detail) for row in origins[~taken]]
    return fixes.take(taken), refused


ROUTES: Final = (put_fixes,)
