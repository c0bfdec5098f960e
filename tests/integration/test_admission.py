"""What the API server refuses by the tree's admission policies, on a real cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.support.admission_attempts import ATTACKS, EVERYDAY
from tests.support.admission_world import APPROVED, PLACES, SECOND, STRANGE, AdmissionWorld, Attempt, HttpRequest, pod
from tests.support.kubernetes_cluster import cluster_for_tests


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdmissionWorld]:
    cluster = cluster_for_tests(tmp_path_factory.mktemp("kubeconfig"))
    with closing(cluster), closing(AdmissionWorld(cluster)) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.what.replace(" ", "-"))
def test_an_attack_is_denied_by_the_rule_that_is_meant_for_it(world: AdmissionWorld, attack: Attempt) -> None:
    answer = world.tries(attack)
    assert answer.status_code in (403, 422), f"{answer.status_code} {answer.text}"
    assert attack.says in answer.text


@pytest.mark.parametrize("work", EVERYDAY, ids=lambda each: each.what.replace(" ", "-"))
def test_everyday_work_is_not_denied(world: AdmissionWorld, work: Attempt) -> None:
    answer = world.tries(work)
    assert answer.status_code in (200, 201), f"{answer.status_code} {answer.text}"


def test_a_deployment_of_a_withdrawn_image_that_is_scaled_up_gets_no_pod(world: AdmissionWorld) -> None:
    scale = PLACES["Deployment"].format(world.env) + "/withdrawn/scale"
    answer = world.send(HttpRequest("PATCH", scale, {"spec": {"replicas": 1}}, "application/merge-patch+json"))
    assert answer.status_code == 200, answer.text
    until = time.monotonic() + 60
    while True:
        sets = world.cluster.ask("GET", PLACES["ReplicaSet"].format(world.env))["items"]
        told = [
            condition["message"]
            for each in sets
            for condition in (each.get("status") or {}).get("conditions") or ()
            if condition["type"] == "ReplicaFailure"
        ]
        if told or time.monotonic() > until:
            break
        time.sleep(0.5)
    assert any("not approved for" in message for message in told)
    pods = world.cluster.ask("GET", PLACES["Pod"].format(world.env) + "?labelSelector=app%3Dwithdrawn")["items"]
    assert pods == []


def test_a_ledger_is_read_on_after_its_binding_was_deleted_and_healed(world: AdmissionWorld) -> None:
    world.heal_binding(absent_s=3.0)
    strange = world.create(pod("it", STRANGE))
    assert world.becomes(strange, 403)
    world.rewrite_ledger(APPROVED, SECOND, STRANGE)
    assert world.becomes(strange, 201)
    world.rewrite_ledger(APPROVED, SECOND)
    assert world.becomes(strange, 403)


def test_there_are_enough_attacks_to_say_something() -> None:
    assert len(ATTACKS) >= 20
    assert len(EVERYDAY) >= 10
    assert all(attack.says for attack in ATTACKS)
