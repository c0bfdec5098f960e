"""Signatures, bills of materials and provenance in a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.docker_registry import PYTHON_AND_DEBIAN, DockerRegistry

from journeymesh.delivery.images import ImageInvalid, PinnedImage
from journeymesh.delivery.release.attestations import attest
from journeymesh.delivery.release.envelopes import Statement
from journeymesh.delivery.release.keys import SigningKey, TrustedKey, make_key_pair
from journeymesh.delivery.release.provenance import ImageSource, built, taken_over
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.release.registry import (
    NotInRegistry,
    Registry,
    RegistryDenies,
    RegistryUnavailable,
    beside,
    resolve,
)
from journeymesh.delivery.release.sbom import CYCLONEDX, image_sbom, sbom_statement
from journeymesh.delivery.release.signatures import sign_image
from journeymesh.delivery.release.verify import verify_image


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with closing(DockerRegistry(tmp_path_factory.mktemp("registry"))) as running:
        yield running


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.read(make_key_pair(tmp_path / "keys")[0])


@pytest.fixture
def image(registry: DockerRegistry, request: pytest.FixtureRequest) -> PinnedImage:
    """An image of this test alone."""
    return registry.push("journeymesh", PYTHON_AND_DEBIAN, {"name": request.node.name.encode()})


SOURCE = ImageSource(
    "https://git.example/journeymesh.git", "c0ffee", "Dockerfile", f"sha256:{'1' * 64}", ("python:3.11",)
)


def trust(key: SigningKey) -> tuple[TrustedKey, ...]:
    return (TrustedKey("ci.pub", key.key.public_key()),)


def attest_all(image: PinnedImage, key: SigningKey) -> None:
    sign_image(image, key)
    attest(image, sbom_statement(image, image_sbom(image)), key)
    attest(image, built(image, SOURCE, "https://ci.example/builder", {"python:3.11": f"sha256:{'2' * 64}"}), key)


def test_an_image_that_is_signed_and_attested_verifies(image: PinnedImage, key: SigningKey) -> None:
    attest_all(image, key)
    seen = verify_image(image, trust(key))
    assert (seen.signed_by, seen.components, seen.builder) == ("ci.pub", 2, "https://ci.example/builder")
    assert seen.source == "git+https://git.example/journeymesh.git@c0ffee"


def test_signing_and_attesting_twice_changes_nothing(image: PinnedImage, key: SigningKey) -> None:
    attest_all(image, key)
    with Registry.of(image.repository) as registry:
        before = [registry.digest(beside(image.digest, kind)) for kind in ("sig", "att")]
        attest_all(image, key)
        assert [registry.digest(beside(image.digest, kind)) for kind in ("sig", "att")] == before


def test_everything_that_is_missing_is_named_at_once(image: PinnedImage, key: SigningKey) -> None:
    with pytest.raises(ReleaseRefused) as refused:
        verify_image(image, trust(key))
    told = str(refused.value)
    assert "has no signature" in told
    assert "no trusted attestation https://cyclonedx.org/bom" in told
    assert "no trusted attestation https://slsa.dev/provenance/v1" in told


def test_a_signature_by_a_key_that_is_not_trusted_does_not_count(
    image: PinnedImage, key: SigningKey, tmp_path: Path
) -> None:
    attest_all(image, key)
    other = SigningKey.read(make_key_pair(tmp_path / "other")[0])
    with pytest.raises(ReleaseRefused, match="none by a key of release/keys"):
        verify_image(image, trust(other))


def test_a_second_signature_stands_beside_the_first(image: PinnedImage, key: SigningKey, tmp_path: Path) -> None:
    other = SigningKey.read(make_key_pair(tmp_path / "other")[0])
    attest_all(image, key)
    sign_image(image, other)
    assert verify_image(image, (*trust(other), *trust(key))).signed_by == "ci.pub"
    with Registry.of(image.repository) as registry:
        assert len(registry.manifest(beside(image.digest, "sig")).content["layers"]) == 2


def test_a_signature_moved_to_another_image_does_not_count(
    registry: DockerRegistry, image: PinnedImage, key: SigningKey
) -> None:
    attest_all(image, key)
    evil = registry.push("journeymesh", {"bin/evil": b"#!"})
    with Registry.of(image.repository) as held:
        for kind in ("sig", "att"):
            held.push_manifest(beside(evil.digest, kind), held.manifest(beside(image.digest, kind)).content)
    with pytest.raises(ReleaseRefused) as refused:
        verify_image(evil, trust(key))
    assert "none by a key of release/keys for this digest" in str(refused.value)
    assert str(refused.value).count("is about another digest") == 2


def test_an_empty_bill_of_materials_does_not_verify(image: PinnedImage, key: SigningKey) -> None:
    attest_all(image, key)
    attest(image, Statement(CYCLONEDX, {"bomFormat": "CycloneDX"}, {image.repository: image.digest}), key)
    with pytest.raises(ReleaseRefused, match="its SBOM names no component"):
        verify_image(image, trust(key))


def test_an_image_taken_over_unchanged_says_from_where(image: PinnedImage, key: SigningKey) -> None:
    attest_all(image, key)
    attest(image, taken_over(image, PinnedImage("docker.io/library/it", image.digest), "https://x.example"), key)
    assert verify_image(image, trust(key)).source.startswith("oci://docker.io/library/it@")
    with pytest.raises(ReleaseRefused, match="copy it unchanged"):
        taken_over(image, PinnedImage("docker.io/library/it", f"sha256:{'3' * 64}"), "https://x.example")


def test_a_bill_of_materials_names_python_and_debian_packages(image: PinnedImage) -> None:
    document = image_sbom(image)
    assert document == image_sbom(image)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["timestamp"].startswith("2026-01-02T03:04:05")
    assert {each["purl"] for each in document["components"]} == {
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
        "pkg:pypi/httpx-core@1.0",
    }


def test_a_package_that_a_later_layer_removes_is_not_in_the_bill(registry: DockerRegistry) -> None:
    place = "opt/venv/lib/python3.11/site-packages"
    removed = {f"{place}/.wh.HTTPx_core-1.0.dist-info": b""}
    added = {f"{place}/later-2.dist-info/METADATA": b"Name: later\nVersion: 2\n"}
    image = registry.push("layered", PYTHON_AND_DEBIAN, removed, added)
    names = {each["name"] for each in image_sbom(image)["components"]}
    assert names == {"libc6", "later"}


def test_an_opaque_folder_hides_what_was_below_it(registry: DockerRegistry) -> None:
    added = {"opt/.wh..wh..opq": b"", "opt/x/later-2.dist-info/METADATA": b"Name: later\nVersion: 2\n"}
    image = registry.push("opaque", PYTHON_AND_DEBIAN, added)
    assert {each["name"] for each in image_sbom(image)["components"]} == {"libc6", "later"}


def test_a_bill_of_materials_is_valid_cyclonedx(image: PinnedImage) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(image_sbom(image)))
    assert fault is None


def test_a_tag_is_looked_up_once_and_then_is_a_digest(registry: DockerRegistry) -> None:
    image = registry.push("tagged", {"a": b"1"}, tag="v1")
    assert resolve(f"{registry.host}/tagged:v1") == image
    with pytest.raises(NotInRegistry):
        resolve(f"{registry.host}/tagged:v2")
    with pytest.raises(ImageInvalid):
        resolve(f"{registry.host}/tagged")


def test_a_registry_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(RegistryUnavailable, match="localhost:1 does not answer"):
        resolve("localhost:1/journeymesh:v1")
    with pytest.raises(RegistryUnavailable, match=r"registry\.invalid does not answer"):
        resolve("registry.invalid/journeymesh:v1")


def test_credentials_come_from_dockers_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bcrypt_of_secret = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
    (tmp_path / "htpasswd").write_text(f"ada:{bcrypt_of_secret}\n")
    auth = f"auth: {{htpasswd: {{realm: test, path: {tmp_path / 'htpasswd'}}}}}\n"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with closing(DockerRegistry(tmp_path / "registry", auth)) as guarded:
        with pytest.raises(RegistryDenies, match="docker login"):
            guarded.push("journeymesh", {"a": b"1"})
        (tmp_path / "config.json").write_text(json.dumps({"auths": {guarded.host: {"auth": "YWRhOnNlY3JldA=="}}}))
        image = guarded.push("journeymesh", {"a": b"1"})
        assert resolve(f"{guarded.host}/journeymesh:latest") == image
