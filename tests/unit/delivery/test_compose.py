"""compose.yaml: what it names is there, and nothing in it is open to others or secret."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from journeymesh.cli.main import outcome
from journeymesh.delivery.laptop import PASSWORDS, write_environment
from journeymesh.errors import UsageError

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENDS = {"migrate", "demo-journeys", "postgresql-databases", "keycloak-realm"}
"""Services that do one thing and end."""


def _variables() -> set[str]:
    return set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", "\n".join(_code_lines())))


def _code_lines() -> list[str]:
    return [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]


def test_it_is_a_compose_file_by_the_specification_s_schema() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text("utf-8"))
    faults = jsonschema.Draft202012Validator(schema).iter_errors(COMPOSE)
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []


def test_a_plain_up_starts_the_two_services_and_nothing_heavy() -> None:
    assert {name for name, service in SERVICES.items() if not service.get("profiles")} == {
        "migrate",
        "journeyapi",
        "identityapi",
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_fenced_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ENDS))
def test_what_goes_on_running_says_how_it_is_and_what_ends_does_not(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert sorted(ports) == sorted(set(ports))


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_built_here_or_named_by_its_version(name: str) -> None:
    service = SERVICES[name]
    if build := service.get("build"):
        dockerfile = (ROOT / build["context"] / "Dockerfile").read_text("utf-8")
        if target := build.get("target"):
            assert re.search(rf"^FROM \S+ AS {target}$", dockerfile, re.MULTILINE)
        for argument in build.get("args", ()):
            assert re.search(rf"^ARG {argument}\b", dockerfile, re.MULTILINE)
    else:
        tag = service["image"].rpartition(":")[2]
        assert tag != service["image"]
        assert re.match(r"\d", tag)


@pytest.mark.parametrize("name", ["journeyapi", "identityapi"])
def test_the_commands_of_our_services_are_commands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = SERVICES[name]["command"]
    assert outcome([*command[:2], "--help"]) == 0
    told = capsys.readouterr().out
    assert [option for option in command if option.startswith("--") and option not in told] == []
    port = command[command.index("--port") + 1]
    assert SERVICES[name]["ports"][0].endswith(f":{port}")
    assert f":{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]


def test_every_dependency_and_every_volume_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        for volume in service.get("volumes", ()):
            source, colon, _ = volume.partition(":")
            if colon and source.startswith("./") and source != "./.compose":
                assert (ROOT / source).is_file()
            elif colon and not source.startswith("."):
                assert source in COMPOSE["volumes"]


def test_a_dependency_runs_wherever_what_needs_it_runs() -> None:
    for name, service in SERVICES.items():
        for needed in service.get("depends_on", ()):
            needs_profiles = set(SERVICES[needed].get("profiles", ()))
            assert not needs_profiles or set(service.get("profiles", ())) <= needs_profiles, (name, needed)


def test_every_variable_is_written_by_our_command_or_has_a_default() -> None:
    written = {*PASSWORDS, "JOURNEYMESH_UID", "JOURNEYMESH_GID"}
    optional = set(re.findall(r"\$\{([A-Z0-9_]+):-", TEXT))
    assert _variables() - optional == written


def test_no_secret_stands_in_it() -> None:
    for service in SERVICES.values():
        for key, value in (service.get("environment") or {}).items():
            if re.search(r"PASS|SECRET", key):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]*\}", value), key


def test_keycloak_s_realm_gets_every_secret_that_it_asks_for() -> None:
    realm = json.loads((ROOT / "deploy/keycloak/realm.json").read_text("utf-8"))
    wanted = {
        f"JOURNEYMESH_{client['clientId'].upper().replace('-', '_')}_SECRET"
        for client in realm["clients"]
        if client.get("clientAuthenticatorType")
    }
    wanted |= set(re.findall(r"\$\{([A-Z0-9_]+)\}", json.dumps(realm)))
    assert wanted <= set(SERVICES["keycloak-realm"]["environment"])


def test_passwords_are_written_once_for_their_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    path = write_environment(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    held = dict(line.split("=", 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))
    assert set(held) == {*PASSWORDS, "JOURNEYMESH_UID", "JOURNEYMESH_GID"}
    assert len({held[name] for name in PASSWORDS}) == len(PASSWORDS)
    assert int(held["JOURNEYMESH_UID"]) > 0
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"\.env already exists"):
        write_environment(tmp_path)
    assert path.read_bytes() == before


def test_what_it_writes_is_kept_out_of_git() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"/.env", "/.compose/"} <= set(ignored)
