"""Every route of journeyapi needs a decision, and without one nothing leaves."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from journeymesh.services.http.building import openapi_bytes
from journeymesh.services.http.routes import OPEN_ROUTES
from journeymesh.stores.port import JourneyQuery
from journeymesh.wire.identity import Reason
from tests.support.deciding import Told
from tests.support.journeyapis import Served
from tests.support.openapi_changes import breaking_changes

SNAPSHOT = Path(__file__).parents[3] / "docs/reference/openapi/journeyapi.json"
MEDIA = ("application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream",
         "application/vnd.apache.parquet", "text/csv")  # fmt: skip


def test_every_route_takes_a_decision_or_is_named_as_open() -> None:
    with Served() as served:
        routes = served.app.routes
        assert len(routes) == 17
        for route in routes:
            if route.path in OPEN_ROUTES:
                assert route.capability is None
                continue
            assert route.capability is not None, route.path
            assert "decision" in inspect.signature(route.handler).parameters, route.path


@pytest.mark.parametrize("what", ["token", "refused token", "capability", "purpose", "approval", "policy", "fault"])
def test_every_route_and_export_without_what_it_takes_gives_no_row(what: str) -> None:
    reasons = {
        "capability": Reason.CAPABILITY_MISSING,
        "purpose": Reason.PURPOSE_MISSING,
        "approval": Reason.APPROVAL_MISSING,
        "policy": Reason.POLICY_FORBIDS,
        "fault": Reason.FAULT,
    }
    token = {"token": "", "refused token": "stolen"}.get(what, "analyst")
    with Served(token=token) as served:
        journey = served.store.journeys(JourneyQuery(policy="P-1"))["journey_id"][0].as_py()
        walked = 0
        for route in served.app.routes:
            path = route.path
            if path in OPEN_ROUTES:
                continue
            if what in reasons:
                names = [route.capability, *(route.instead or ())[:1]]
                served.decisions.reasons |= dict.fromkeys(names, reasons[what])
            url = path.replace("{policy}", "P-1").replace("{journey}", journey)
            for media in MEDIA:
                headers = {"accept": media, "if-none-match": "*"}
                if token:
                    headers["authorization"] = f"Bearer {token}"
                answer = served.client.request(route.method, url, headers=headers)
                assert answer.status_code in ((401,) if "token" in what else (403, 503)), (path, media)
                assert answer.headers["content-type"] == "application/problem+json"
                assert "car-1" not in answer.text
                walked += 1
        assert walked == 65
        assert served.reads.reads == 0


def test_the_openapi_document_is_the_one_in_the_documentation() -> None:
    with Served() as served:
        assert openapi_bytes(served.app) == SNAPSHOT.read_bytes(), (
            "the document drifted: write it with `python -m tests.unit.services.test_journeyapi_routes`"
        )


def test_the_openapi_document_breaks_nothing_that_the_snapshot_promises() -> None:
    with Served() as served:
        assert breaking_changes(json.loads(SNAPSHOT.read_bytes()), json.loads(openapi_bytes(served.app))) == []


def _snapshot() -> dict:
    return json.loads(SNAPSHOT.read_bytes())


def _without_route(document: dict) -> None:
    del document["paths"]["/v1/journeys/{journey}"]


def _without_field(document: dict) -> None:
    del document["components"]["schemas"]["Journey"]["properties"]["distance_m"]


def _narrower(document: dict) -> None:
    for each in _parameters(document, "/v1/policies/{policy}/journeys"):
        if each["name"] == "limit":
            each["schema"]["maximum"] = 10


def _without_enum_value(document: dict) -> None:
    for each in _parameters(document, "/v1/policies/{policy}/summary"):
        if each["name"] == "period":
            each["schema"]["enum"].remove("term")


def _with_required_parameter(document: dict) -> None:
    _parameters(document, "/v1/policies/{policy}/summary").append(
        {"name": "why", "in": "query", "required": True, "schema": {"type": "string"}}
    )


def _with_other_type(document: dict) -> None:
    document["components"]["schemas"]["TakenFixes"]["properties"]["accepted"] = {"type": "string"}


def _without_media(document: dict) -> None:
    del document["paths"]["/v1/policies/{policy}/journeys"]["get"]["responses"]["200"]["content"]["text/csv"]


def _with_required_member(document: dict) -> None:
    document["components"]["schemas"]["GivenFix"]["required"].append("speed_mps")


@pytest.mark.parametrize(
    "change",
    [
        _without_route, _without_field, _narrower, _without_enum_value, _with_required_parameter, _with_other_type,
        _without_media, _with_required_member,
    ],
)  # fmt: skip
def test_a_breaking_change_is_found(change) -> None:
    changed = _snapshot()
    change(changed)
    assert len(breaking_changes(_snapshot(), changed)) >= 1
    assert breaking_changes(_snapshot(), _snapshot()) == []


def test_an_added_field_and_an_added_optional_parameter_break_nothing() -> None:
    changed = _snapshot()
    changed["components"]["schemas"]["Journey"]["properties"]["colour"] = {"type": "string"}
    _parameters(changed, "/v1/policies/{policy}/summary").append(
        {"name": "why", "in": "query", "required": False, "schema": {"type": "string"}}
    )
    assert breaking_changes(_snapshot(), changed) == []


def _parameters(document: dict, path: str) -> list[dict]:
    return document["paths"][path]["get"]["parameters"]


if __name__ == "__main__":
    with Served(decisions=Told()) as written:
        SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
        SNAPSHOT.write_bytes(openapi_bytes(written.app))
