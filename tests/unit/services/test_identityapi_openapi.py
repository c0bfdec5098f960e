"""identityapi's OpenAPI document: kept in the documentation, and kept as a promise."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from journeymesh.services.http.building import openapi_bytes
from tests.support.identity_served import identity_served
from tests.support.openapi_changes import breaking_changes

SNAPSHOT = Path(__file__).parents[3] / "docs/reference/openapi/identityapi.json"
COMMAND = "python -m tests.unit.services.test_identityapi_openapi"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with identity_served(tmp_path_factory.mktemp("identityapi")) as served:
        return openapi_bytes(served.app)


def test_the_document_is_the_one_in_the_documentation(document: bytes) -> None:
    assert document == SNAPSHOT.read_bytes(), f"it drifted: write it with `{COMMAND}`"


def test_it_breaks_nothing_that_the_snapshot_promises(document: bytes) -> None:
    assert breaking_changes(json.loads(SNAPSHOT.read_bytes()), json.loads(document)) == []


def test_what_is_taken_away_or_required_is_noticed(document: bytes) -> None:
    def broken(path: str, method: str = "post") -> list[str]:
        changed = json.loads(document)
        del changed["paths"][path][method]
        return breaking_changes(json.loads(document), changed)

    for path in ("/v1/approvals/{approval_id}:approve", "/v1/audit:verify", "/v1/decisions:batch"):
        assert broken(path) == [f"post {path} is gone"]
    changed = json.loads(document)
    changed["components"]["schemas"]["ApprovalTaken"]["required"].append("valid_to")
    del changed["components"]["schemas"]["Me"]["properties"]["tenant"]
    assert len(breaking_changes(json.loads(document), changed)) == 2


def test_every_route_names_its_capability_or_its_bearer_and_every_path_is_an_http_path(document: bytes) -> None:
    paths = json.loads(document)["paths"]
    assert not [path for path in paths if "/:" in path or ":str" in path]
    secured = [operation for methods in paths.values() for operation in methods.values() if "security" in operation]
    assert len(secured) == 19
    assert sum("x-capability" in operation for operation in secured) == 15


if __name__ == "__main__":
    with TemporaryDirectory() as folder, identity_served(Path(folder)) as written:
        SNAPSHOT.parent.mkdir(parents=True, exist_ok=True)
        SNAPSHOT.write_bytes(openapi_bytes(written.app))
