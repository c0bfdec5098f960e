"""The realm as code: what it promises, checked without a server."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from journeymesh.identity.capabilities import CAPABILITIES

FOLDER = Path(__file__).parents[3] / "deploy/keycloak"
REALM: dict[str, Any] = json.loads((FOLDER / "realm.json").read_text("utf-8"))
CLIENTS = {client["clientId"]: client for client in REALM["clients"]}
AUTHORIZATION = CLIENTS["journeymesh"]["authorizationSettings"]
PERMISSIONS = {policy["name"]: policy for policy in AUTHORIZATION["policies"] if policy["type"] == "scope"}
ROLES = {policy["name"]: policy for policy in AUTHORIZATION["policies"] if policy["type"] == "role"}


def test_resources_are_data_products_and_scopes_their_capabilities() -> None:
    written = {
        (resource["name"], scope["name"]) for resource in AUTHORIZATION["resources"] for scope in resource["scopes"]
    }
    assert written == {(capability.product, capability.name) for capability in CAPABILITIES}
    assert {scope["name"] for scope in AUTHORIZATION["scopes"]} == {capability.name for capability in CAPABILITIES}


def test_every_capability_has_one_permission_and_it_is_about_that_capability_alone() -> None:
    assert set(PERMISSIONS) == {f"{capability.name} of {capability.product}" for capability in CAPABILITIES}
    for capability in CAPABILITIES:
        config = PERMISSIONS[f"{capability.name} of {capability.product}"]["config"]
        assert json.loads(config["resources"]) == [capability.product]
        assert json.loads(config["scopes"]) == [capability.name]
        assert set(json.loads(config["applyPolicies"])) <= set(ROLES)
        assert json.loads(config["applyPolicies"]), f"nobody is capable of {capability.name}"


def test_roles_are_judged_as_they_are_now_not_as_the_token_says() -> None:
    assert {policy["config"]["fetchRoles"] for policy in ROLES.values()} == {"true"}
    assert set(ROLES) == {role["name"] for role in REALM["roles"]["client"]["journeymesh"]}


def test_whoever_watches_the_platform_sees_no_personal_data() -> None:
    personal = {f"{capability.name} of {capability.product}" for capability in CAPABILITIES if capability.personal}
    for role in ("operator", "gateway", "auditor", "approver"):
        has = {name for name, policy in PERMISSIONS.items() if role in json.loads(policy["config"]["applyPolicies"])}
        assert has
        assert has.isdisjoint(personal), role


def test_nobody_who_asks_for_approvals_decides_on_them() -> None:
    asks, decides = (
        set(json.loads(PERMISSIONS[f"approvals:{verb} of platform"]["config"]["applyPolicies"]))
        for verb in ("request", "decide")
    )
    assert asks.isdisjoint(decides)


def test_no_secret_is_in_the_file() -> None:
    text = (FOLDER / "realm.json").read_text("utf-8")
    assert not any("secret" in client for client in REALM["clients"])
    assert "SECRET" not in text  # not as a placeholder either: Keycloak would take its text where it is unset
    assert "PRIVATE KEY" not in text
    assert not any("credentials" in user for user in REALM["users"])


def test_browsers_use_codes_with_pkce_and_nothing_older() -> None:
    assert not CLIENTS["console"]["publicClient"]  # tokens stay on its server, which keeps a secret, too
    assert CLIENTS["console"]["attributes"]["pkce.code.challenge.method"] == "S256"
    for client in REALM["clients"]:
        assert not client["implicitFlowEnabled"]
        assert not client["directAccessGrantsEnabled"]
        assert not client["fullScopeAllowed"]


def test_tokens_live_for_minutes_and_guessing_is_slowed_down() -> None:
    assert REALM["accessTokenLifespan"] <= 300
    assert REALM["bruteForceProtected"]
    assert REALM["revokeRefreshToken"]
    assert not REALM["registrationAllowed"]


def _apply() -> Any:
    spec = importlib.util.spec_from_file_location("apply_realm", FOLDER / "apply.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GIVEN = {
    "JOURNEYMESH_CONSOLE_URL": "https://console.example",
    "JOURNEYMESH_CONSOLE_SECRET": "w" * 16,
    "JOURNEYMESH_INGEST_SECRET": 'quoted " and \\ and 16 characters',
    "JOURNEYMESH_GATEWAY_SECRET": "x" * 16,
    "JOURNEYMESH_E2E_ANALYST_SECRET": "y" * 16,
    "JOURNEYMESH_E2E_OFFICER_SECRET": "z" * 16,
    "JOURNEYMESH_E2E_READER_PASSWORD": "r" * 16,
    "JOURNEYMESH_E2E_NEWCOMER_PASSWORD": "n" * 16,
}


def test_placeholders_are_filled_in_from_the_environment() -> None:
    realm = _apply().realm_from_file(FOLDER / "realm.json", GIVEN)
    clients = {client["clientId"]: client for client in realm["clients"]}
    assert clients["ingest"]["secret"] == GIVEN["JOURNEYMESH_INGEST_SECRET"]
    assert clients["console"]["redirectUris"] == ["https://console.example/*"]
    assert "${" not in json.dumps(realm)


def test_keycloak_tells_the_console_of_ended_sessions_by_its_own_way_where_it_has_one() -> None:
    def told_at(environment: dict[str, str]) -> str:
        realm = _apply().realm_from_file(FOLDER / "realm.json", environment)
        [console] = [client for client in realm["clients"] if client["clientId"] == "console"]
        return str(console["attributes"]["backchannel.logout.url"])

    inside = {"JOURNEYMESH_CONSOLE_INTERNAL_URL": "http://console:8080"}
    assert told_at(GIVEN) == "https://console.example/sign-out/everywhere"
    assert told_at({**GIVEN, **inside}) == "http://console:8080/sign-out/everywhere"


def test_the_people_of_the_file_are_those_of_the_end_to_end_tests_in_their_own_tenant() -> None:
    people = [user for user in REALM["users"] if "serviceAccountClientId" not in user]
    assert {user["username"] for user in people} == {"e2e-reader", "e2e-newcomer"}
    assert all(group.split("/")[1] == "e2e" for user in people for group in user["groups"])


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_an_unset_or_short_variable_stops_everything(name: str) -> None:
    module = _apply()
    for value in ("", *(["short"] if name.endswith(("SECRET", "PASSWORD")) else [])):
        with pytest.raises(module.Stopped, match=name):
            module.realm_from_file(FOLDER / "realm.json", {**GIVEN, name: value})


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GIVEN:
        monkeypatch.delenv(name, raising=False)
    assert _apply().main(["https://keycloak.example"]) == 1
    assert f"set {', '.join(sorted(GIVEN))} in the environment" in capsys.readouterr().err
    assert _apply().main([]) == 2
