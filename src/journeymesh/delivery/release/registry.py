"""An OCI registry: tags, manifests and blobs over HTTP (OCI distribution specification 1.1).

What belongs to an image stands beside it under cosign's tags: ``sha256-<digest>.sig`` and ``.att``. A registry on this
machine (localhost, 127.0.0.1, [::1]) is asked over plain HTTP, any other over HTTPS. Credentials are Docker's own, from
``config.json`` (``auths``, ``credHelpers``, ``credsStore``).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urljoin

from journeymesh.delivery.images import ImageInvalid, PinnedImage
from journeymesh.delivery.programs import called
from journeymesh.errors import ExtraMissing, JourneymeshError, NotFound, StoreUnavailable

if TYPE_CHECKING:
    import httpx

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES: Final = (INDEX, DOCKER_LIST)
_ACCEPT: Final = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
_ON_THIS_MACHINE: Final = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_DOCKER_HUB: Final = "registry-1.docker.io"
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')
_LARGEST_MANIFEST: Final = 16 << 20


class RegistryUnavailable(StoreUnavailable):
    """A registry does not answer, or not as one."""


class RegistryDenies(JourneymeshError):
    """A registry wants other credentials."""


class NotInRegistry(NotFound):
    """A registry has no such image, tag or blob."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as the registry keeps it."""

    digest: str
    media_type: str
    content: Mapping[str, Any]


@dataclass
class Registry:
    """One repository of one registry. Close it, or use it in ``with``."""

    host: str
    repository: str
    _http: httpx.Client = field(repr=False)
    _token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, repository: str) -> Self:
        """For ``HOST/NAME``; without a host it is Docker Hub's, as Docker reads it.

        Raises:
            ExtraMissing: httpx is not installed.
        """
        try:
            import httpx
        except ImportError as error:
            raise ExtraMissing("httpx", "delivery") from error
        host, slash, name = repository.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, name = _DOCKER_HUB, repository if slash else f"library/{repository}"
        elif host in ("docker.io", "index.docker.io"):
            host, name = _DOCKER_HUB, name if "/" in name else f"library/{name}"
        scheme = "http" if _ON_THIS_MACHINE.fullmatch(host) else "https"
        http = httpx.Client(
            base_url=f"{scheme}://{host}/v2/{name}/",
            headers={"Accept-Encoding": "identity"},
            timeout=60.0,
            follow_redirects=True,
        )
        return cls(host, name, http)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def digest(self, tag: str) -> str:
        """The digest that this tag has now.

        Raises:
            NotInRegistry: there is no such tag.
        """
        return self.manifest(tag).digest

    def manifest(self, reference: str) -> Manifest:
        """The manifest of a tag or a digest, its bytes checked against the digest.

        Raises:
            NotInRegistry: it is not there. RegistryUnavailable: what came has another digest.
        """
        answer = self._ask("GET", f"manifests/{reference}", headers={"Accept": _ACCEPT})
        body = answer.content[:_LARGEST_MANIFEST]
        digest = _digest(body)
        if reference.startswith("sha256:") and digest != reference:
            raise RegistryUnavailable(
                f"{self.host} answers {reference} with {digest}", todo="do not trust this registry"
            )
        try:
            content = json.loads(body)
        except ValueError as error:
            raise RegistryUnavailable(
                f"{self.host}/{self.repository}:{reference} is not a manifest", todo=_TODO
            ) from error
        media_type = str(content.get("mediaType") or answer.headers.get("Content-Type", "").partition(";")[0])
        return Manifest(digest, media_type, content)

    def manifest_or_none(self, tag: str) -> Manifest | None:
        """The tag's manifest; None: there is no such tag."""
        try:
            return self.manifest(tag)
        except NotInRegistry:
            return None

    def blob(self, digest: str) -> bytes:
        """A blob, checked against its digest. For what is small; a layer comes by ``blob_to``."""
        body = self._ask("GET", f"blobs/{digest}").content
        if _digest(body) != digest:
            raise RegistryUnavailable(
                f"{self.host} returned other bytes for {digest}", todo="do not trust this registry"
            )
        return body

    def blob_to(self, digest: str, path: Path) -> None:
        """Write a blob to a file, checked against its digest."""
        reckoned = sha256()
        with path.open("wb") as file:
            for part in self._stream(f"blobs/{digest}"):
                reckoned.update(part)
                file.write(part)
        if f"sha256:{reckoned.hexdigest()}" != digest:
            raise RegistryUnavailable(
                f"{self.host} returned other bytes for {digest}", todo="do not trust this registry"
            )

    def push_blob(self, content: bytes) -> str:
        """Keep a blob; one that is there is not sent again. Returns its digest."""
        digest = _digest(content)
        try:
            self._ask("HEAD", f"blobs/{digest}")
            return digest
        except NotInRegistry:
            begun = self._ask("POST", "blobs/uploads/")
        if "Location" not in begun.headers:
            raise RegistryUnavailable(f"{self.host} returned no upload location", todo=_TODO)
        place = urljoin(str(begun.request.url), begun.headers["Location"])
        parted = "&" if "?" in place else "?"
        self._ask(
            "PUT",
            f"{place}{parted}digest={digest}",
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        return digest

    def push_manifest(self, tag: str, content: Mapping[str, Any]) -> str:
        """Give a manifest this tag. Returns its digest."""
        body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        self._ask("PUT", f"manifests/{tag}", content=body, headers={"Content-Type": str(content["mediaType"])})
        return _digest(body)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._faults():
            answer = self._http.request(method, path, **self._authorised(request))
            if answer.status_code == 401 and self._authorise(answer):
                answer = self._http.request(method, path, **self._authorised(request))
        self._check(answer, path)
        return answer

    def _stream(self, path: str) -> Iterator[bytes]:
        self._ask("HEAD", path)  # credentials are settled before the stream begins
        with self._faults(), self._http.stream("GET", path, **self._authorised({})) as answer:
            self._check(answer, path)
            yield from answer.iter_raw()

    def _check(self, answer: httpx.Response, path: str) -> None:
        where = f"{self.host}/{self.repository}"
        match answer.status_code:
            case 401 | 403:
                raise RegistryDenies(f"{where}: not allowed ({answer.status_code})", todo=f"docker login {self.host}")
            case 404:
                raise NotInRegistry(f"{where} has no {path.partition('/')[2]}", todo="push it, or correct its name")
            case status if status >= 400:
                raise RegistryUnavailable(f"{where}: {answer.request.method} {path} answers {status}", todo=_TODO)

    def _authorised(self, request: dict[str, Any]) -> dict[str, Any]:
        headers = dict(request.get("headers") or {})
        if self._token:
            headers["Authorization"] = self._token
        return {**request, "headers": headers}

    def _authorise(self, answer: httpx.Response) -> bool:
        """Take what the challenge asks for. False: there is nothing to give."""
        scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        credentials = docker_credentials(self.host)
        if scheme.lower() == "basic":
            self._token = _basic(*credentials) if credentials else None
            return credentials is not None
        asked = dict(_CHALLENGE.findall(rest))
        if scheme.lower() != "bearer" or "realm" not in asked:
            return False
        headers = {"Authorization": _basic(*credentials)} if credentials else {}
        parameters = {
            "service": asked.get("service", ""),
            "scope": asked.get("scope") or f"repository:{self.repository}:pull,push",
        }
        given = self._http.get(asked["realm"], params=parameters, headers=headers)
        if given.is_error:
            return False
        try:
            token = given.json()
            self._token = f"Bearer {token.get('token') or token['access_token']}"
        except (ValueError, KeyError, AttributeError):
            return False
        return True

    def _faults(self) -> _Faults:
        return _Faults(self.host)


class _Faults:
    """httpx's errors, in our words."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        import httpx

        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            raise RegistryUnavailable(f"{self.host} does not answer ({error})", todo=_TODO) from error


_TODO: Final = "check that the registry runs and its address is right"


def beside(digest: str, kind: str) -> str:
    """Cosign's tag for what belongs to an image: ``sig`` signatures, ``att`` attestations."""
    return f"{digest.replace(':', '-')}.{kind}"


def resolve(reference: str) -> PinnedImage:
    """An image by its digest; a tag is looked up now.

    Raises:
        ImageInvalid: neither. NotInRegistry: there is no such tag.
    """
    if "@" in reference:
        return PinnedImage.parse(reference)
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        raise ImageInvalid(
            f"{reference} has neither a tag nor a digest", todo="give HOST/NAME:TAG or HOST/NAME@sha256:…"
        )
    with Registry.of(repository) as registry:
        return PinnedImage(repository, registry.digest(tag))


def docker_credentials(host: str) -> tuple[str, str] | None:
    """User and password that Docker's configuration has for this registry."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    names = [host] if host != _DOCKER_HUB else ["https://index.docker.io/v1/", "docker.io", host]
    for name in names:
        kept_by = (config.get("credHelpers") or {}).get(name) or config.get("credsStore")
        if kept_by:
            try:
                found = json.loads(called([f"docker-credential-{kept_by}", "get"], given=name))
                return str(found["Username"]), str(found["Secret"])
            except (JourneymeshError, ValueError, KeyError):
                continue
        entry = (config.get("auths") or {}).get(name) or (config.get("auths") or {}).get(f"https://{name}")
        if entry and entry.get("auth"):
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            return user, password
    return None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"
