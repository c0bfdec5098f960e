from pathlib import Path

import pytest

from journeymesh.delivery.images import ImageInvalid, ImageNotPinned, PinnedImage, pin, pin_everywhere, pinned
from tests.support.small_tree import OVERLAY, small_tree

DIGEST = "sha256:" + "ab" * 32


def test_pinning_changes_the_digest_and_leaves_comments_alone(tmp_path: Path) -> None:
    overlay = small_tree(tmp_path).overlay("greeter", "dev")
    image = PinnedImage("registry.example/greeter", DIGEST)
    assert pin(overlay, "greeter", image)
    assert pinned(overlay) == {"greeter": image}
    after = OVERLAY.replace("sha256:" + "0" * 64, DIGEST).replace("registry.invalid", "registry.example")
    assert (overlay / "kustomization.yaml").read_text("utf-8") == after
    assert not pin(overlay, "greeter", image)


def test_an_image_that_no_overlay_names_is_refused(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    with pytest.raises(ImageNotPinned, match="stranger"):
        pin_everywhere(tree, "dev", {"stranger": PinnedImage("registry.example/stranger", DIGEST)})


@pytest.mark.parametrize("reference", ["greeter", "greeter:1", "greeter@sha256:abc", f"greeter@{DIGEST}0"])
def test_an_image_without_a_digest_is_refused(reference: str) -> None:
    with pytest.raises(ImageInvalid):
        PinnedImage.parse(reference)


def test_a_tag_beside_a_digest_is_left_out() -> None:
    parsed = PinnedImage.parse(f"registry.example:5000/a/greeter:v1@{DIGEST}")
    assert str(parsed) == f"registry.example:5000/a/greeter@{DIGEST}"
