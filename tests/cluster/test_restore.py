"""The runbook "Restore an environment", run: what is lost comes back by its one command within five minutes.

In the order of the story, after that of ``test_delivery``: the environment is up. They take minutes each and run where
JOURNEYMESH_E2E_RESTORE is "all".
"""

from __future__ import annotations

import os
import re
import shlex
import time

import pytest

from tests.cluster.bring_up import ROOT, Bundle, journeymesh, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.environ.get("JOURNEYMESH_E2E_RESTORE") != "all", reason="JOURNEYMESH_E2E_RESTORE is not all"),
]
LIMIT_S = 300
RUNBOOK = ROOT / "docs/runbooks/restore-an-environment.md"


def restored(bundle: Bundle) -> float:
    """How long the runbook's command takes. It ends well only where everything is synced and healthy."""
    section = RUNBOOK.read_text("utf-8").partition("## One command\n")[2]
    written = re.search(r"^    journeymesh (.+)$", section, re.MULTILINE)
    assert written is not None
    began = time.monotonic()
    print(journeymesh(*shlex.split(written[1]), folder=bundle.tree))
    took = time.monotonic() - began
    print(f"restored_s {took:.0f}")
    return took


def databases() -> set[str]:
    """The names of PostgreSQL's databases."""
    return set(in_postgres("SELECT datname FROM pg_database").split())


def in_postgres(statement: str) -> str:
    shell = f'PGPASSWORD=$POSTGRES_PASSWORD psql --username postgres --tuples-only --command "{statement}"'
    return run("kubectl", "-n", "dev", "exec", "postgres-0", "--", "sh", "-c", shell)


def test_a_deleted_namespace_comes_back(bundle: Bundle) -> None:
    run("kubectl", "delete", "namespace", "dev", "--wait=false")
    assert restored(bundle) <= LIMIT_S
    assert {"journeys", "access", "keycloak"} <= databases()


def test_a_lost_volume_of_postgresql_comes_back(bundle: Bundle) -> None:
    in_postgres("CREATE DATABASE of_before")
    run("kubectl", "-n", "dev", "delete", "pod", "postgres-0")  # in dev it has no other volume
    assert restored(bundle) <= LIMIT_S
    assert "of_before" not in databases()
    assert {"journeys", "access", "keycloak"} <= databases()


def test_a_deleted_definition_comes_back_with_its_objects(bundle: Bundle) -> None:
    before = run("kubectl", "get", "gatewayclasses", "-o", "name").split()
    run("kubectl", "delete", "crd", "gatewayclasses.gateway.networking.k8s.io")
    assert restored(bundle) <= LIMIT_S
    assert run("kubectl", "get", "gatewayclasses", "-o", "name").split() == before != []
