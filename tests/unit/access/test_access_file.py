"""The access file: what is filled in, what is refused, and how it says so."""

from pathlib import Path

import pytest

from journeymesh.access.access_file import AccessInvalid, OpenIdConnect, StaticPeople, load_access_file

WHOLE = """
version: 1
database: sqlite:///access.db
checkpoints: checkpoints
keys: {pseudonyms: keys/pseudonyms.key, checkpoints: keys/checkpoints.pem}
providers:
  - {kind: static, name: local, issuer: "https://people.example", people: people.yaml, key: keys/people.pem}
  - {kind: oidc, name: keycloak, issuer: "${ISSUER}", tenants: [northern]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "access.yaml"
    path.write_text(text)
    return path


def test_paths_are_beside_the_file_and_variables_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISSUER", "https://id.example/realms/journeymesh")
    held = load_access_file(written(tmp_path, WHOLE))
    assert held.database == f"sqlite:///{tmp_path}/access.db"
    assert held.checkpoints == f"{tmp_path}/checkpoints"
    assert held.audience == "journeymesh"
    people, keycloak = held.providers
    assert isinstance(people, StaticPeople)
    assert (people.people, people.key) == (f"{tmp_path}/people.yaml", f"{tmp_path}/keys/people.pem")
    assert isinstance(keycloak, OpenIdConnect)
    assert (keycloak.issuer, keycloak.tenants) == ("https://id.example/realms/journeymesh", ("northern",))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: keycloak", "name: local"), "two providers are called 'local'"),
        (("kind: oidc", "kind: saml"), r"providers\[1\].*saml"),
        (("version: 1", "version: 2"), "version: invalid"),
        (("database:", "databse:"), "databse"),
        (("${ISSUER}", "${NOBODY_SETS_THIS}"), "the environment has no NOBODY_SETS_THIS"),
    ],
)
def test_what_cannot_be_used_is_refused_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], told: str
) -> None:
    monkeypatch.setenv("ISSUER", "https://id.example")
    with pytest.raises(AccessInvalid, match=told):
        load_access_file(written(tmp_path, WHOLE.replace(*change)))


@pytest.mark.parametrize(
    "audience",
    [
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc",
        "https://Kubernetes.default.svc:443/",
        "kubernetes.default.svc",
        "https://cluster.example",
    ],
)
def test_an_audience_of_kubernetes_cannot_be_the_api_server(tmp_path: Path, audience: str) -> None:
    kubernetes = f'  - {{kind: kubernetes, name: k, issuer: "https://cluster.example", audiences: ["{audience}"]}}\n'
    text = WHOLE.partition("providers:")[0] + "providers:\n" + kubernetes
    with pytest.raises(AccessInvalid, match="is the API server's own"):
        load_access_file(written(tmp_path, text))
    with pytest.raises(AccessInvalid, match="is the API server's own"):
        load_access_file(written(tmp_path, f'audience: "{audience}"\n' + text.replace(f'["{audience}"]', "[vault]")))
    assert load_access_file(written(tmp_path, text.replace(f'["{audience}"]', "[vault]"))).providers


def test_without_providers_nobody_gets_in_and_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessInvalid, match="providers is empty"):
        load_access_file(written(tmp_path, WHOLE.partition("providers:")[0] + "providers: []\n"))
