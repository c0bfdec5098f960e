"""Kubernetes as identity provider: its API server says whose a token is (TokenReview) and what RBAC lets them do.

Capabilities are verbs of our own on an API group that exists only in RBAC rules, ``journeymesh.io``: no CRD is needed,
and this process needs no right but to ask (ClusterRole ``system:auth-delegator``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from journeymesh.errors import SettingsInvalid
from journeymesh.identity.answers import Asking, ProviderAnswer
from journeymesh.identity.capabilities import Capability, of_product
from journeymesh.identity.identity import Identity, ProviderState, ProviderUnavailable, TokenRefused
from journeymesh.identity.tokens import (
    TokenRefusal,
    TokenRules,
    check_dates,
    expires_at_s,
    read_unverified,
    token_digest,
)

API_GROUP: Final = "journeymesh.io"
"""The API group that RBAC rules name. Nothing is served under it."""

CLUSTER_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
"""The issuer of service accounts' tokens, unless the cluster names another."""

API_SERVER_REMEMBERS_S: Final = 10.0
"""So long an API server goes on accepting a token after its account was deleted (kube-apiserver's token cache)."""

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ASKED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMeaning:
    """What being in a group of Kubernetes says: a tenant, domains, or both."""

    tenant: str | None = None
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """A cluster.

    - ``url``, ``ca_file``, ``token_file``: its API server, whom to trust for TLS, and who we are. The file is read
      again for every question: Kubernetes renews it
    - ``issuer``, ``audience``: of the tokens that are shown to us
    - ``audiences``: what else such a token may be meant for; it is refused where it is for anybody who is not named
      here, the API server under whatever name above all
    - ``groups``: what groups mean, by name; ``system:serviceaccounts:NAMESPACE`` is a namespace's service accounts
    - ``tenant_prefix``, ``domain_prefix``: ``journeymesh:tenant:north`` means tenant ``north``; empty: none does
    - ``timeout_s``: bounds each question to it
    """

    url: str
    ca_file: Path | None
    token_file: Path
    issuer: str = CLUSTER_ISSUER
    audience: str = "journeymesh"
    audiences: frozenset[str] = frozenset()
    groups: Mapping[str, GroupMeaning] = field(default_factory=dict)
    tenant_prefix: str = "journeymesh:tenant:"
    domain_prefix: str = "journeymesh:domain:"
    leeway_s: float = 10.0
    timeout_s: float = 3.0

    @classmethod
    def in_cluster(cls, **others: Any) -> KubernetesSettings:
        """The cluster that this process runs in, as Kubernetes tells each pod.

        Raises:
            SettingsInvalid: this is no pod.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise SettingsInvalid(
                "identity provider kubernetes: this process runs in no cluster",
                todo="name the API server's URL, its CA file and a token file",
            )
        shown = f"[{host}]" if ":" in host else host
        url = f"https://{shown}:{port}"
        return cls(url=url, ca_file=_SERVICE_ACCOUNT / "ca.crt", token_file=_SERVICE_ACCOUNT / "token", **others)


@dataclass(frozen=True, slots=True)
class _User:
    """Whom a TokenReview vouches for: what a SubjectAccessReview wants to know of them."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, Any]


class KubernetesProvider:
    """A cluster as identity provider. Safe for several threads."""

    kind = "kubernetes"
    staleness_s = API_SERVER_REMEMBERS_S

    def __init__(
        self,
        name: str,
        settings: KubernetesSettings,
        *,
        tenants: frozenset[str] | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is asked before the first token comes.

        Raises:
            ExtraMissing: httpx is not installed. SettingsInvalid: ``ca_file`` has no certificates.
        """
        self.name = name
        self.tenants = tenants
        self.issuers: tuple[str, ...] = (settings.issuer,)
        self._settings = settings
        self._now_s = now_s
        self._rules = TokenRules(issuer=settings.issuer, audience=settings.audience, leeway_s=settings.leeway_s)
        self._asking = Asking(name, timeout_s=settings.timeout_s, ca_file=settings.ca_file)
        self._at_once = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix=f"rbac-{name}")

    def identify(self, token: str) -> Identity:
        """Who bears this token, as the API server says. Raises as the port says."""
        user, expires_s = self._reviewed(token)
        tenant, domains = self._belonging(user)
        return Identity(
            provider=self.name,
            subject=user.name,
            tenant=tenant,
            domains=domains,
            expires_at_s=expires_s,
            token_digest=token_digest(token),
        )

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:
        """What RBAC allows now. The token is reviewed again: rules outlive the accounts that they name.

        One SubjectAccessReview for each of the product's capabilities, side by side. Raises as the port says.
        """
        user, _ = self._reviewed(token)
        if user.name != identity.subject or self._belonging(user)[0] != identity.tenant:
            raise TokenRefused(TokenRefusal.INACTIVE)
        asked = of_product(product)
        try:
            answers = self._at_once.map(partial(self._allows, user), asked, timeout=2 * self._settings.timeout_s)
            allowed = list(answers)
        except TimeoutError as error:  # too many wait for it
            raise ProviderUnavailable(self.name, "it does not answer in time") from error
        except RuntimeError as error:  # closed meanwhile
            raise ProviderUnavailable(self.name, "it was closed") from error
        return frozenset(each.name for each, yes in zip(asked, allowed, strict=True) if yes)

    def state(self) -> ProviderState:
        """Ready when the API server says so now."""
        what = ""
        try:
            answer = self._asking.get(f"{self._settings.url}/readyz", headers=self._credentials())
            if answer.status != 200:
                what = f"its API server answers {answer.status}"
        except ProviderUnavailable as error:
            what = error.what
        return ProviderState(self.name, self.kind, self.issuers[0], not what, what=what)

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._at_once.shutdown(wait=False, cancel_futures=True)
        self._asking.close()

    def _reviewed(self, token: str) -> tuple[_User, float]:
        """Whom the API server vouches for, and until when, in seconds since 1970 UTC."""
        unverified = read_unverified(token)
        if unverified.issuer != self._settings.issuer:
            raise TokenRefused(TokenRefusal.ISSUER)
        claims = unverified.claims
        spec = {"token": token, "audiences": [self._settings.audience]}
        status = self._review("authentication.k8s.io/v1", "tokenreviews", "TokenReview", spec)
        if status.get("authenticated") is not True:
            raise self._why_not(claims)
        if self._settings.audience not in status.get("audiences", ()):  # an API server that knows no audiences
            raise TokenRefused(TokenRefusal.AUDIENCE)
        # What is vouched for is the token: what it says of its audiences and dates holds.
        if not self._audiences(claims) <= {self._settings.audience, *self._settings.audiences}:
            raise TokenRefused(TokenRefusal.AUDIENCE, todo="ask for a token for Journeymesh alone")
        check_dates(claims, self._rules, self._now_s())
        return _user(self.name, status.get("user")), expires_at_s(claims, self._rules)

    def _why_not(self, claims: Mapping[str, Any]) -> TokenRefused:
        """The API server says only no. The token's own words give the likeliest reason, for whoever reads logs."""
        try:
            check_dates(claims, self._rules, self._now_s())
        except TokenRefused as refused:
            return refused
        if self._settings.audience not in self._audiences(claims):
            return TokenRefused(TokenRefusal.AUDIENCE)
        return TokenRefused(TokenRefusal.INACTIVE)

    def _audiences(self, claims: Mapping[str, Any]) -> frozenset[str]:
        audience = claims.get("aud")
        return frozenset(str(each) for each in (audience if isinstance(audience, list) else [audience]))

    def _belonging(self, user: _User) -> tuple[str, frozenset[str]]:
        """The one tenant and the domains that the user's groups mean."""
        tenants: set[str] = set()
        domains: set[str] = set()
        for group in user.groups:
            meaning = self._settings.groups.get(group)
            if meaning is not None:
                tenants |= {meaning.tenant} if meaning.tenant else set()
                domains |= meaning.domains
            for prefix, found in ((self._settings.tenant_prefix, tenants), (self._settings.domain_prefix, domains)):
                if prefix and group.startswith(prefix) and len(group) > len(prefix):
                    found.add(group.removeprefix(prefix))
        if len(tenants) != 1:
            raise TokenRefused(TokenRefusal.TENANT, todo="let exactly one of the groups mean a tenant")
        return tenants.pop(), frozenset(domains)

    def _allows(self, user: _User, capability: Capability) -> bool:
        spec = {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": user.extra,
            "resourceAttributes": {
                "group": API_GROUP,
                "resource": capability.resource,
                "verb": capability.verb,
                "name": capability.product,
            },
        }
        status = self._review("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", spec)
        return status.get("allowed") is True and status.get("denied", False) is False

    def _review(self, api: str, path: str, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"apiVersion": api, "kind": kind, "spec": spec}
        answer = self._asking.post_json(f"{self._settings.url}/apis/{api}/{path}", body, headers=self._credentials())
        status = answer.body.get("status") if answer.status == 201 and isinstance(answer.body, dict) else None
        if not isinstance(status, dict):
            raise ProviderUnavailable(self.name, _told(kind, answer))
        return status

    def _credentials(self) -> dict[str, str]:
        try:
            return {"Authorization": f"Bearer {self._settings.token_file.read_text('ascii').strip()}"}
        except (OSError, UnicodeError) as error:
            raise ProviderUnavailable(self.name, "our own token cannot be read") from error


def _user(provider: str, user: Any) -> _User:
    """The user of a TokenReview."""
    match user:
        case {"username": str(name)} if name:
            groups, extra, uid = user.get("groups") or [], user.get("extra") or {}, user.get("uid") or ""
            if isinstance(groups, list) and all(isinstance(group, str) for group in groups):
                return _User(name, str(uid), tuple(groups), extra if isinstance(extra, dict) else {})
    raise ProviderUnavailable(provider, "its review of a token cannot be read")


def _told(kind: str, answer: ProviderAnswer) -> str:
    if answer.status in (401, 403):
        return f"we may not ask for a {kind}: bind our service account to ClusterRole system:auth-delegator"
    return f"it answers {answer.status} to a {kind}"
