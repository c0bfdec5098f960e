"""The Kubernetes cluster that tests may use: ``JOURNEYMESH_TEST_KUBECONFIG`` or ``KUBECONFIG`` names it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


class Cluster:
    """Its API server, as the kubeconfig's current user. What is made here is removed by ``close``."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text("utf-8"))
        context = _named(document["contexts"], document.get("current-context"))["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        self.url = str(cluster["server"])
        self.ca_file = _file(cluster, "certificate-authority", kubeconfig, folder)
        trusted = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        if not headers:
            certificate, key = (_file(user, name, kubeconfig, folder) for name in ("client-certificate", "client-key"))
            trusted.load_cert_chain(certificate, key)
        self._http = httpx.Client(base_url=self.url, verify=trusted, headers=headers, timeout=30)
        self._made: list[str] = []
        self.run = secrets.token_hex(4)
        """Part of every name that is made, so that two runs do not meet."""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The API server's answer."""
        answer = self._http.request(method, path, json=body)
        assert not answer.is_error, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def tell(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        parameters: dict[str, str] | None = None,
        content_type: str = "application/json",
        impersonating: str = "",
    ) -> httpx.Response:
        """The API server's answer, whatever it is. ``impersonating``: as this user, with an administrator's rights."""
        headers = {"Content-Type": content_type}
        if impersonating:
            headers |= {"Impersonate-User": impersonating, "Impersonate-Group": "system:masters"}
        content = None if body is None else json.dumps(body).encode()
        return self._http.request(method, path, content=content, params=parameters, headers=headers)

    @property
    def issuer(self) -> str:
        """Of service accounts' tokens."""
        return str(self.ask("GET", "/.well-known/openid-configuration")["issuer"])

    def make(self, document: dict[str, Any]) -> str:
        """Create an object. Returns its path."""
        place = _PATHS[document["kind"]].format(namespace=document["metadata"].get("namespace", ""))
        self.ask("POST", place, document)
        path = f"{place}/{document['metadata']['name']}"
        self._made.append(path)
        return path

    def make_namespace(self, name: str) -> str:
        """A namespace of this run. Returns its name."""
        whole = f"jm-{name}-{self.run}"
        self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": whole}})
        return whole

    def make_account(self, namespace: str, name: str) -> str:
        """A service account. Returns its path."""
        metadata = {"namespace": namespace, "name": name}
        return self.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    def bind(self, role: str, namespace: str, account: str) -> str:
        """Give a service account a ClusterRole. Returns the binding's path."""
        return self.make(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"jm-{self.run}-{secrets.token_hex(4)}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
            }
        )

    def token(self, account: str, audience: str | None = "journeymesh", seconds: int = 600) -> str:
        """A service account's token by TokenRequest. ``audience`` None: the API server's own."""
        spec = {"expirationSeconds": seconds} | ({"audiences": [audience]} if audience else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.ask("POST", f"{account}/token", body)["status"]["token"])

    def remove(self, path: str) -> None:
        """Delete an object."""
        self._http.delete(path)
        if path in self._made:
            self._made.remove(path)

    def close(self) -> None:
        """Delete what was made."""
        for path in reversed(self._made):
            self._http.delete(path)
        self._http.close()


def cluster_for_tests(folder: Path) -> Cluster:
    """The cluster, or a skip that says why."""
    named = os.environ.get("JOURNEYMESH_TEST_KUBECONFIG") or os.environ.get("KUBECONFIG")
    if not named:
        pytest.skip("JOURNEYMESH_TEST_KUBECONFIG and KUBECONFIG are unset")
    kubeconfig = Path(named.split(os.pathsep)[0])
    if not kubeconfig.exists():
        pytest.skip(f"the kubeconfig does not exist: {kubeconfig.name}")
    cluster = Cluster(kubeconfig, folder)
    try:
        cluster.ask("GET", "/version")
    except httpx.HTTPError as error:
        pytest.skip(f"the cluster does not answer ({type(error).__name__})")
    return cluster


def _named(entries: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    return next((entry for entry in entries if entry["name"] == name), entries[0])


def _file(entry: dict[str, Any], name: str, kubeconfig: Path, folder: Path) -> Path:
    """A file that a kubeconfig names, or holds itself."""
    if inline := entry.get(f"{name}-data"):
        path = folder / name
        path.write_bytes(base64.b64decode(inline))
        return path
    return kubeconfig.parent / str(entry[name])
