"""A real Kubernetes API server as identity provider, with the roles that the how-to shows."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ports.identity_provider_suite import ANALYST, INGEST, IdentityProviderSuite
from tests.support.kubernetes_cluster import Cluster, cluster_for_tests

from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.identity import PLATFORM, IdentityProvider, ProviderUnavailable, TokenRefused
from journeymesh.identity.kubernetes import API_SERVER_REMEMBERS_S, GroupMeaning, KubernetesProvider, KubernetesSettings

HOW_TO = Path(__file__).parents[2] / "docs/how-to/kubernetes-rbac.md"


def roles_of_the_how_to() -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    return [document for document in documents if document.get("kind") == "ClusterRole"]


class Installation:
    """Namespaces, roles and our own service account in the cluster, for the session."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.issuer = cluster.issuer
        self.roles: dict[str, str] = {}
        for role in roles_of_the_how_to():
            short = role["metadata"]["name"].removeprefix("journeymesh-")
            role["metadata"]["name"] = self.roles[short] = f"jm-{short}-{cluster.run}"
            cluster.make(role)
        self.namespaces = {
            person: cluster.make_namespace(place)
            for person, place in (("analyst", "pricing"), ("ingest", "telematics"), ("guest", "guests"))
        }
        own = cluster.make_namespace("own")
        account = cluster.make_account(own, "journeymesh")
        cluster.bind("system:auth-delegator", own, "journeymesh")
        self.token_file = folder / "token"
        self.token_file.write_text(cluster.token(account, audience=None, seconds=3600))
        self.powerless = folder / "powerless"
        self.powerless.write_text(cluster.token(cluster.make_account(own, "powerless"), audience=None))

    def opened(self, **settings: Any) -> KubernetesProvider:
        domains = {"analyst": {"pricing"}, "ingest": {"telematics"}, "guest": set[str]()}
        groups = {
            f"system:serviceaccounts:{namespace}": GroupMeaning(tenant="northgate", domains=frozenset(domains[person]))
            for person, namespace in self.namespaces.items()
        }
        given = {
            "url": self.cluster.url,
            "ca_file": self.cluster.ca_file,
            "token_file": self.token_file,
            "issuer": self.issuer,
            "groups": groups,
            "timeout_s": 10.0,
            **settings,
        }
        return KubernetesProvider("kubernetes", KubernetesSettings(**given))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("cluster")
    cluster = cluster_for_tests(folder)
    try:
        yield Installation(cluster, folder)
    finally:
        cluster.close()


class KubernetesWorld:
    """Service accounts of this test alone."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.cluster = installation.cluster
        self.provider: IdentityProvider = installation.opened()
        self.accounts: dict[str, str] = {}
        self.bindings: dict[str, str] = {}
        self.tokens: dict[str, list[str]] = {}

    def account(self, person: str) -> str:
        if person not in self.accounts:
            namespace, name = self.installation.namespaces[person], f"{person}-{secrets.token_hex(4)}"
            self.accounts[person] = self.cluster.make_account(namespace, name)
            if role := self.installation.roles.get(person):
                self.bindings[person] = self.cluster.bind(role, namespace, name)
                self._until(lambda: self._may(namespace, name))
        return self.accounts[person]

    def token(self, person: str) -> str:
        token = self.cluster.token(self.account(person))
        self.tokens.setdefault(person, []).append(token)
        return token

    def token_for_others(self, person: str) -> str:
        return self.cluster.token(self.account(person), audience="somebody-else")

    def take_capabilities(self, person: str) -> None:
        self.cluster.remove(self.bindings.pop(person))
        namespace, name = self.installation.namespaces[person], self.accounts[person].rpartition("/")[2]
        self._until(lambda: not self._may(namespace, name))

    def revoke(self, person: str) -> None:
        """Delete the account, and wait while the API server itself still remembers its tokens: ten seconds."""
        self.cluster.remove(self.accounts.pop(person))
        began = time.monotonic()
        for token in self.tokens[person]:
            self._until(lambda token=token: not self._authenticated(token))  # type: ignore[misc]
        assert time.monotonic() - began <= API_SERVER_REMEMBERS_S + 1

    def _authenticated(self, token: str) -> bool:
        spec = {"token": token, "audiences": ["journeymesh"]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        answer = self.cluster.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        return bool(answer["status"].get("authenticated"))

    def unreachable(self) -> IdentityProvider:
        return self.installation.opened(url="https://127.0.0.1:9")

    def _may(self, namespace: str, name: str) -> bool:
        """What the API server itself knows by now: it follows its store with a moment's delay."""
        attributes = {"group": "journeymesh.io", "resource": "product", "verb": "read", "name": "journeys"}
        spec = {"user": f"system:serviceaccount:{namespace}:{name}", "resourceAttributes": attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.cluster.ask("POST", path, body)["status"]["allowed"])

    def _until(self, holds: Callable[[], bool]) -> None:
        ends_at = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < ends_at, "the API server does not follow"
            time.sleep(0.02)


@pytest.fixture
def world(installation: Installation) -> Iterator[KubernetesWorld]:
    world = KubernetesWorld(installation)
    yield world
    world.provider.close()


class TestKubernetes(IdentityProviderSuite):
    """As every provider."""


def test_the_token_that_every_pod_has_is_not_for_us(world: KubernetesWorld) -> None:
    with pytest.raises(TokenRefused, match="audience_wrong"):
        world.provider.identify(world.cluster.token(world.account("analyst"), audience=None))


def test_a_subject_is_named_as_kubernetes_names_it(world: KubernetesWorld) -> None:
    identity = world.provider.identify(world.token("analyst"))
    namespace, name = world.installation.namespaces["analyst"], world.accounts["analyst"].rpartition("/")[2]
    assert identity.subject == f"system:serviceaccount:{namespace}:{name}"


def test_our_own_account_may_only_ask(world: KubernetesWorld) -> None:
    """With ``system:auth-delegator`` everything above works; without it we are told what is missing."""
    powerless = world.installation.opened(token_file=world.installation.powerless)
    token = world.token("analyst")
    with pytest.raises(ProviderUnavailable, match="system:auth-delegator"):
        powerless.identify(token)
    with pytest.raises(ProviderUnavailable, match="system:auth-delegator"):
        powerless.capabilities(token, world.provider.identify(token), JOURNEYS)
    powerless.close()


def test_an_account_whose_namespace_means_no_tenant_is_refused(world: KubernetesWorld) -> None:
    token = world.token("analyst")
    stranger = world.installation.opened(groups={})
    with pytest.raises(TokenRefused, match="tenant_unclear"):
        stranger.identify(token)
    stranger.close()


def test_a_group_that_means_a_second_tenant_makes_it_unclear(world: KubernetesWorld) -> None:
    token = world.token("analyst")
    groups = {
        f"system:serviceaccounts:{world.installation.namespaces['analyst']}": GroupMeaning(tenant="northgate"),
        "system:authenticated": GroupMeaning(tenant="southgate"),
    }
    twice = world.installation.opened(groups=groups)
    with pytest.raises(TokenRefused, match="tenant_unclear"):
        twice.identify(token)
    twice.close()


def test_a_role_gives_what_it_names_and_no_more(world: KubernetesWorld) -> None:
    """The same verb on the same resource of another product is another capability."""
    token = world.token("analyst")
    identity = world.provider.identify(token)
    narrow = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"jm-narrow-{secrets.token_hex(4)}"},
        "rules": [
            {"apiGroups": ["journeymesh.io"], "resources": ["tracks"], "verbs": ["read"], "resourceNames": ["other"]},
            {"apiGroups": ["apps"], "resources": ["journeys"], "verbs": ["export"]},
            {"apiGroups": ["journeymesh.io"], "resources": ["audit"], "verbs": ["get", "list"]},
        ],
    }
    world.cluster.make(narrow)
    namespace, name = world.installation.namespaces["analyst"], world.accounts["analyst"].rpartition("/")[2]
    world.cluster.bind(narrow["metadata"]["name"], namespace, name)
    time.sleep(1)
    assert world.provider.capabilities(token, identity, JOURNEYS) == ANALYST[JOURNEYS]
    assert world.provider.capabilities(token, identity, PLATFORM) == ANALYST[PLATFORM]


def test_an_account_that_comes_back_under_its_name_is_another_one(world: KubernetesWorld) -> None:
    token = world.token("ingest")
    identity = world.provider.identify(token)
    namespace, name = world.installation.namespaces["ingest"], world.accounts["ingest"].rpartition("/")[2]
    world.revoke("ingest")
    again = world.cluster.make_account(namespace, name)
    with pytest.raises(TokenRefused):
        world.provider.capabilities(token, identity, JOURNEYS)
    new = world.cluster.token(again)
    assert world.provider.capabilities(new, world.provider.identify(new), JOURNEYS) == INGEST[JOURNEYS]


def test_a_server_that_we_do_not_trust_is_not_asked(world: KubernetesWorld) -> None:
    distrustful = world.installation.opened(ca_file=None)
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        distrustful.identify(world.token("analyst"))
    distrustful.close()


def test_our_own_token_is_read_again_when_kubernetes_renews_it(world: KubernetesWorld, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("outdated")
    provider = world.installation.opened(token_file=file)
    token = world.token("analyst")
    with pytest.raises(ProviderUnavailable):
        provider.identify(token)
    file.write_text(world.installation.token_file.read_text())
    assert provider.identify(token).tenant == "northgate"
    file.unlink()
    with pytest.raises(ProviderUnavailable, match="our own token"):
        provider.identify(token)
    provider.close()
