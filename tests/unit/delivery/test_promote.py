from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.release.commits import changes
from journeymesh.delivery.release.evidence import evidence_path
from journeymesh.delivery.release.promote import ImageMove, commit_moves, first_release, images_by_name, promotion
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.errors import JourneymeshError, UsageError
from tests.support.released_trees import ONE, PLACEHOLDER, THREE, TWO, Checkout, every_image_verifies, git


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def promote(checkout: Checkout, lower: str = "dev", upper: str = "test") -> list[ImageMove]:
    moves = promotion(checkout.tree, "journeyapi", lower, upper, every_image_verifies)
    with changes(checkout.tree) as made:
        commit_moves(made, "journeyapi", upper, moves, "Promote")
        made.keep()
    return moves


def refusal(checkout: Checkout, lower: str = "dev", upper: str = "test") -> str:
    with pytest.raises(ReleaseRefused) as refused:
        promotion(checkout.tree, "journeyapi", lower, upper, every_image_verifies)
    assert refused.value.exit_code == 7
    return str(refused.value)


def test_a_promotion_changes_only_the_digests_of_the_next_overlay(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    overlay = "customization/services/journeyapi/overlays/test/kustomization.yaml"
    before = checkout.read(overlay)
    promote(checkout)
    changed = [
        (one, two)
        for one, two in zip(before.splitlines(), checkout.read(overlay).splitlines(), strict=True)
        if one != two
    ]
    assert changed == [(f"    digest: {PLACEHOLDER}", f"    digest: {digest}") for digest in (ONE, TWO)]


def test_the_approval_is_committed_before_the_digest(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    promote(checkout)
    files = [git(checkout.root, "show", "--name-only", "--format=", at).split() for at in ("HEAD~1", "HEAD")]
    assert files == [
        ["release/test/approved-digests", "release/test/kustomization.yaml"],
        ["customization/services/journeyapi/overlays/test/kustomization.yaml"],
    ]
    assert ApprovedDigests(checkout.tree, "test").entries() == {(ONE, "journeymesh"), (TWO, "journeymesh-e2e")}


def test_a_promotion_says_what_why_and_who(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    tested = git(checkout.root, "rev-parse", "HEAD~1")
    promote(checkout)
    message = git(checkout.root, "log", "-1", "--format=%B")
    assert message.splitlines()[0] == "Promote journeyapi to test"
    for part in (
        f"Digest: {ONE}",
        f"release/dev/passed/journeyapi/{ONE[7:]}.json",
        tested[:12],
        "ci.pub",
        "By: Ada <ada@example.org>",
    ):
        assert part in message


def test_what_did_not_pass_below_is_refused(checkout: Checkout) -> None:
    told = refusal(checkout)
    assert f"journeymesh: no e2e evidence of {ONE[:19]}… in dev" in told
    assert "journeymesh-e2e: no e2e evidence" in told


def test_evidence_of_another_environment_is_refused(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    promote(checkout)
    for digest in (ONE, TWO):
        place = evidence_path(checkout.tree, "test", "journeyapi", digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(evidence_path(checkout.tree, "dev", "journeyapi", digest).read_bytes())
    checkout.commit("Copy the evidence of dev")
    assert "is about customization/services/journeyapi/overlays/dev" in refusal(checkout, "test", "prod")


def test_evidence_that_was_changed_is_refused(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    place = evidence_path(checkout.tree, "dev", "journeyapi", ONE)
    place.write_bytes(evidence_path(checkout.tree, "dev", "journeyapi", TWO).read_bytes())
    checkout.commit("Give it the evidence of the other")
    assert "is about another digest" in refusal(checkout)


def test_evidence_of_a_key_that_is_no_longer_trusted_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pass_in("dev")
    (tmp_path / "second").mkdir()
    stranger = Checkout(tmp_path / "second")
    checkout.write("release/keys/ci.pub", stranger.read("release/keys/ci.pub"))
    checkout.commit("Rotate the key")
    assert "signed by no key of release/keys" in refusal(checkout)


@pytest.mark.parametrize(("lower", "upper"), [("dev", "prod"), ("test", "dev"), ("prod", "test"), ("dev", "dev")])
def test_environments_are_taken_one_step_at_a_time(checkout: Checkout, lower: str, upper: str) -> None:
    checkout.pass_in("dev")
    assert "promote one step at a time" in refusal(checkout, lower, upper)


def test_what_is_not_committed_is_refused(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    checkout.write("release/keys/mine.pub", checkout.read("release/keys/ci.pub"))
    assert "not committed: release/keys/mine.pub" in refusal(checkout)


def test_changes_elsewhere_are_nobodys_business_and_stay(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    checkout.write("notes.txt", "mine")
    promote(checkout)
    assert git(checkout.root, "status", "--porcelain") == "?? notes.txt"


def test_what_is_not_approved_below_is_refused(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    path = "release/dev/approved-digests"
    checkout.write(path, "".join(line for line in checkout.read(path).splitlines(True) if ONE not in line))
    checkout.commit("Withdraw an image")
    assert "is not approved in dev" in refusal(checkout)


def test_an_image_that_does_not_verify_is_refused(checkout: Checkout) -> None:
    checkout.pass_in("dev")

    def check(image: PinnedImage, trusted: object) -> str:
        raise JourneymeshError(f"{image.repository} has no signature")

    with pytest.raises(ReleaseRefused, match=r"journeymesh: test\.example/journeymesh has no signature"):
        promotion(checkout.tree, "journeyapi", "dev", "test", check)


def test_an_environment_that_holds_it_already_needs_no_promotion(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    promote(checkout)
    assert promotion(checkout.tree, "journeyapi", "dev", "test", every_image_verifies) == []


def test_a_digest_goes_all_the_way(checkout: Checkout) -> None:
    checkout.pass_in("dev")
    promote(checkout)
    checkout.pass_in("test")
    promote(checkout, "test", "prod")
    assert {name: str(image) for name, image in checkout.pins("prod").items()} == {
        "journeymesh": f"prod.example/journeymesh@{ONE}",
        "journeymesh-e2e": f"prod.example/journeymesh-e2e@{TWO}",
    }


def test_a_patch_makes_the_same_commits_elsewhere(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pass_in("dev")
    moves = promotion(checkout.tree, "journeyapi", "dev", "test", every_image_verifies)
    head = checkout.head()
    with changes(checkout.tree) as made:
        commit_moves(made, "journeyapi", "test", moves, "Promote")
        patch = made.patch()
    assert checkout.head() == head
    assert git(checkout.root, "status", "--porcelain") == ""
    (tmp_path / "it.patch").write_text(patch)
    git(checkout.root, "am", "--quiet", str(tmp_path / "it.patch"))
    assert checkout.pins("test")["journeymesh"].digest == ONE
    assert git(checkout.root, "log", "-2", "--format=%s").splitlines() == [
        "Promote journeyapi to test",
        "Approve journeyapi for test",
    ]


def test_a_push_that_is_refused_changes_nothing_here(checkout: Checkout, tmp_path: Path) -> None:
    checkout.pass_in("dev")
    git(tmp_path, "clone", "--quiet", "--bare", str(checkout.root), "remote.git")
    git(checkout.root, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(tmp_path, "clone", "--quiet", "remote.git", "other")
    git(tmp_path / "other", "-c", "user.name=B", "-c", "user.email=b@x", "commit", "--allow-empty", "-qm", "Go on")
    git(tmp_path / "other", "push", "--quiet")
    head = checkout.head()
    moves = promotion(checkout.tree, "journeyapi", "dev", "test", every_image_verifies)
    with changes(checkout.tree) as made:
        commit_moves(made, "journeyapi", "test", moves, "Promote")
        with pytest.raises(ReleaseRefused, match="origin rejected the push"):
            made.push(made.commits[-1])
    assert checkout.head() == head


def test_a_release_begins_in_dev(checkout: Checkout) -> None:
    image = PinnedImage.parse(f"dev.example/journeymesh@{THREE}")
    moves = first_release(checkout.tree, "journeyapi", "dev", {"journeymesh": image}, every_image_verifies)
    with changes(checkout.tree) as made:
        commit_moves(made, "journeyapi", "dev", moves, "Release")
        made.keep()
    assert checkout.pins("dev")["journeymesh"] == image
    assert THREE in ApprovedDigests(checkout.tree, "dev").digests()
    with pytest.raises(ReleaseRefused, match="release into dev"):
        first_release(checkout.tree, "journeyapi", "prod", {"journeymesh": image}, None)


def test_an_image_gets_the_name_that_the_overlay_gives_its_repository(checkout: Checkout) -> None:
    path = "customization/services/journeyapi/overlays/dev/kustomization.yaml"
    checkout.write(path, checkout.read(path).replace("dev.example/journeymesh\n", "dev.example/app\n"))
    images = (f"dev.example/app@{THREE}", f"mirror.example/journeymesh-e2e@{THREE}")
    named = images_by_name(checkout.tree, "journeyapi", "dev", images)
    assert sorted(named) == ["journeymesh", "journeymesh-e2e"]
    assert list(images_by_name(checkout.tree, "journeyapi", "dev", [f"other=dev.example/app@{THREE}"])) == ["other"]


def test_a_release_of_an_image_that_the_service_does_not_pin_names_those_it_does(checkout: Checkout) -> None:
    image = PinnedImage.parse(f"dev.example/other@{THREE}")
    with pytest.raises(UsageError, match="it pins journeymesh, journeymesh-e2e"):
        first_release(checkout.tree, "journeyapi", "dev", {"other": image}, every_image_verifies)
