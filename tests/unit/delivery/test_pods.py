"""Why pods are not ready, in words."""

from __future__ import annotations

from typing import Any

from journeymesh.delivery.pods import LONGEST, not_ready, unwell


def pod(name: str = "greeter-1", *, ready: bool = False, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}, *status.pop("conditions", [])]
    return {"metadata": {"name": name}, "status": {"phase": "Pending", "conditions": conditions, **status}}


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "greeter", "ready": False, "state": state, **more}


def test_an_image_that_cannot_be_pulled_is_told_with_its_container() -> None:
    waits = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    told = not_ready([pod(containerStatuses=[container(waits)])])
    assert told == ["greeter-1: container greeter waits: ImagePullBackOff: Back-off pulling image"]


def test_a_pod_that_no_node_takes_says_what_the_scheduler_says() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert not_ready([pod(conditions=[unscheduled])]) == ["greeter-1: Unschedulable: 0/1 nodes"]


def test_a_container_that_ended_before_is_told_with_its_code() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    again = container({"running": {}}, lastState=ended, restartCount=3)
    (told,) = not_ready([pod(containerStatuses=[again])])
    assert told == (
        "greeter-1: container greeter runs and is not ready; "
        "container greeter ended with 137 before (OOMKilled), 3 restarts"
    )


def test_an_init_container_that_fails_is_told() -> None:
    failed = container({"terminated": {"exitCode": 1, "reason": "Error"}})
    assert not_ready([pod(initContainerStatuses=[failed])]) == ["greeter-1: container greeter ended with 1: Error"]


def test_a_pod_that_was_evicted_says_for_want_of_what() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
    gone = pod(reason="Evicted", message="The node was low on resource: memory.", containerStatuses=[container(ended)])
    assert not_ready([gone]) == [
        "greeter-1: Evicted: The node was low on resource: memory.; "
        "container greeter ended with 137: ContainerStatusUnknown"
    ]


def node(name: str, **conditions: str) -> dict[str, Any]:
    told = [
        {"type": kind, "status": status, "reason": f"{kind}Said", "message": "as told"}
        for kind, status in conditions.items()
    ]
    return {"metadata": {"name": name}, "status": {"conditions": told}}


def test_a_node_says_what_it_lacks_and_nothing_when_it_is_well() -> None:
    well = node("well", MemoryPressure="False", DiskPressure="False", Ready="True")
    full = node("full", MemoryPressure="False", DiskPressure="True", Ready="True")
    lost = node("lost", MemoryPressure="Unknown", Ready="Unknown")
    assert unwell([well, full, lost]) == [
        "node full: DiskPressure is True: DiskPressureSaid: as told",
        "node lost: MemoryPressure is Unknown: MemoryPressureSaid: as told",
        "node lost: Ready is Unknown: ReadySaid: as told",
    ]


def test_what_is_ready_ended_well_or_is_going_is_left_out() -> None:
    going = pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-05-01T08:00:00Z"
    assert not_ready([pod(ready=True), pod("done", phase="Succeeded"), going]) == []


def test_a_pod_of_which_nothing_is_known_is_told_by_its_phase() -> None:
    assert not_ready([pod(), {"metadata": {"name": "new"}}]) == ["greeter-1: Pending", "new: not begun"]


def test_a_long_message_is_cut() -> None:
    waits = {"waiting": {"reason": "CreateContainerError", "message": "x" * 1_000}}
    (told,) = not_ready([pod(containerStatuses=[container(waits)])])
    assert told.endswith("…")
    assert len(told) < LONGEST + 60
