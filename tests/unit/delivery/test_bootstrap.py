from typing import Any

from journeymesh.delivery.applications import application


def seen(**status: Any) -> dict[str, Any]:
    healthy = {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}
    return {"metadata": {"name": "greeter-app-dev"}, "status": {**healthy, **status}}


def test_an_application_is_settled_when_its_last_sync_is_through() -> None:
    assert application(seen(operationState={"phase": "Succeeded"})).is_settled


def test_an_application_whose_gate_still_runs_is_not_settled() -> None:
    waiting = "waiting for completion of hook batch/Job/greeter-e2e"
    state = application(seen(operationState={"phase": "Running", "message": waiting}))
    assert not state.is_settled
    assert state.trouble == waiting


def test_what_argo_cd_cannot_compare_is_told() -> None:
    state = application(
        seen(sync={"status": "Unknown"}, conditions=[{"type": "ComparisonError", "message": "no such path"}])
    )
    assert not state.is_settled
    assert state.trouble == "no such path"
