"""The console as customization/ deploys it, on this machine: its Deployment's own arguments and variables, a Keycloak
that browsers know by another address than pods do, and the gate's own Job."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support.keycloak_server import CONSOLE, Keycloak, running_keycloak

from journeymesh.cli.access import write_access
from journeymesh.cli.demo_apis import process_of

ROOT = Path(__file__).parents[2]
BASE = ROOT / "customization/services/console/base"
KEYCLOAK = "https://keycloak.invalid"


@dataclass
class Deployed:
    """``at``: what addresses of the manifests are here; ``settings``: ConfigMaps and Secrets by name and key."""

    keycloak: Keycloak
    at: dict[str, str] = field(default_factory=dict)
    settings: dict[tuple[str, str], str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        for address, instead in self.at.items():
            text = text.replace(address, instead)
        return text

    def variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        """What a container's variables would hold."""
        given = {}
        for each in container["env"]:
            if "value" in each:
                given[each["name"]] = self.here(each["value"])
            else:
                [reference] = each["valueFrom"].values()
                given[each["name"]] = self.settings[reference["name"], reference["key"]]
        return given


def container_of(path: Path) -> dict[str, Any]:
    """The one container of a manifest's pods."""
    [container] = yaml.safe_load(path.read_text("utf-8"))["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Keycloak, both APIs over the synthetic journeys, and the console's candidate."""
    room = tmp_path_factory.mktemp("deployed")
    with running_keycloak(KEYCLOAK) as keycloak, ExitStack() as opened:
        made = Deployed(keycloak)
        port = _free_port()
        made.at = {"http://keycloak:8080": keycloak.url, "http://console-candidate:8080": f"http://127.0.0.1:{port}"}
        keycloak.apply_realm(JOURNEYMESH_CONSOLE_INTERNAL_URL=made.here("http://console-candidate:8080"))
        access = write_access(room / "access")
        held = yaml.safe_load(access.read_text("utf-8"))
        oidc = {"kind": "oidc", "name": "keycloak", "issuer": keycloak.issuer, "internal_url": keycloak.internal_url}
        access.write_text(yaml.safe_dump({**held, "providers": [oidc]}))
        store = f"sqlite:///{room / 'journeys.db'}"
        _synthetic_journeys(room, store)
        made.at["http://identityapi:8080"] = opened.enter_context(process_of(room, "identityapi", access))
        made.at["http://journeyapi:8080"] = opened.enter_context(
            process_of(room, "journeyapi", access, "--store", store, "--rules", "always-on")
        )
        (room / "secret").write_text(keycloak.secret("console"))
        made.at["/run/journeymesh/client/secret"] = str(room / "secret")
        sessions = "postgresql://console:$(DATABASE_PASSWORD)@postgres:5432/console"
        made.at[sessions] = f"sqlite:///{room / 'sessions.db'}"
        given = keycloak.environment
        made.settings = {
            ("console-addresses", "console"): CONSOLE,
            ("console-addresses", "issuer"): keycloak.issuer,
            ("postgres-passwords", "console"): "unused",
            ("keycloak-clients", "e2e-analyst"): given["JOURNEYMESH_E2E_ANALYST_SECRET"],
            ("keycloak-clients", "e2e-officer"): given["JOURNEYMESH_E2E_OFFICER_SECRET"],
            ("keycloak-clients", "e2e-reader"): given["JOURNEYMESH_E2E_READER_PASSWORD"],
            ("keycloak-clients", "e2e-newcomer"): given["JOURNEYMESH_E2E_NEWCOMER_PASSWORD"],
        }
        migrate = container_of(BASE / "migrate.yaml")
        run_journeymesh(room, *migrate["args"], **made.variables(migrate))
        opened.enter_context(_console(made, room, port))
        yield made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _synthetic_journeys(room: Path, store: str) -> None:
    """As Job journeyapi-synthetic makes them."""
    mapping = ROOT / "customization/services/journeyapi/base/synthetic-mapping.yaml"
    fleet = ("--vehicles", "2", "--days", "7", "--seed", "42", "--interval-s", "5")
    for argv in (
        ("store", "migrate", "--store", store),
        ("generate", "--out", str(room / "fleet"), *fleet),
        ("preprocess", "--source", str(room / "fleet"), "--mapping", str(mapping), "--rules", "always-on",
         "--store", store, "--jobs", "1"),
    ):  # fmt: skip
        run_journeymesh(room, *argv)


def run_journeymesh(room: Path, *argv: str, **environment: str) -> None:
    """A command of the product that ends well."""
    command = [sys.executable, "-m", "journeymesh", *argv]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=room, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def _console(made: Deployed, room: Path, port: int) -> Iterator[None]:
    """The Deployment's process: its arguments, but for the address to listen on, and its variables."""
    container = container_of(BASE / "track/deployment.yaml")
    assert (container["args"][3:7], container["ports"][0]["containerPort"]) == (
        ["0.0.0.0", "--port", "8080", "--plain-http"],
        8080,
    )
    arguments = [{"0.0.0.0": "127.0.0.1", "8080": str(port)}.get(each, each) for each in container["args"]]
    environment = {**os.environ, **made.variables(container)}
    with (room / "console.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "journeymesh", *arguments], env=environment, stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 120
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            url = f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}"
            while not _answers(url):
                assert process.poll() is None, (room / "console.log").read_text("utf-8")
                assert time.monotonic() < end, f"{url} does not answer"
                time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_the_gates_own_job_passes(deployed: Deployed) -> None:
    container = container_of(BASE / "e2e-candidate.yaml")
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", *container["args"]]
    environment = {**os.environ, **deployed.variables(container)}
    done = subprocess.run(
        argv, cwd=ROOT / "tests/e2e", env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_the_gate_fails_where_the_console_is_let_in_with_a_wrong_secret(deployed: Deployed) -> None:
    container = container_of(BASE / "e2e-candidate.yaml")
    client = deployed.keycloak.admin("GET", "/clients?clientId=console")[0]
    deployed.keycloak.admin("PUT", f"/clients/{client['id']}", {**client, "secret": "another secret of console"})
    try:
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=line", *container["args"]]
        environment = {**os.environ, **deployed.variables(container)}
        done = subprocess.run(
            argv, cwd=ROOT / "tests/e2e", env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 1, done.stdout
        assert "403" in done.stdout
    finally:
        deployed.keycloak.admin("PUT", f"/clients/{client['id']}", client)
