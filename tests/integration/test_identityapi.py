"""identityapi as it is served, asked whatever its OpenAPI document lets one ask."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method
from tests.support.identity_served import identity_served
from tests.support.served_app import served_app

from journeymesh.services.http.config import HttpConfig

UNLIMITED = HttpConfig(burst=10**6, requests_per_s=1e6, strangers_burst=10**6, access_log=False)
# The document cannot say which cursors a listing gave, nor which domains are the caller's.
EXCLUDED = [unsupported_method, positive_data_acceptance]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_request_gets_a_5xx_or_an_answer_that_is_not_documented(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    at = request.getfixturevalue("postgresql_url") if database == "postgresql" else None
    with (
        identity_served(tmp_path, config=UNLIMITED, url=at, asgi_client=False) as served,
        served_app(served.app) as url,
    ):
        bearing = {"Authorization": served.bearing("officer")["authorization"]}
        wish = {"purpose": "pricing", "domain": "privacy", "reason": "to look at"}
        made = httpx.post(f"{url}/v1/approvals", headers=bearing, json=wish).json()["id"]
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        asked: Counter[str] = Counter()
        codes: Counter[int] = Counter()
        for found in schema.get_all_operations():
            operation = found.ok()

            @given(case=operation.as_strategy())
            @settings(max_examples=15, database=None, suppress_health_check=list(HealthCheck))
            @seed(20260101)
            def answered(case: schemathesis.Case) -> None:
                if "approval_id" in case.path_parameters and len(str(case.path_parameters["approval_id"])) % 2:
                    case.path_parameters["approval_id"] = made
                codes[case.call_and_validate(headers=bearing, timeout=30, excluded_checks=EXCLUDED).status_code] += 1
                asked[case.operation.label] += 1

            answered()
    assert len(asked) == 22
    assert sum(asked.values()) > 200
    assert codes[200] > 100
