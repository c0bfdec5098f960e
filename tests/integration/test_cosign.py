"""Cosign itself beside ours: each verifies what the other signed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.docker_registry import PYTHON_AND_DEBIAN, DockerRegistry

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.attestations import attest, attested
from journeymesh.delivery.release.keys import SigningKey, TrustedKey, make_key_pair, public_key
from journeymesh.delivery.release.provenance import ImageSource, built
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.release.registry import Registry
from journeymesh.delivery.release.sbom import CYCLONEDX, check_sbom, image_sbom, sbom_statement
from journeymesh.delivery.release.signatures import sign_image, signed_by

OFFLINE = ("--insecure-ignore-tlog", "--allow-http-registry")


@dataclass
class Cosign:
    """The program, in a home of its own."""

    home: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"HOME": str(self.home), "COSIGN_PASSWORD": "", "DOCKER_CONFIG": str(self.home)}
        return subprocess.run(
            ["cosign", *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    if shutil.which("cosign") is None:
        pytest.skip("cosign is not installed")
    return Cosign(tmp_path)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with closing(DockerRegistry(tmp_path_factory.mktemp("registry"))) as running:
        yield running


@pytest.fixture
def image(registry: DockerRegistry, request: pytest.FixtureRequest) -> PinnedImage:
    return registry.push("journeymesh", PYTHON_AND_DEBIAN, {"name": request.node.name.encode()})


def test_cosign_verifies_our_signature(cosign: Cosign, image: PinnedImage, tmp_path: Path) -> None:
    private, public = make_key_pair(tmp_path / "keys")
    before = cosign("verify", "--key", str(public), *OFFLINE, str(image))
    assert before.returncode != 0
    sign_image(image, SigningKey.read(private))
    done = cosign("verify", "--key", str(public), *OFFLINE, str(image))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["critical"]["image"]["docker-manifest-digest"] == image.digest


def test_cosign_refuses_our_signature_by_another_key(cosign: Cosign, image: PinnedImage, tmp_path: Path) -> None:
    sign_image(image, SigningKey.read(make_key_pair(tmp_path / "keys")[0]))
    other = make_key_pair(tmp_path / "other")[1]
    assert cosign("verify", "--key", str(other), *OFFLINE, str(image)).returncode != 0


def test_cosign_verifies_our_bill_of_materials_and_provenance(
    cosign: Cosign, image: PinnedImage, tmp_path: Path
) -> None:
    private, public = make_key_pair(tmp_path / "keys")
    key = SigningKey.read(private)
    attest(image, sbom_statement(image, image_sbom(image)), key)
    source = ImageSource("https://git.example/it.git", "c0ffee", "Dockerfile", f"sha256:{'1' * 64}", ("debian:12",))
    attest(image, built(image, source, "https://ci.example", {}), key)
    for kind in ("cyclonedx", "slsaprovenance1"):
        done = cosign("verify-attestation", "--type", kind, "--key", str(public), *OFFLINE, str(image))
        assert done.returncode == 0, done.stderr


def test_we_verify_what_cosign_signed(cosign: Cosign, image: PinnedImage, tmp_path: Path) -> None:
    assert cosign("generate-key-pair").returncode == 0
    done = cosign("sign", "--key", "cosign.key", "--tlog-upload=false", "--yes", "--allow-http-registry", str(image))
    assert done.returncode == 0, done.stderr
    with Registry.of(image.repository) as registry:
        assert signed_by(registry, image, [public_key(tmp_path / "cosign.pub")]).name == "cosign.pub"
        stranger = SigningKey.read(make_key_pair(tmp_path / "keys")[0])
        with pytest.raises(ReleaseRefused, match="none by a key"):
            signed_by(registry, image, [TrustedKey("other.pub", stranger.key.public_key())])


def test_we_read_a_bill_of_materials_that_cosign_attested(cosign: Cosign, image: PinnedImage, tmp_path: Path) -> None:
    assert cosign("generate-key-pair").returncode == 0
    (tmp_path / "bom.json").write_text(json.dumps(image_sbom(image)))
    done = cosign(
        "attest", "--type", "cyclonedx", "--predicate", "bom.json", "--key", "cosign.key",
        "--tlog-upload=false", "--yes", "--allow-http-registry", str(image),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Registry.of(image.repository) as registry:
        statement, by = attested(registry, image, CYCLONEDX, [public_key(tmp_path / "cosign.pub")])
    check_sbom(statement)
    assert by.name == "cosign.pub"


def test_our_key_signs_by_cosign_too(cosign: Cosign, image: PinnedImage, tmp_path: Path) -> None:
    private, public = make_key_pair(tmp_path / "keys")
    assert cosign("import-key-pair", "--key", str(private), "--output-key-prefix", "imported").returncode == 0
    done = cosign("sign", "--key", "imported.key", "--tlog-upload=false", "--yes", "--allow-http-registry", str(image))
    assert done.returncode == 0, done.stderr
    with Registry.of(image.repository) as registry:
        assert signed_by(registry, image, [public_key(public)]).name == "release.pub"
