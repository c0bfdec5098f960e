"""journeyapi from outside, as somebody of tenant `e2e` who may read summaries for `pricing`."""

from __future__ import annotations

import base64
import json
import os
import time

import httpx
import pytest

MONTHS = {"period": "month"}
NUMBERS = ("journeys", "active_days", "distance_m", "driving_s", "night_share", "score")


def test_it_says_that_it_lives_and_is_ready(service: httpx.Client) -> None:
    if os.environ.get("GATEWAY"):
        pytest.skip("a gateway does not show a service's health")
    assert service.get("/livez").status_code == 200
    assert service.get("/readyz").status_code == 200


def test_a_policys_months_are_told(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers=analyst)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"].startswith("private")
    assert answer.headers["decision-id"]
    months = answer.json()["items"]
    assert months, "no month: are the synthetic journeys there?"
    for month in months:
        assert (month["policy"], month["tenant"], month["period"]) == (policy, "e2e", "month")
        assert {name for name in NUMBERS if month[name] is None} == set()
        assert (month["speeding_share"] is None) == (not month["limit_known_distance_m"])
    assert sum(month["distance_m"] for month in months) > 1_000
    assert sum(month["journeys"] for month in months) > 0


def test_a_policys_journeys_are_told_page_by_page(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    path = f"/v1/policies/{policy}/journeys"
    first = service.get(path, params={"limit": 1}, headers=analyst)
    assert first.status_code == 200, first.text
    [journey] = first.json()["items"]
    assert journey["started_at"] < journey["ended_at"]
    assert journey["distance_m"] > 0
    second = service.get(path, params={"limit": 1, "cursor": first.json()["next"]}, headers=analyst)
    assert second.status_code == 200, second.text
    assert second.json()["items"][0]["journey_id"] != journey["journey_id"]


def test_an_answer_is_not_sent_again_while_it_holds(
    service: httpx.Client, analyst: dict[str, str], policy: str
) -> None:
    path = f"/v1/policies/{policy}/summary"
    tag = service.get(path, params=MONTHS, headers=analyst).headers["etag"]
    again = service.get(path, params=MONTHS, headers={**analyst, "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_without_a_token_nothing_is_told(service: httpx.Client, policy: str) -> None:
    answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers={"Data-Purpose": "pricing"})
    assert answer.status_code == 401
    assert policy not in answer.text


def _unsigned(token: str) -> str:
    """The same claims, as if nobody had to sign them."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


def test_a_token_that_nobody_signed_opens_nothing(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    token = analyst["Authorization"].removeprefix("Bearer ")
    broken = token[:-8] + ("A" * 8 if not token.endswith("A" * 8) else "B" * 8)
    for forged in (_unsigned(token), broken, "nonsense"):
        headers = {"Authorization": f"Bearer {forged}", "Data-Purpose": "pricing"}
        answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers=headers)
        assert answer.status_code == 401, forged[:40]
        assert "distance_m" not in answer.text


def test_without_a_purpose_nothing_is_told(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    headers = {"Authorization": analyst["Authorization"]}
    answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers=headers)
    assert answer.status_code == 403, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_a_purpose_that_nobody_approved_opens_nothing(
    service: httpx.Client, analyst: dict[str, str], policy: str
) -> None:
    headers = {**analyst, "Data-Purpose": "claims-investigation"}
    answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers=headers)
    assert answer.status_code == 403, answer.text
    assert "distance_m" not in answer.text


def test_tracks_are_not_for_analysts(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    [journey] = service.get(f"/v1/policies/{policy}/journeys", params={"limit": 1}, headers=analyst).json()["items"]
    answer = service.get(f"/v1/journeys/{journey['journey_id']}/track", headers=analyst)
    assert answer.status_code == 403, answer.text


def test_answers_come_soon(service: httpx.Client, analyst: dict[str, str], policy: str) -> None:
    took_s = []
    for _ in range(20):
        began = time.monotonic()
        answer = service.get(f"/v1/policies/{policy}/summary", params=MONTHS, headers=analyst)
        took_s.append(time.monotonic() - began)
        assert answer.status_code == 200
    assert sorted(took_s)[10] < 0.5, f"half of the answers took longer than {sorted(took_s)[10]:.2f} s"
