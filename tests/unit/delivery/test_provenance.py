from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.envelopes import Statement
from journeymesh.delivery.release.provenance import (
    SLSA,
    base_digests,
    bases_of,
    built,
    check_provenance,
    source_at,
)
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.errors import NotFound, UsageError
from journeymesh.safe_text import shown_url
from tests.support.released_trees import ONE, TWO, Checkout, git

IMAGE = PinnedImage("registry.example/journeymesh", ONE)
DOCKERFILE = """\
# FROM comment:1
FROM --platform=linux/amd64 python:3.11-slim AS build
FROM build AS warm
from node:20
FROM scratch
COPY --from=build /x /x
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_bases_are_what_comes_from_elsewhere() -> None:
    assert bases_of(DOCKERFILE) == ("node:20", "python:3.11-slim")


def test_provenance_names_commit_dockerfile_and_bases_with_their_digests(checkout: Checkout) -> None:
    checkout.write("Dockerfile", DOCKERFILE)
    commit = checkout.commit()
    checkout.write("Dockerfile", "FROM changed:since\n")
    git(checkout.root, "remote", "add", "origin", "https://ada:secret@git.example/it.git")
    statement = built(IMAGE, source_at(checkout.tree), "https://ci.example", base_digests([f"node:20@{TWO}"]))
    check_provenance(statement)
    materials = statement.predicate["buildDefinition"]["resolvedDependencies"]
    assert materials[0] == {"uri": "git+https://git.example/it.git", "digest": {"gitCommit": commit}}
    assert materials[1]["uri"].endswith("#Dockerfile")
    assert materials[2:] == [{"uri": "oci://node:20", "digest": {"sha256": TWO[7:]}}, {"uri": "oci://python:3.11-slim"}]
    assert b"secret" not in statement.encoded()


def test_a_dockerfile_that_the_commit_does_not_have_is_named(checkout: Checkout) -> None:
    with pytest.raises(NotFound, match="--dockerfile"):
        source_at(checkout.tree)
    with pytest.raises(UsageError, match="no commit nowhere"):
        source_at(checkout.tree, "nowhere")


def test_a_repository_without_a_remote_has_to_be_named(checkout: Checkout) -> None:
    checkout.write("Dockerfile", "FROM scratch\n")
    checkout.commit()
    with pytest.raises(NotFound, match="--source"):
        source_at(checkout.tree)
    assert source_at(checkout.tree, repository="ssh://git@git.example/x").repository == "ssh://git.example/x"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://token@git.example/a.git", "https://git.example/a.git"),
        ("git@git.example:a.git", "git@git.example:a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
    ],
)
def test_addresses_lose_their_credentials(address: str, public: str) -> None:
    assert shown_url(address) == public


@pytest.mark.parametrize(
    ("predicate", "says"),
    [
        ({}, "names no builder and names no commit"),
        ({"runDetails": {"builder": {"id": "x"}}}, "names no commit"),
        ({"buildDefinition": {"resolvedDependencies": [{"digest": {"gitCommit": "c"}}]}}, "names no builder"),
    ],
)
def test_provenance_that_does_not_say_who_or_of_what_is_refused(predicate: dict[str, object], says: str) -> None:
    with pytest.raises(ReleaseRefused, match=says):
        check_provenance(Statement(SLSA, predicate, {"x": ONE}))


def test_a_base_without_a_digest_is_refused() -> None:
    with pytest.raises(UsageError, match="has no digest"):
        base_digests(["python:3.11"])
