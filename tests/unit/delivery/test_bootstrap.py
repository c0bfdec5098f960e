import time
from typing import Any

import pytest

from journeymesh.delivery.applications import Application, application
from journeymesh.delivery.bootstrap import NotHealthyInTime, _wait
from journeymesh.delivery.cluster import ClusterUnavailable


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


class LowOnDisk:
    """A cluster whose node evicted what an Application runs, as far as bootstrap asks it."""

    def __init__(self, *, tells_nodes: bool = True) -> None:
        self.tells_nodes = tells_nodes

    def applications(self) -> list[Application]:
        state = seen(health={"status": "Progressing"})
        state["spec"] = {"source": {"path": "customization/services/greeter/overlays/dev"}}
        return [application(state)]

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        return [{"metadata": {"name": f"{namespace}-1"}, "status": {"reason": "Evicted", "message": "low on disk"}}]

    def items(self, path: str) -> list[dict[str, Any]]:
        if not self.tells_nodes:
            raise ClusterUnavailable(f"GET {path}: forbidden")
        full = {"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure"}
        return [{"metadata": {"name": "node-1"}, "status": {"conditions": [full]}}]


@pytest.mark.parametrize("tells_nodes", [True, False])
def test_what_is_not_healthy_in_time_is_told_with_its_pods_and_with_what_nodes_lack(
    tells_nodes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now_s.__setitem__(0, now_s[0] + seconds))
    soon = time.monotonic() + 2.5
    with pytest.raises(NotHealthyInTime) as failed:
        _wait(LowOnDisk(tells_nodes=tells_nodes), {"greeter-app-dev"}, soon, lambda _: None)  # type: ignore[arg-type]
    told = str(failed.value)
    assert "greeter-app-dev Synced/Progressing" in told
    assert "dev-1: Evicted: low on disk" in told
    assert ("node node-1: DiskPressure is True: KubeletHasDiskPressure" in told) is tells_nodes


class Unsteady(LowOnDisk):
    """A cluster whose API server gives no answer to the calls of these numbers."""

    def __init__(self, *misses: int) -> None:
        super().__init__()
        self.misses, self.calls = misses, 0

    def applications(self) -> list[Application]:
        self.calls += 1
        if self.calls in self.misses:
            raise ClusterUnavailable("GET applications: 504")
        return [application(seen(health={"status": "Progressing" if self.calls == 1 else "Healthy"}))]


def test_an_api_server_that_misses_an_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("journeymesh.delivery.bootstrap.time.sleep", lambda _: None)
    end = time.monotonic() + 10
    (state,) = _wait(Unsteady(2, 3), {"greeter-app-dev"}, end, lambda _: None)  # type: ignore[arg-type]
    assert state.is_settled
    with pytest.raises(ClusterUnavailable):
        _wait(Unsteady(1), {"greeter-app-dev"}, end, lambda _: None)  # type: ignore[arg-type]
