from typing import Any

from journeymesh.delivery.bootstrap import _state


def seen(**status: Any) -> dict[str, Any]:
    healthy = {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}
    return {"metadata": {"name": "greeter-app-dev"}, "status": {**healthy, **status}}


def test_an_application_is_settled_when_its_last_sync_is_through() -> None:
    assert _state(seen(operationState={"phase": "Succeeded"})).is_settled


def test_an_application_whose_gate_still_runs_is_not_settled() -> None:
    waiting = "waiting for completion of hook batch/Job/greeter-e2e"
    state = _state(seen(operationState={"phase": "Running", "message": waiting}))
    assert not state.is_settled
    assert state.message == waiting


def test_what_argo_cd_cannot_compare_is_told() -> None:
    state = _state(
        seen(sync={"status": "Unknown"}, conditions=[{"type": "ComparisonError", "message": "no such path"}])
    )
    assert not state.is_settled
    assert state.message == "no such path"
