"""An API server's answers, good and bad, from a server that a test scripts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from journeymesh.errors import SettingsInvalid
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.kubernetes import CLUSTER_ISSUER, GroupMeaning, KubernetesProvider, KubernetesSettings
from tests.support.scripted_server import Exchange, ScriptedServer, scripted_server
from tests.support.tokens_made import NOW_S, signed

USER = {
    "username": "system:serviceaccount:pricing:analyses",
    "uid": "u-1",
    "groups": ["system:serviceaccounts", "system:serviceaccounts:pricing", "system:authenticated"],
    "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]},
}
TOKEN = signed(iss=CLUSTER_ISSUER)


class ApiServer:
    """Vouches for ``user`` and allows what ``rules`` name; remembers what it was asked."""

    def __init__(self) -> None:
        self.review: Any = {"authenticated": True, "audiences": ["journeymesh"], "user": USER}
        self.rules = {("journeys", "read", "journeys"), ("product", "read", "journeys")}
        self.access: Any = None
        self.status_about: dict[str, int] = {}
        self.asked: list[dict[str, Any]] = []

    def __call__(self, exchange: Exchange) -> None:
        if exchange.path == "/readyz":
            exchange.answer(b"ok")
            return
        question = json.loads(exchange.asked())
        self.asked.append({**question, "bearer": exchange.headers["Authorization"]})
        if question["kind"] == "TokenReview":
            exchange.answer({"status": self.review}, 201)
            return
        about = question["spec"]["resourceAttributes"]
        allowed = (about["resource"], about["verb"], about["name"]) in self.rules
        exchange.answer({"status": self.access or {"allowed": allowed}}, self.status_about.get(about["resource"], 201))


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def server(api: ApiServer) -> Iterator[ScriptedServer]:
    with scripted_server(api) as running:
        yield running


def provider(server: ScriptedServer, folder: Path, **settings: Any) -> KubernetesProvider:
    (folder / "own-token").write_text("our-own\n")
    given = {
        "url": server.url,
        "ca_file": None,
        "token_file": folder / "own-token",
        "groups": {"system:serviceaccounts:pricing": GroupMeaning(tenant="northgate", domains=frozenset({"pricing"}))},
        "timeout_s": 1.0,
        **settings,
    }
    return KubernetesProvider("kubernetes", KubernetesSettings(**given), now_s=lambda: NOW_S)


def test_capabilities_are_asked_about_one_by_one_for_the_user_that_was_vouched_for(
    api: ApiServer, server: ScriptedServer, tmp_path: Path
) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)
    assert (identity.tenant, identity.domains, identity.expires_at_s) == ("northgate", {"pricing"}, NOW_S + 310)
    assert opened.capabilities(TOKEN, identity, "journeys") == {"journeys:read", "product:read"}
    specs = [asked["spec"] for asked in api.asked if asked["kind"] == "SubjectAccessReview"]
    assert len(specs) == 6
    assert all(
        (spec["user"], spec["uid"], spec["groups"], spec["extra"])
        == (USER["username"], USER["uid"], USER["groups"], USER["extra"])
        for spec in specs
    )
    assert {spec["resourceAttributes"]["group"] for spec in specs} == {"journeymesh.io"}
    assert {asked["bearer"] for asked in api.asked} == {"Bearer our-own"}
    opened.close()


def test_they_are_asked_about_side_by_side(api: ApiServer, server: ScriptedServer, tmp_path: Path) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)
    meeting = threading.Barrier(6)

    def meet(exchange: Exchange) -> None:
        if exchange.path.endswith("subjectaccessreviews"):
            meeting.wait(5)  # none is answered before all have come
        api(exchange)

    server.script = meet
    assert opened.capabilities(TOKEN, identity, "journeys") == {"journeys:read", "product:read"}
    opened.close()


def test_people_belong_where_their_groups_say(api: ApiServer, server: ScriptedServer, tmp_path: Path) -> None:
    opened = provider(server, tmp_path, groups={})
    groups = ["journeymesh:tenant:northgate", "journeymesh:domain:pricing", "journeymesh:domain:claims", "others"]
    api.review = {**api.review, "user": {**USER, "groups": groups}}
    identity = opened.identify(TOKEN)
    assert (identity.tenant, identity.domains) == ("northgate", {"pricing", "claims"})
    for unclear in (["journeymesh:tenant:"], [], [*groups, "journeymesh:tenant:southgate"]):
        api.review = {**api.review, "user": {**USER, "groups": unclear}}
        with pytest.raises(TokenRefused, match="tenant_unclear"):
            opened.identify(TOKEN)
    opened.close()


@pytest.mark.parametrize(
    ("audience", "named", "taken"),
    [
        (["journeymesh"], (), True),
        ("journeymesh", (), True),
        (["journeymesh", CLUSTER_ISSUER], (), False),
        (["journeymesh", "https://kubernetes.default.svc"], (), False),
        (["journeymesh", "k3s"], (), False),
        (["journeymesh", "vault"], ("vault",), True),
        (["journeymesh", "vault", "k3s"], ("vault",), False),
    ],
)
def test_a_token_is_for_nobody_who_is_not_on_the_list(
    server: ScriptedServer, tmp_path: Path, audience: Any, named: tuple[str, ...], taken: bool
) -> None:
    opened = provider(server, tmp_path, audiences=frozenset(named))
    token = signed(iss=CLUSTER_ISSUER, aud=audience)
    if taken:
        assert opened.identify(token).tenant == "northgate"
    else:
        with pytest.raises(TokenRefused, match="audience_wrong"):
            opened.identify(token)
    opened.close()


@pytest.mark.parametrize(
    ("review", "reason"),
    [
        ({"authenticated": False, "user": USER, "audiences": ["journeymesh"]}, "no_longer_active"),
        ({"user": USER, "audiences": ["journeymesh"]}, "no_longer_active"),
        ({"authenticated": "true", "user": USER, "audiences": ["journeymesh"]}, "no_longer_active"),
        ({"authenticated": True, "user": USER}, "audience_wrong"),
        ({"authenticated": True, "user": USER, "audiences": ["api"]}, "audience_wrong"),
        ({"error": "invalid bearer token"}, "no_longer_active"),
    ],
)
def test_anything_but_a_clear_yes_is_no(
    api: ApiServer, server: ScriptedServer, tmp_path: Path, review: Any, reason: str
) -> None:
    opened = provider(server, tmp_path)
    api.review = review
    with pytest.raises(TokenRefused, match=reason):
        opened.identify(TOKEN)
    opened.close()


@pytest.mark.parametrize(
    "user",
    [None, {}, {"username": ""}, {"username": 7}, {"username": "a", "groups": "all"}, {"username": "a", "groups": [1]}],
)
def test_a_user_that_cannot_be_read_is_nobody(
    api: ApiServer, server: ScriptedServer, tmp_path: Path, user: Any
) -> None:
    opened = provider(server, tmp_path)
    api.review = {**api.review, "user": user}
    with pytest.raises(ProviderUnavailable, match="cannot be read"):
        opened.identify(TOKEN)
    opened.close()


@pytest.mark.parametrize(
    "access",
    [
        {"allowed": False},
        {"allowed": "true"},
        {"allowed": 1},
        {"allowed": True, "denied": True},
        {"allowed": True, "denied": "no"},
        {"reason": "unknown"},
    ],
)
def test_what_is_not_plainly_allowed_is_not(
    api: ApiServer, server: ScriptedServer, tmp_path: Path, access: Any
) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)
    api.access = access
    assert opened.capabilities(TOKEN, identity, "journeys") == frozenset()
    opened.close()


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 429, 500, 503])
def test_one_question_without_answer_leaves_all_unanswered(
    api: ApiServer, server: ScriptedServer, tmp_path: Path, status: int
) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)

    api.status_about["tracks"] = status
    with pytest.raises(ProviderUnavailable):
        opened.capabilities(TOKEN, identity, "journeys")
    opened.close()


def test_a_token_of_another_issuer_is_not_shown_to_the_api_server(
    api: ApiServer, server: ScriptedServer, tmp_path: Path
) -> None:
    opened = provider(server, tmp_path)
    with pytest.raises(TokenRefused, match="issuer_unknown"):
        opened.identify(signed(iss="https://elsewhere.example"))
    assert api.asked == []
    opened.close()


def test_another_user_behind_the_same_token_is_not_asked_about(
    api: ApiServer, server: ScriptedServer, tmp_path: Path
) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)
    api.review = {**api.review, "user": {**USER, "username": "system:admin"}}
    with pytest.raises(TokenRefused, match="no_longer_active"):
        opened.capabilities(TOKEN, identity, "journeys")
    assert {asked["kind"] for asked in api.asked} == {"TokenReview"}
    opened.close()


def test_a_slow_api_server_holds_nobody_up(api: ApiServer, server: ScriptedServer, tmp_path: Path) -> None:
    opened = provider(server, tmp_path, timeout_s=0.3)
    identity = opened.identify(TOKEN)

    def slow(exchange: Exchange) -> None:
        if exchange.path.endswith("subjectaccessreviews"):
            time.sleep(2)
        api(exchange)

    server.script = slow
    began = time.monotonic()
    with pytest.raises(ProviderUnavailable, match="in time"):
        opened.capabilities(TOKEN, identity, "journeys")
    assert time.monotonic() - began < 1.5
    opened.close()


def test_closed_it_answers_nobody(server: ScriptedServer, tmp_path: Path) -> None:
    opened = provider(server, tmp_path)
    identity = opened.identify(TOKEN)
    opened.close()
    opened.close()
    with pytest.raises(ProviderUnavailable):
        opened.capabilities(TOKEN, identity, "journeys")
    assert not opened.state().ready


def test_outside_a_pod_the_cluster_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SettingsInvalid, match="runs in no cluster"):
        KubernetesSettings.in_cluster()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert KubernetesSettings.in_cluster(audience="other").url == "https://[fd00::1]:6443"
