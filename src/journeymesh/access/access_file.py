"""The access file: who vouches for identities, where approvals and the audit are, and by which keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from journeymesh.databases.database import url_beside
from journeymesh.errors import UsageError
from journeymesh.yaml_files import read_yaml

DEFAULT_AUDIENCE: Final = "journeymesh"


_API_SERVER: Final = re.compile(r"kubernetes(\.default(\.svc(\..+)?)?)?", re.I)
"""Names under which an API server is known inside its cluster."""


class AccessInvalid(UsageError):
    """An access file cannot be used."""


class StaticPeople(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="static"
):
    """People in a YAML file, their tokens signed by a key of ours: for laptops and tests.

    ``people`` is that file; ``key`` a PEM file, the private key where tokens are minted, the public one elsewhere.
    """

    name: str
    issuer: str
    people: str
    key: str
    tenants: tuple[str, ...] | None = None


class OpenIdConnect(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="oidc"
):
    """Keycloak: tokens checked here by its published keys, capabilities asked of its Authorization Services.

    ``internal_url`` is where this process reaches the realm, left out where that is the issuer's own address;
    ``ca_file`` whom to trust for TLS instead of the system. ``person_claim`` is the claim with an id that is the
    person's at every provider, such as a staff number: nobody approves their own request by another account.
    """

    name: str
    issuer: str
    internal_url: str | None = None
    ca_file: str | None = None
    tenant_claim: str = "tenant"
    domains_claim: str = "domains"
    person_claim: str | None = None
    tenants: tuple[str, ...] | None = None


class GroupMeans(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What being in a group of Kubernetes says: a tenant, domains, or both."""

    tenant: str | None = None
    domains: tuple[str, ...] = ()


class KubernetesRbac(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="kubernetes"
):
    """A Kubernetes API server: tokens by TokenReview, capabilities by SubjectAccessReview.

    Without ``url`` it is the one of the cluster that this process runs in, asked as the pod's own service account.
    ``groups`` says what groups mean, by name; ``system:serviceaccounts:NAMESPACE`` is a namespace's service accounts.
    ``audiences`` are those that a token may have beside the file's ``audience``; a token for anybody else as well, such
    as the API server, is refused.
    """

    name: str
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    url: str | None = None
    ca_file: str | None = None
    token_file: str | None = None
    groups: dict[str, GroupMeans] = {}
    audiences: tuple[str, ...] = ()
    tenants: tuple[str, ...] | None = None


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files with keys: ``pseudonyms`` (64 hexadecimal digits or more), ``checkpoints`` (a PEM with an Ed25519 key)."""

    pseudonyms: str
    checkpoints: str


class AccessFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a decision needs. ``${VARIABLE}`` is taken from the environment, paths are relative to the file.

    - ``database``: approvals and the audit, ``sqlite:///FILE`` or ``postgresql://…``
    - ``checkpoints``: the folder where signed heads of the audit are kept; best on another machine's disk
    - ``audience``: what a token has to be meant for
    - ``contract``, ``purposes``: files that replace those that Journeymesh brings along
    - ``cedar``: a folder of further Cedar policies
    """

    version: Literal[1]
    database: str
    checkpoints: str
    keys: Keys
    providers: tuple[StaticPeople | OpenIdConnect | KubernetesRbac, ...]
    audience: str = DEFAULT_AUDIENCE
    contract: str | None = None
    purposes: str | None = None
    cedar: str | None = None

    def static_people(self, path: str | Path, name: str | None = None) -> StaticPeople:
        """The one static provider, of this name where one is given; ``path`` is the file's, for the error.

        Raises:
            AccessInvalid: there is none, or several and no name was given.
        """
        found = [each for each in self.providers if isinstance(each, StaticPeople) and name in (None, each.name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise AccessInvalid(f"access {path} has several static providers", todo="name one by --provider")
        named = "" if name is None else f" {name!r}"
        raise AccessInvalid(f"access {path} has no static provider{named}", todo="get a token from its providers")


def load_access_file(path: str | Path) -> AccessFile:
    """The access file, variables and relative paths resolved.

    Raises:
        AccessInvalid: naming the file, the place in it and what to do.
    """
    held = read_yaml(path, AccessFile, called="access", invalid=AccessInvalid, see="docs/reference/access")
    if not held.providers:
        raise AccessInvalid(f"access {path}: providers is empty, so nobody can sign in", todo="name one")
    for each in held.providers:
        if isinstance(each, KubernetesRbac) and (each.url is None) != (each.token_file is None):
            raise AccessInvalid(
                f"access {path}: provider {each.name!r} has one of url and token_file",
                todo="give both, or neither inside the cluster",
            )
    for each in held.providers:
        if isinstance(each, KubernetesRbac):
            _check_audiences(path, each, held.audience)
    names = [provider.name for provider in held.providers]
    for name in names:
        if names.count(name) > 1:
            raise AccessInvalid(f"access {path}: two providers are called {name!r}", todo="give each its own name")
    return _beside(held, Path(path).resolve().parent)


def _check_audiences(path: str | Path, provider: KubernetesRbac, audience: str) -> None:
    """An API server takes tokens for its issuer, and those for ``kubernetes.default.svc``, as its own."""
    for each in (audience, *provider.audiences):
        host = each.partition("://")[2].partition("/")[0].partition(":")[0] or each
        if each in (provider.issuer, provider.url) or _API_SERVER.fullmatch(host):
            raise AccessInvalid(
                f"access {path}: provider {provider.name!r}: audience {each!r} is the API server's own",
                todo="name an audience that only Journeymesh accepts, such as journeymesh",
            )


def access_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of an access file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://journeymesh.example/schemas/access-1.json",
        "title": "Journeymesh access file",
        **msgspec.json.schema(AccessFile),
    }


def _beside(held: AccessFile, folder: Path) -> AccessFile:
    """The file with its relative paths made absolute."""

    def path(value: str | None) -> str | None:
        return None if value is None else str(folder / value)

    return msgspec.structs.replace(
        held,
        database=url_beside(held.database, folder),
        checkpoints=str(folder / held.checkpoints),
        keys=Keys(pseudonyms=str(folder / held.keys.pseudonyms), checkpoints=str(folder / held.keys.checkpoints)),
        providers=tuple(_provider_beside(each, folder) for each in held.providers),
        contract=path(held.contract),
        purposes=path(held.purposes),
        cedar=path(held.cedar),
    )


def _provider_beside(
    held: StaticPeople | OpenIdConnect | KubernetesRbac, folder: Path
) -> StaticPeople | OpenIdConnect | KubernetesRbac:
    def path(value: str | None) -> str | None:
        return None if value is None else str(folder / value)

    match held:
        case StaticPeople():
            return msgspec.structs.replace(held, people=path(held.people), key=path(held.key))
        case OpenIdConnect():
            return msgspec.structs.replace(held, ca_file=path(held.ca_file))
        case KubernetesRbac():
            return msgspec.structs.replace(held, ca_file=path(held.ca_file), token_file=path(held.token_file))
