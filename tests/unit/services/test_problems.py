"""The table from our errors and reasons to problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.errors import (
    JourneymeshError,
    NotFound,
    RulesConflict,
    SourceUnreadable,
    StoreCorrupt,
    StoreUnavailable,
    UsageError,
)
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.ledger.port import AuditUnwritable
from journeymesh.services.http.problems import KINDS, OF_REASON, of_error
from journeymesh.wire.identity import Reason

REFERENCE = Path(__file__).parents[3] / "docs/reference/journeyapi.md"


def test_every_reason_to_deny_has_a_kind_of_problem() -> None:
    assert set(OF_REASON) == set(Reason) - {Reason.ALLOWED}
    assert all(kind.status in (401, 403, 503) for kind in OF_REASON.values())


def test_names_are_unique_and_the_reference_lists_them_all() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    text = REFERENCE.read_text("utf-8")
    for kind in KINDS:
        assert f"| `{kind.name}` | {kind.status} | {kind.title} |" in text


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UsageError("wrong", todo="do"), 400, True),
        (TokenRefused("expired"), 401, False),
        (NotFound("gone"), 404, True),
        (RulesConflict("P-1 mixes"), 409, False),
        (StoreUnavailable("P-1 away"), 503, False),
        (SourceUnreadable("P-1 away"), 503, False),
        (AuditUnwritable("full"), 503, False),
        (ProviderUnavailable("kc", "down", retry_after_s=7.0), 503, False),
        (StoreCorrupt("P-1 twice"), 500, False),
        (JourneymeshError("P-1"), 500, False),
        (RuntimeError("P-1"), 500, False),
    ],
)
def test_an_error_becomes_a_status_and_tells_only_what_is_about_the_call(
    error: Exception, status: int, told: bool
) -> None:
    problem = of_error(error)
    assert problem.kind.status == status
    assert bool(problem.detail) is told
    assert (problem.retry_after_s is not None) is (status == 503)
    if isinstance(error, ProviderUnavailable):
        assert problem.retry_after_s == 7.0
