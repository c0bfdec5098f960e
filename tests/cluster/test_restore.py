"""The runbook "Restore an environment", run: what is lost comes back by its one command within five minutes.

In the order of the story, after that of ``test_delivery``: the environment is up. They take minutes each and run where
JOURNEYMESH_E2E_RESTORE is "all"; that of a lost Argo CD where JOURNEYMESH_E2E_ARGOCD names a command that installs it,
that of a restarted node where JOURNEYMESH_E2E_RESTARTED_NODE names one that restarts it as a loss of power would.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.bring_up import ROOT, Bundle, journeymesh, run
from tests.cluster.from_outside import end_to_end_tests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.environ.get("JOURNEYMESH_E2E_RESTORE") != "all", reason="JOURNEYMESH_E2E_RESTORE is not all"),
]
LIMIT_S = 300
RUNBOOK = ROOT / "docs/runbooks/restore-an-environment.md"
INSTALLS_ARGOCD = os.environ.get("JOURNEYMESH_E2E_ARGOCD", "")
RESTARTS_NODE = os.environ.get("JOURNEYMESH_E2E_RESTARTED_NODE", "")


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


def written(heading: str) -> list[str]:
    """The commands that the runbook gives below this heading, as it writes them."""
    section = RUNBOOK.read_text("utf-8").partition(f"# {heading}\n")[2].partition("\n#")[0]
    return re.findall(r"^    (\S.*)$", section.replace("\\\n", " "), re.MULTILINE)


def databases() -> set[str]:
    """The names of PostgreSQL's databases."""
    return set(in_postgres("SELECT datname FROM pg_database").split())


def in_postgres(statement: str, database: str = "postgres") -> str:
    psql = f"psql --username postgres --dbname {database} --tuples-only"
    shell = f'PGPASSWORD=$POSTGRES_PASSWORD {psql} --command "{statement}"'
    return run("kubectl", "-n", "dev", "exec", "postgres-0", "--", "sh", "-c", shell)


def test_a_deleted_namespace_comes_back(bundle: Bundle) -> None:
    run("kubectl", "delete", "namespace", "dev", "--wait=false")
    assert restored(bundle) <= LIMIT_S
    assert {"journeys", "access", "keycloak", "console"} <= databases()


def test_a_lost_volume_of_postgresql_comes_back(bundle: Bundle) -> None:
    in_postgres("CREATE DATABASE of_before")
    run("kubectl", "-n", "dev", "delete", "pod", "postgres-0")  # in dev it has no other volume
    assert restored(bundle) <= LIMIT_S
    assert "of_before" not in databases()
    assert {"journeys", "access", "keycloak", "console"} <= databases()


def test_a_deleted_definition_comes_back_with_its_objects(bundle: Bundle) -> None:
    before = run("kubectl", "get", "gatewayclasses", "-o", "name").split()
    run("kubectl", "delete", "crd", "gatewayclasses.gateway.networking.k8s.io")
    assert restored(bundle) <= LIMIT_S
    assert run("kubectl", "get", "gatewayclasses", "-o", "name").split() == before != []


def test_a_lost_database_of_keycloak_comes_back(bundle: Bundle) -> None:
    in_postgres("DROP DATABASE keycloak WITH (FORCE)")
    assert "keycloak" not in databases()
    assert restored(bundle) <= LIMIT_S
    assert "keycloak" in databases()
    assert in_postgres("SELECT name FROM realm", "keycloak").split() == ["journeymesh", "master"]


@pytest.mark.skipif(not INSTALLS_ARGOCD, reason="JOURNEYMESH_E2E_ARGOCD names no command that installs Argo CD")
def test_a_deleted_argo_cd_comes_back(bundle: Bundle) -> None:
    run("kubectl", "delete", "namespace", "argocd", "--wait=false")
    for command in written("Argo CD is gone"):
        run("sh", "-euc", command)
    run("sh", "-euc", INSTALLS_ARGOCD)
    files = [str(path) for path in (bundle.tree.parent / "keys").glob("*.agekey")]
    journeymesh("delivery", "secrets", "keys", "install", *files, folder=bundle.tree)
    assert restored(bundle) <= LIMIT_S
    assert {"journeys", "access", "keycloak", "console"} <= databases()


@pytest.mark.skipif(not RESTARTS_NODE, reason="JOURNEYMESH_E2E_RESTARTED_NODE names no command that restarts the node")
def test_a_restarted_node_brings_everything_back_by_itself_with_its_data(bundle: Bundle) -> None:
    in_postgres("CREATE DATABASE of_before")
    restarted = datetime.now(UTC).replace(microsecond=0)
    run("sh", "-euc", RESTARTS_NODE)
    began = time.monotonic()
    while missing := not_back_since(restarted):
        assert time.monotonic() - began <= LIMIT_S, missing
        time.sleep(1)
    print(f"back_s {time.monotonic() - began:.0f}")
    assert {"of_before", "journeys", "access", "keycloak"} <= databases()
    in_postgres("DROP DATABASE of_before")
    assert " passed" in end_to_end_tests(bundle)


def not_back_since(restarted: datetime) -> str:
    """Which containers have not started again, which Applications are not synced and healthy; empty: all is back."""
    try:
        pods = json.loads(run("kubectl", "get", "pods", "-A", "-o", "json"))["items"]
        applications = json.loads(run("kubectl", "-n", "argocd", "get", "applications", "-o", "json"))["items"]
    except AssertionError as error:  # the API server is not back
        return str(error)
    waiting = [
        f"{pod['metadata']['name']}/{container['name']}"
        for pod in pods
        if pod["status"]["phase"] in ("Pending", "Running")
        for container in pod["status"].get("containerStatuses", [{"name": "?"}])
        if not (container.get("ready") and started(container) >= restarted)
    ]
    away = [each["metadata"]["name"] for each in applications if state_of(each) != ("Synced", "Healthy")]
    return ", ".join([*waiting, *away])


def started(container: dict[str, Any]) -> datetime:
    since = container.get("state", {}).get("running", {}).get("startedAt")
    return datetime.fromisoformat(since) if since else datetime.min.replace(tzinfo=UTC)


def state_of(application: dict[str, Any]) -> tuple[str, str]:
    status = application.get("status", {})
    return status.get("sync", {}).get("status", ""), status.get("health", {}).get("status", "")
