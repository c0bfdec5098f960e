"""What every service's HTTP has alike, on a service of two routes."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import time
import weakref
import zlib
from concurrent.futures import Future

import pytest
import zstandard

from journeymesh.access.decision import Decision
from journeymesh.access.reasons import REASONS
from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditUnwritable
from journeymesh.services.http.answers import ReadyAnswer, json_answer
from journeymesh.services.http.building import HttpApp, Service, build_http
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import structured_log
from journeymesh.services.http.problems import TOO_LARGE, ProblemRaised
from journeymesh.services.http.requests import HttpRequest, header
from journeymesh.services.http.routes import HttpRoute
from journeymesh.wire.identity import Reason
from tests.support.asgi_client import AsgiClient
from tests.support.deciding import Told

ANALYST = {"authorization": "Bearer analyst"}


@HttpRoute("GET", "/v1/things/{thing}", capability="product:read")
async def thing(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    name = request.path_params["thing"]
    if name == "slow":
        await asyncio.sleep(5)
    if name == "broken":
        raise RuntimeError("POLICY-4711")
    if name == "away":
        raise StoreUnavailable("POLICY-4711 is not there")
    return json_answer(json.dumps({"thing": name * 500, "by": decision.identity.subject}).encode(), {})


class Held:
    """What a request works with."""


held: list[weakref.ref[Held]] = []


@HttpRoute("GET", "/v1/failing/{how}", capability="product:read")
async def failing(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    body = Held()
    held.append(weakref.ref(body))
    problem = ProblemRaised(TOO_LARGE, "it is too large")
    if request.path_params["how"] == "fault":
        raise RuntimeError("no")
    try:
        raise StoreUnavailable("away")
    except StoreUnavailable as error:
        raise problem from error


looked_up: list[str] = []


async def _sought(request: HttpRequest) -> tuple[Policy, ...]:
    looked_up.append(request.path_params["thing"])
    return ()


@HttpRoute("GET", "/v1/sought/{thing}", capability="product:read", about=_sought)
async def sought(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    return json_answer(b"{}", {})


class Served:
    def __init__(self, decisions: Told | None = None, life: Life | None = None, **config: object) -> None:
        self.lines = io.BytesIO()
        self.decisions = decisions or Told()
        self.app: HttpApp = build_http(
            Service(
                name="things",
                title="Things",
                version="1",
                told="Of things",
                routes=[thing, sought, failing],
                decisions=self.decisions,
                config=HttpConfig(**config),
                life=life or Life(),
                log=structured_log("things", self.lines),
            )
        )

    def __enter__(self) -> Served:
        self.client = AsgiClient(self.app)
        self.client.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.__exit__(*error)

    def get(self, path: str = "/v1/things/a", **headers: str):
        return self.client.get(path, headers={**ANALYST, **headers})


def test_an_allowed_request_is_answered_with_security_headers_and_an_id() -> None:
    with Served() as served:
        answer = served.get()
        assert answer.status_code == 200
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_every_guarded_answer_names_its_decision_and_an_open_one_has_none() -> None:
    with Served() as served:
        assert served.get().headers["decision-id"]
        assert "decision-id" not in served.get("/livez").headers
    with Served(Told(reasons={"product:read": Reason.CAPABILITY_MISSING})) as served:
        denied = served.get()
        assert denied.status_code == 403
        assert denied.headers["decision-id"] == denied.json()["decision_id"]
    with Served(burst=0, requests_per_s=0.1) as served:
        held_back = served.get()
        assert held_back.status_code == 429
        assert held_back.headers["decision-id"]
    with Served() as served:
        paths = served.client.get("/openapi.json").json()["paths"]
        for path, guarded in (("/v1/things/{thing}", True), ("/livez", False)):
            for answer in (paths[path]["get"]["responses"][status] for status in ("200", "503")):
                assert ("Decision-Id" in answer.get("headers", {})) is guarded


def test_without_a_token_it_is_401_and_says_how_to_authenticate() -> None:
    with Served() as served:
        answer = served.client.get("/v1/things/a")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="journeymesh"'
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"].endswith("/token-missing")
        assert answer.json()["decision_id"] == "d1"


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.CAPABILITY_MISSING, 403),
        (Reason.CAPABILITY_UNKNOWN, 403),
        (Reason.PURPOSE_MISSING, 403),
        (Reason.PURPOSE_UNKNOWN, 403),
        (Reason.APPROVAL_MISSING, 403),
        (Reason.POLICY_FORBIDS, 403),
        (Reason.FAULT, 503),
        (Reason.TOKEN_REFUSED, 401),
    ],
)
def test_each_reason_has_its_status(reason: Reason, status: int) -> None:
    with Served(Told(reasons={"product:read": reason}, retry_after_s=3.0 if status == 503 else None)) as served:
        answer = served.get()
        assert answer.status_code == status
        assert answer.json()["reason"] == reason.value
        assert answer.json()["detail"] == f"{REASONS[reason].what}: {REASONS[reason].todo}"
        assert answer.headers.get("retry-after") == ("3" if status == 503 else None)


def test_the_purpose_and_the_token_reach_the_decision_and_two_of_one_header_do_not() -> None:
    with Served() as served:
        served.get(**{"data-purpose": "pricing"})
        assert served.decisions.asked[-1].purpose == "pricing"
    with pytest.raises(ProblemRaised):
        header({"headers": [(b"data-purpose", b"a"), (b"data-purpose", b"b")]}, b"data-purpose")


def test_a_decision_that_would_wait_is_made_by_a_thread() -> None:
    with Served(Told(blocks=True)) as served:
        assert served.get().status_code == 200


def test_nothing_leaves_before_the_record_is_durable_nor_where_it_fails() -> None:
    late: Future[None] = Future()
    failed: Future[None] = Future()
    failed.set_exception(AuditUnwritable("the disk is full"))
    with Served(Told(recorded=[late, failed]), answer_within_s=0.2) as served:
        assert served.get().status_code == 503
        answer = served.get()
        assert answer.status_code == 503
        assert "disk" not in answer.text
        assert answer.headers["retry-after"]


def test_a_denial_about_a_policy_says_no_more_than_that_it_is_not_known() -> None:
    hidden = Policy(number="P1", valid_from=_day(1), device="d", tenant="other")
    known = {"P1": [hidden]}

    async def about(request: HttpRequest) -> list[Policy]:
        return known[request.path_params["policy"]]

    @HttpRoute("GET", "/v1/of/{policy}", capability="summaries:read", about=about)
    async def of(request: HttpRequest, decision: Decision) -> ReadyAnswer:
        return json_answer(b"{}", {})

    service = Service(
        name="of", title="", version="", told="", routes=[of],
        decisions=Told(forbids_tenants=frozenset({"other"})), log=structured_log("of", io.BytesIO()),
    )  # fmt: skip
    with AsgiClient(build_http(service)) as client:
        answer = client.get("/v1/of/P1", headers=ANALYST)
        assert answer.status_code == 404
        assert "decision_id" not in answer.json()


def test_a_client_that_asks_too_much_is_told_when_to_come_back() -> None:
    with Served(burst=2, requests_per_s=0.5) as served:
        assert [served.get().status_code for _ in range(3)] == [200, 200, 429]
        assert int(served.get().headers["retry-after"]) in (1, 2)


def test_strangers_share_the_rate_of_their_address_however_many_tokens_they_make_up() -> None:
    with Served(strangers_burst=3, strangers_per_s=0.1) as served:
        codes = [served.get(authorization=f"Bearer made-up-{n}").status_code for n in range(4)]
        assert codes == [401, 401, 401, 429]
        assert len(served.decisions.asked) == 3


def test_a_token_that_holds_does_not_use_up_the_strangers_rate() -> None:
    with Served(strangers_burst=1, strangers_per_s=0.001) as served:
        assert served.get().status_code == 200
        assert served.get(authorization="Bearer other").status_code == 200


def test_an_identity_does_not_begin_anew_with_a_new_token_once_it_asks_too_much() -> None:
    with Served(burst=1, requests_per_s=0.001, strangers_burst=4, strangers_per_s=0.001) as served:
        assert served.get().status_code == 200
        assert [served.get(authorization="Bearer other").status_code for _ in range(3)] == [429] * 3
        made = len(served.decisions.asked)
        # What it could not pay for was taken from its address: tokens never seen before are refused undecided.
        assert [served.get(authorization=f"Bearer {n}").status_code for n in range(6)] == [401] * 3 + [429] * 3
        assert len(served.decisions.asked) == made + 3


def test_without_a_token_nothing_is_looked_up_and_the_rate_of_the_address_comes_first() -> None:
    with Served(strangers_burst=3, strangers_per_s=0.001) as served:
        looked_up.clear()
        answers = [served.client.get("/v1/sought/x") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert answers[0].json()["decision_id"] == answers[0].headers["decision-id"] == "d1"
        assert looked_up == []


@pytest.mark.parametrize("how", ["fault", "problem"])
def test_what_a_refused_request_held_is_free_at_once(how: str) -> None:
    with Served() as served:
        gc.disable()
        try:
            assert served.get(f"/v1/failing/{how}").status_code == (500 if how == "fault" else 413)
            for _ in range(100):  # the task ends a moment after its answer
                if held[-1]() is None:
                    break
                time.sleep(0.01)
            assert held[-1]() is None
        finally:
            gc.enable()


def test_an_answer_that_does_not_begin_in_time_is_503() -> None:
    with Served(answer_within_s=0.05) as served:
        answer = served.get("/v1/things/slow")
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("/too-slow")
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_what_a_fault_says_about_a_policy_reaches_neither_caller_nor_log() -> None:
    with Served() as served:
        for name, status in (("broken", 500), ("away", 503)):
            answer = served.get(f"/v1/things/{name}")
            assert answer.status_code == status
            assert "4711" not in answer.text
        written = served.lines.getvalue().decode()
        assert "4711" not in written
        assert '"error":"RuntimeError"' in written


def test_logs_and_metrics_name_the_route_and_not_what_it_was_asked_about() -> None:
    with Served() as served:
        served.get(
            "/v1/things/POLICY-4711", **{"x-request-id": "POLICY-4711", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        )
        served.get("/v1/nothing/POLICY-4711")
        seen = served.lines.getvalue().decode() + served.client.get("/metrics").text
        assert "4711" not in seen
        assert '"route":"/v1/things/{thing}"' in seen
        assert '"trace_id":"' + "a" * 32 in seen
        assert 'route="/v1/things/{thing}",status="200"' in seen
        assert 'route="unmatched",status="404"' in seen


def test_a_random_request_id_is_kept() -> None:
    with Served() as served:
        given = "0123456789abcdef0123456789abcdef"
        assert served.get(**{"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_large_answers_are_compressed_as_the_client_accepts(encoding: str) -> None:
    with Served() as served:
        with served.client.stream("GET", "/v1/things/abc", headers={**ANALYST, "accept-encoding": encoding}) as answer:
            assert answer.headers["content-encoding"] == encoding
            raw = b"".join(answer.iter_raw())
        plain = zlib.decompress(raw, 31) if encoding == "gzip" else zstandard.decompress(raw)
        assert json.loads(plain)["thing"] == "abc" * 500
        assert "content-encoding" not in served.get(**{"accept-encoding": "gzip;q=0"}).headers


def test_unknown_routes_and_methods_are_problems_too() -> None:
    with Served() as served:
        assert served.get("/v1/nothing").json()["type"].endswith("/not-found")
        answer = served.client.post("/v1/things/a", headers=ANALYST)
        assert answer.status_code == 405
        assert answer.json()["type"].endswith("/method-not-allowed")


def test_readyz_fails_while_a_check_does_and_while_draining_but_livez_does_not() -> None:
    fault = [""]
    life = Life(checks={"store": lambda: fault[0]})
    with Served(life=life) as served:
        assert served.client.get("/readyz").status_code == 200
        fault[0] = "password=secret"
        answer = served.client.get("/readyz")
        assert answer.status_code == 503
        assert "store" in answer.text
        assert "secret" not in answer.text
        fault[0] = ""
        life.draining = True
        assert served.client.get("/readyz").status_code == 503
        assert served.client.get("/livez").status_code == 200


def test_a_route_that_needs_a_capability_that_is_none_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="no capability"):
        HttpRoute("GET", "/v1/stolen", capability="journeys:steal")


def test_the_openapi_document_says_what_a_route_needs() -> None:
    with Served() as served:
        document = served.client.get("/openapi.json").json()
        operation = document["paths"]["/v1/things/{thing}"]["get"]
        assert operation["x-capability"] == {"product": "journeys", "name": "product:read"}
        assert operation["security"] == [{"bearer": []}]
        assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"])


def _day(day: int):
    from datetime import UTC, datetime

    return datetime(2026, 1, day, tzinfo=UTC)
