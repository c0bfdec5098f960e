"""A real Keycloak with the realm of deploy/keycloak, as identity provider."""

from __future__ import annotations

import importlib.util
import secrets
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.ports.identity_provider_suite import ANALYST, INGEST, IdentityProviderSuite
from tests.support.keycloak_server import APPLY, CALLBACK, REALM_FILE, Keycloak, running_keycloak

from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.identity import PLATFORM, IdentityProvider, ProviderUnavailable, TokenRefused
from journeymesh.identity.keys import KeyTimes
from journeymesh.identity.oidc import OidcProvider, OidcSettings
from journeymesh.identity.providers import Providers
from journeymesh.identity.tokens import read_unverified

pytestmark = pytest.mark.timeout(900)  # the first test fetches, builds and starts a server

GROUPS = {"analyst": "/northgate/pricing", "ingest": "/northgate/telematics", "guest": "/northgate"}


@pytest.fixture(scope="session")
def keycloak() -> Iterator[Keycloak]:
    with running_keycloak() as server:
        server.admin(
            "POST",
            "/clients",
            {
                "clientId": "elsewhere",
                "publicClient": True,
                "standardFlowEnabled": True,
                "redirectUris": [CALLBACK],
                "defaultClientScopes": ["basic"],
            },
        )
        yield server


def opened(server: Keycloak, **settings: Any) -> OidcProvider:
    # A test machine is slow at times; what hangs is tried with a short patience of its own.
    return OidcProvider("keycloak", OidcSettings(**{"issuer": server.issuer, "timeout_s": 20.0, **settings}))


class KeycloakWorld:
    """People of this test alone, in the realm's groups."""

    def __init__(self, server: Keycloak) -> None:
        self.server = server
        self.provider: IdentityProvider = opened(server)
        self.people: dict[str, tuple[str, str]] = {}

    def _person(self, person: str) -> tuple[str, str]:
        if person not in self.people:
            self.people[person] = self.server.add_person(GROUPS[person])
        return self.people[person]

    def token(self, person: str) -> str:
        return str(self.server.log_in(*self._person(person))["access_token"])

    def token_for_others(self, person: str) -> str:
        return str(self.server.log_in(*self._person(person), client="elsewhere")["access_token"])

    def take_capabilities(self, person: str) -> None:
        self.server.move(self._person(person)[0], GROUPS[person], GROUPS["guest"])

    def revoke(self, person: str) -> None:
        self.server.admin("PUT", f"/users/{self.server.person_id(self._person(person)[0])}", {"enabled": False})

    def unreachable(self) -> IdentityProvider:
        return opened(self.server, internal_url="http://127.0.0.1:9/realms/journeymesh")


@pytest.fixture
def world(keycloak: Keycloak) -> Iterator[KeycloakWorld]:
    world = KeycloakWorld(keycloak)
    yield world
    world.provider.close()


class TestKeycloak(IdentityProviderSuite):
    """As every provider."""


def test_machines_get_tokens_by_client_credentials(keycloak: Keycloak, world: KeycloakWorld) -> None:
    for client, tenant, expected in (("ingest", "northgate", INGEST), ("gateway", "platform", None)):
        token = str(keycloak.machine_token(client)["access_token"])
        identity = world.provider.identify(token)
        assert identity.tenant == tenant
        found = {product: world.provider.capabilities(token, identity, product) for product in (JOURNEYS, PLATFORM)}
        assert found == (expected or {JOURNEYS: set(), PLATFORM: {"decisions:make"}})


def test_an_import_by_keycloak_itself_makes_secrets_that_nobody_knows(keycloak: Keycloak) -> None:
    made = keycloak.imported_secrets
    assert set(made) == {"console", "ingest", "gateway"}
    assert all(len(secret) >= 32 and "$" not in secret for secret in made.values())
    assert made["ingest"] != made["gateway"]


def test_a_machine_whose_client_is_disabled_is_refused(keycloak: Keycloak, world: KeycloakWorld) -> None:
    token = str(keycloak.machine_token("ingest")["access_token"])
    identity = world.provider.identify(token)
    client = keycloak.admin("GET", "/clients?clientId=ingest")[0]
    keycloak.admin("PUT", f"/clients/{client['id']}", {**client, "enabled": False})
    try:
        with pytest.raises(TokenRefused):
            world.provider.capabilities(token, identity, JOURNEYS)
    finally:
        keycloak.admin("PUT", f"/clients/{client['id']}", {**client, "enabled": True})


def test_the_console_gets_a_code_only_with_a_hashed_challenge(keycloak: Keycloak) -> None:
    person = keycloak.add_person("/northgate/pricing")
    for changed in (
        {"code_challenge": "", "code_challenge_method": ""},
        {"code_challenge_method": "plain"},
        {"redirect_uri": "https://stranger.example/callback"},
        {"response_type": "token"},
    ):
        assert "access_token" not in keycloak.log_in(*person, **changed)
    assert "access_token" in keycloak.log_in(*person)


def test_a_stolen_code_is_worth_nothing_without_its_verifier(keycloak: Keycloak) -> None:
    person = keycloak.add_person("/northgate/pricing")
    answer = keycloak.log_in(*person, code_challenge="A" * 43)  # somebody else's challenge
    assert answer["error"] == "invalid_grant"


def test_a_password_alone_gets_nobody_a_token(keycloak: Keycloak) -> None:
    name, password = keycloak.add_person("/northgate/pricing")
    form = {"grant_type": "password", "client_id": "console", "username": name, "password": password}
    assert keycloak.posted(form)["error"] == "unauthorized_client"


def test_identity_and_refresh_tokens_are_not_access_tokens(keycloak: Keycloak, world: KeycloakWorld) -> None:
    answer = keycloak.log_in(*keycloak.add_person("/northgate/pricing"))
    for kind in ("id_token", "refresh_token"):
        with pytest.raises(TokenRefused):
            world.provider.identify(answer[kind])


def test_an_access_token_holds_no_personal_data_and_five_minutes(keycloak: Keycloak) -> None:
    name, password = keycloak.add_person("/northgate/pricing")
    claims = read_unverified(keycloak.log_in(name, password)["access_token"]).claims
    assert name not in str(claims)
    assert {"name", "email", "preferred_username", "given_name", "family_name"}.isdisjoint(claims)
    assert claims["exp"] - claims["iat"] == 300


def exchanged(keycloak: Keycloak, token: str, client: str) -> dict[str, Any]:
    return keycloak.posted(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "client_id": client,
            "client_secret": keycloak.secret(client),
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": "journeymesh",
        }
    )


def test_the_gateway_exchanges_a_persons_token_for_one_of_the_same_person(
    keycloak: Keycloak, world: KeycloakWorld
) -> None:
    token = world.token("analyst")
    answer = exchanged(keycloak, token, "gateway")
    assert "access_token" in answer, answer
    before, after = world.provider.identify(token), world.provider.identify(answer["access_token"])
    assert (after.subject, after.tenant, after.domains) == (before.subject, before.tenant, before.domains)
    assert world.provider.capabilities(answer["access_token"], after, JOURNEYS) == ANALYST[JOURNEYS]


def test_nobody_else_exchanges_tokens(keycloak: Keycloak, world: KeycloakWorld) -> None:
    assert "access_token" not in exchanged(keycloak, world.token("analyst"), "ingest")
    assert "access_token" not in exchanged(keycloak, world.token_for_others("analyst"), "gateway")


def test_a_rotated_key_works_at_once_and_a_withdrawn_one_ends(keycloak: Keycloak) -> None:
    now_s = [1000.0]
    settings = OidcSettings(issuer=keycloak.issuer, timeout_s=20.0, key_times=KeyTimes(refresh_after_s=300))
    provider = OidcProvider("keycloak", settings, clock=lambda: now_s[0])
    person = keycloak.add_person("/northgate/pricing")
    old = str(keycloak.log_in(*person)["access_token"])
    provider.identify(old)
    rotated = {
        "name": f"rotated-{secrets.token_hex(4)}",
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": ["900"], "enabled": ["true"], "active": ["true"], "keySize": ["2048"]},
    }
    keycloak.admin("POST", "/components", rotated)
    [component] = [each for each in keycloak.admin("GET", "/components") if each["name"] == rotated["name"]]
    now_s[0] += 1
    new = str(keycloak.log_in(*person)["access_token"])
    assert _kid(new) != _kid(old)
    assert provider.identify(new).subject == provider.identify(old).subject  # both, at once

    keycloak.admin("DELETE", f"/components/{component['id']}")  # as after a theft: what it signed must end
    provider.identify(new)  # for as long as keys are kept
    now_s[0] += 300
    with pytest.raises(TokenRefused, match="key_unknown"):
        provider.identify(new)
    assert provider.identify(old).tenant == "northgate"
    provider.close()


def _kid(token: str) -> str:
    return str(read_unverified(token).header["kid"])


def test_who_logs_out_is_refused(keycloak: Keycloak, world: KeycloakWorld) -> None:
    token = world.token("analyst")
    identity = world.provider.identify(token)
    keycloak.admin("POST", f"/users/{identity.subject}/logout")
    with pytest.raises(TokenRefused, match="no_longer_active"):
        world.provider.capabilities(token, identity, JOURNEYS)


def test_a_person_of_two_tenants_is_nobodys(keycloak: Keycloak, world: KeycloakWorld) -> None:
    name, password = keycloak.add_person("/northgate/pricing")
    group = keycloak.admin("GET", "/group-by-path/platform")["id"]
    keycloak.admin("PUT", f"/users/{keycloak.person_id(name)}/groups/{group}")
    with pytest.raises(TokenRefused, match="tenant_unclear"):
        world.provider.identify(keycloak.log_in(name, password)["access_token"])


def test_people_cannot_give_themselves_a_tenant(keycloak: Keycloak, world: KeycloakWorld) -> None:
    name, password = keycloak.add_person("/northgate")
    person = keycloak.admin("GET", f"/users/{keycloak.person_id(name)}")
    keycloak.admin("PUT", f"/users/{person['id']}", {**person, "attributes": {"domains": ["claims"], "tenant": ["x"]}})
    identity = world.provider.identify(keycloak.log_in(name, password)["access_token"])
    assert (identity.tenant, identity.domains) == ("northgate", frozenset())


def test_guessing_passwords_locks_the_account_for_a_while(keycloak: Keycloak) -> None:
    name, password = keycloak.add_person("/northgate/pricing")
    for _ in range(6):
        assert keycloak.log_in(name, secrets.token_urlsafe(12))["error"] == "not_let_in"
    assert keycloak.log_in(name, password)["error"] == "not_let_in"


def test_while_it_hangs_nobody_gets_in_and_nobody_waits_for_long(keycloak: Keycloak, world: KeycloakWorld) -> None:
    now_s = [0.0]
    provider = opened(keycloak, timeout_s=0.5)
    providers = Providers([provider], clock=lambda: now_s[0])
    token, other = world.token("analyst"), world.token("ingest")
    world.provider.identify(token)
    for _ in range(20):  # the test machine may need a moment
        try:
            providers.capabilities(token, JOURNEYS)
            break
        except ProviderUnavailable:
            time.sleep(1.1)
    assert providers.capabilities(token, JOURNEYS) == ANALYST[JOURNEYS]
    with keycloak.hanging():
        assert providers.capabilities(token, JOURNEYS) == ANALYST[JOURNEYS]  # known for thirty seconds
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable) as down:
            providers.capabilities(other, JOURNEYS)
        now_s[0] = 30.0
        with pytest.raises(ProviderUnavailable):
            providers.capabilities(token, JOURNEYS)
        assert time.monotonic() - began < 10
        assert down.value.retry_after_s > 0
        stranger = opened(keycloak, timeout_s=0.5)
        with pytest.raises(ProviderUnavailable):
            stranger.identify(token)
        assert not stranger.state().ready
        stranger.close()
    for _ in range(20):
        try:
            assert providers.capabilities(other, JOURNEYS) == INGEST[JOURNEYS]
            break
        except ProviderUnavailable:
            time.sleep(1.1)
    else:
        pytest.fail("it is not asked again after it came back")
    providers.close()


def applying() -> ModuleType:
    """deploy/keycloak/apply.py, which is no package."""
    spec = importlib.util.spec_from_file_location("apply_realm", APPLY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_applying_the_realm_again_undoes_changes_by_hand_and_keeps_people(
    keycloak: Keycloak, world: KeycloakWorld
) -> None:
    token, person = world.token("analyst"), world.people["analyst"]
    client = keycloak.admin("GET", "/clients?clientId=journeymesh")[0]["id"]
    server = f"/clients/{client}/authz/resource-server"
    keycloak.admin("PUT", "", {"accessTokenLifespan": 86_400, "bruteForceProtected": False})
    console = keycloak.admin("GET", "/clients?clientId=console")[0]
    keycloak.admin("PUT", f"/clients/{console['id']}", {**console, "redirectUris": ["https://stranger.example/*"]})
    widened = {
        "name": "everything for analysts",
        "resources": ["journeys"],
        "scopes": ["tracks:read"],
        "policies": ["analyst"],
    }
    keycloak.admin("POST", f"{server}/permission/scope", widened)
    [permission] = [
        p for p in keycloak.admin("GET", f"{server}/policy?max=500") if p["name"] == "journeys:read of journeys"
    ]
    keycloak.admin("DELETE", f"{server}/policy/{permission['id']}")
    identity = world.provider.identify(token)
    changed = ANALYST[JOURNEYS] - {"journeys:read"} | {"tracks:read"}
    assert world.provider.capabilities(token, identity, JOURNEYS) == changed

    assert "updated" in keycloak.apply_realm()
    assert world.provider.capabilities(token, identity, JOURNEYS) == ANALYST[JOURNEYS]
    realm = keycloak.admin("GET", "")
    assert (realm["accessTokenLifespan"], realm["bruteForceProtected"]) == (300, True)
    again = str(keycloak.log_in(*person)["access_token"])  # same password, same group, same callback
    assert world.provider.capabilities(again, world.provider.identify(again), PLATFORM) == ANALYST[PLATFORM]
    machine = str(keycloak.machine_token("ingest")["access_token"])
    assert world.provider.capabilities(machine, world.provider.identify(machine), JOURNEYS) == INGEST[JOURNEYS]


def test_applying_gives_the_tests_people_their_passwords_and_again_new_ones(keycloak: Keycloak) -> None:
    variable = "JOURNEYMESH_E2E_READER_PASSWORD"
    for password in (first := keycloak.environment[variable], first, secrets.token_urlsafe(24)):
        keycloak.environment[variable] = password
        assert "updated" in keycloak.apply_realm()
        claims = read_unverified(keycloak.log_in("e2e-reader", password)["access_token"]).claims
        assert (claims["tenant"], claims["domains"]) == (["e2e"], ["pricing"])
    assert "error" in keycloak.log_in("e2e-reader", first)
    newcomer = keycloak.environment["JOURNEYMESH_E2E_NEWCOMER_PASSWORD"]
    assert read_unverified(keycloak.log_in("e2e-newcomer", newcomer)["access_token"]).claims["tenant"] == ["e2e"]


def test_without_its_secret_nobody_is_the_console(keycloak: Keycloak) -> None:
    person = keycloak.add_person("/northgate/pricing")
    kept = keycloak.environment["JOURNEYMESH_CONSOLE_SECRET"]
    keycloak.environment["JOURNEYMESH_CONSOLE_SECRET"] = secrets.token_urlsafe(24)
    try:
        assert keycloak.log_in(*person)["error"] == "unauthorized_client"
    finally:
        keycloak.environment["JOURNEYMESH_CONSOLE_SECRET"] = kept


def test_applying_makes_a_realm_where_there_is_none(keycloak: Keycloak) -> None:
    module = applying()
    realm = {**module.realm_from_file(REALM_FILE, keycloak.environment), "realm": f"made-{secrets.token_hex(4)}"}
    admin = module.Admin(
        keycloak.url,
        keycloak.environment["KC_BOOTSTRAP_ADMIN_CLIENT_ID"],
        keycloak.environment["KC_BOOTSTRAP_ADMIN_CLIENT_SECRET"],
        realm["realm"],
    )
    assert module.apply(admin, realm) == "created"
    assert module.apply(admin, realm) == "updated"
    issuer = f"{keycloak.url}/realms/{realm['realm']}"
    form = {"grant_type": "client_credentials", "client_id": "ingest", "client_secret": keycloak.secret("ingest")}
    token = keycloak.http.post(f"{issuer}/protocol/openid-connect/token", data=form).json()["access_token"]
    provider = OidcProvider("made", OidcSettings(issuer=issuer, timeout_s=20))
    assert provider.capabilities(token, provider.identify(token), JOURNEYS) == INGEST[JOURNEYS]
    provider.close()
