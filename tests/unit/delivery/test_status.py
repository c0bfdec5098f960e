"""What the status says of Applications, pods and events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from journeymesh.delivery.applications import application
from journeymesh.delivery.git import Checkout
from journeymesh.delivery.status import DesiredApplication, Promotion, Seen, StatusRow, rows, wants_of
from tests.support.released import PASSED, Repository, shown_application

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
IMAGE = "registry.invalid/greeter"


def row(shown: dict[str, Any], *, wanted: DesiredApplication | None = None, **seen: Any) -> StatusRow:
    (found,) = rows(Seen([application(shown)], **seen), lambda _: wanted)
    return found


def pod(image: str, *, track: str = "stable", state: str = "running") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "greeter", "journeymesh.io/track": track}
    statuses = [{"imageID": image, "state": {state: {}}}]
    return {"metadata": {"namespace": "dev", "labels": labels}, "status": {"containerStatuses": statuses}}


def event(message: str, at: str, count: int = 1) -> dict[str, Any]:
    return {
        "involvedObject": {"name": "greeter-app-dev"},
        "reason": "OperationCompleted",
        "type": "Normal",
        "message": message,
        "lastTimestamp": at,
        "count": count,
        "metadata": {},
    }


def green(**others: Any) -> dict[str, Any]:
    status = {"sync": {"status": "Synced", "revision": "b" * 40}, "health": {"status": "Healthy"}}
    return shown_application(good="a" * 40, revision="b" * 40, **(status | others))


def test_green_with_a_failed_last_sync_is_told_in_words() -> None:
    found = row(green(phase="Failed"))
    assert (found.sync, found.health, found.phase) == ("Synced", "Healthy", "Failed")
    assert found.words[0].startswith(
        "Argo CD shows green, but the last sync, to bbbbbbbbbbbb, failed: Job greeter-e2e-"
    )
    assert "heals no drift" in found.words[1]


def test_where_all_is_well_nothing_is_said() -> None:
    found = row(green(phase="Succeeded", resources=[PASSED], retries=0))
    assert (found.words, found.tested, found.adrift) == ((), "passed", ())


def test_after_a_heal_the_tests_are_those_of_the_jobs_that_are_still_there() -> None:
    def job(name: str, **status: int) -> dict[str, Any]:
        return {"metadata": {"name": name, "namespace": "dev"}, "status": status}

    jobs = [job("greeter-e2e", succeeded=1), job("greeter-e2e-candidate", succeeded=1), job("payer-e2e", failed=1)]
    healed = green(phase="Succeeded", resources=[])
    assert row(healed, jobs=jobs).tested == "passed"
    assert (
        row(healed, jobs=[*jobs[:1], job("greeter-e2e-candidate", failed=1)]).tested == "failed: greeter-e2e-candidate"
    )
    assert row(healed).tested == ""


def test_a_failure_at_an_older_revision_does_not_stop_healing() -> None:
    found = row(green(phase="Failed", sync={"status": "Synced", "revision": "c" * 40}))
    assert len(found.words) == 1


def test_an_attempt_that_failed_and_will_be_repeated_is_told() -> None:
    found = row(green(phase="Running", retries=1))
    assert found.phase == "Retrying"
    assert found.words[0].startswith("attempt 1 of the sync to bbbbbbbbbbbb failed: Job greeter-e2e-candidate")
    assert found.tested == "failed: greeter-e2e-candidate"


def test_what_is_adrift_is_named() -> None:
    resources = [
        {"kind": "Service", "name": "greeter", "status": "OutOfSync"},
        {"kind": "Deployment", "name": "greeter", "status": "Synced"},
    ]
    document = green()
    document["status"]["resources"] = resources
    assert row(document).adrift == ("Service/greeter",)


def test_heals_are_counted_and_whole_syncs_are_not() -> None:
    events = [
        event("Partial sync operation to bbb succeeded", "2026-05-01T08:00:00Z", count=2),
        event("Partial sync operation to bbb succeeded", "2026-05-01T09:00:00Z"),
        event("Sync operation to bbb succeeded", "2026-05-01T10:00:00Z"),
    ]
    found = row(green(phase="Succeeded"), events=events)
    assert (found.heals, found.healed_at) == (3, "2026-05-01T09:00:00Z")


def test_a_container_that_runs_another_digest_than_wanted_is_told() -> None:
    wanted = DesiredApplication({"greeter": f"{IMAGE}@{TWO}"}, Promotion("Ada", "2026-05-01T08:00:00+00:00"))
    found = row(green(phase="Succeeded"), wanted=wanted, pods=[pod(f"{IMAGE}@{ONE}"), pod(f"{IMAGE}@{TWO}")])
    assert found.images[0].running == (ONE, TWO)
    assert found.words == (f"greeter should run {'2' * 12} and runs {'1' * 12}",)
    assert found.promoted_by == "Ada"


def test_a_candidate_and_what_waits_to_start_do_not_count_as_running() -> None:
    wanted = DesiredApplication({"greeter": f"{IMAGE}@{ONE}"}, None)
    pods = [pod(f"{IMAGE}@{TWO}", track="candidate"), pod(f"{IMAGE}@{TWO}", state="waiting"), pod(f"{IMAGE}@{ONE}")]
    assert row(green(phase="Succeeded"), wanted=wanted, pods=pods).images[0].running == (ONE,)


def test_what_cannot_be_compared_is_told_with_its_reason() -> None:
    conditions = [{"type": "ComparisonError", "message": "kustomize build failed"}]
    found = row(green(phase="Succeeded", sync={"status": "Unknown"}, conditions=conditions))
    assert found.words == ("it cannot be compared, so drift is not detected: ComparisonError: kustomize build failed",)


def test_who_promoted_is_who_put_the_digest_there_and_not_who_touched_the_file_last(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    text = "images:\n- name: greeter\n  newName: {image}\n  digest: {digest}\n"
    place = "greeter/overlays/dev/kustomization.yaml"
    repository.commit("One", {place: text.format(image=IMAGE, digest=ONE)})
    promoted = repository.commit("Two", {place: text.format(image=IMAGE, digest=TWO)})
    after = repository.commit("Comment", {place: "# ours\n" + text.format(image=IMAGE, digest=TWO)})
    each = application(shown_application(revision=after, good=after))
    wanted = wants_of(Checkout(repository.checkout))(each)
    assert wanted is not None
    assert wanted.images == {"greeter": f"{IMAGE}@{TWO}"}
    assert wanted.promotion == Promotion("Ada", repository.git("log", "-1", "--format=%aI", promoted))


def test_a_revision_that_the_checkout_does_not_have_is_left_open(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("One", {"greeter/base/a.yaml": "a: 1\n"})
    assert wants_of(Checkout(repository.checkout))(application(shown_application(revision="f" * 40))) is None


def test_pods_that_keep_a_service_from_being_healthy_are_told() -> None:
    stuck = pod(f"{IMAGE}@{ONE}", state="waiting")
    stuck["metadata"]["name"] = "greeter-1"
    shown = green(phase="Succeeded", health={"status": "Progressing"})
    assert "greeter-1: container ? waits: no reason is given" in row(shown, pods=[stuck]).words
    assert row(green(phase="Succeeded"), pods=[stuck]).words == ()
