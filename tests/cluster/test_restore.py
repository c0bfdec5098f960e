"""The runbook "Restore an environment", run: what is lost comes back by its one command within five minutes.

In the order of the story, after that of ``test_delivery``: the environment is up.
"""

from __future__ import annotations

import time

import pytest

from tests.cluster.bring_up import Bundle, journeymesh, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LIMIT_S = 300


def restored(bundle: Bundle) -> float:
    """How long the command takes. It ends well only where everything is healthy."""
    began = time.monotonic()
    print(journeymesh("delivery", "bootstrap", "--env", "dev", "--again", folder=bundle.tree))
    took = time.monotonic() - began
    print(f"restored_s {took:.0f}")
    return took


def test_a_deleted_namespace_comes_back(bundle: Bundle) -> None:
    run("kubectl", "delete", "namespace", "dev", "--wait=false")
    assert restored(bundle) <= LIMIT_S


def test_a_lost_database_of_keycloak_comes_back(bundle: Bundle) -> None:
    statement = "DROP DATABASE keycloak WITH (FORCE)"
    shell = f'PGPASSWORD=$POSTGRES_PASSWORD psql --username postgres --command "{statement}"'
    run("kubectl", "-n", "dev", "exec", "postgres-0", "--", "sh", "-c", shell)
    assert restored(bundle) <= LIMIT_S


def test_a_lost_volume_of_postgresql_comes_back(bundle: Bundle) -> None:
    run("kubectl", "-n", "dev", "delete", "pod", "postgres-0")  # in dev it has no other volume
    assert restored(bundle) <= LIMIT_S


def test_a_deleted_definition_comes_back_with_its_objects(bundle: Bundle) -> None:
    run("kubectl", "delete", "crd", "httproutes.gateway.networking.k8s.io")
    assert restored(bundle) <= LIMIT_S
    routes = run("kubectl", "-n", "dev", "get", "httproutes", "-o", "name")
    assert routes.split()
