"""What passed its tests in an environment is recorded in git by the guard: evidence that promotion asks for."""

from __future__ import annotations

from journeymesh.delivery.git import Clone
from journeymesh.delivery.guard import OnPassed
from journeymesh.delivery.release.evidence import images_at, record_passed
from journeymesh.delivery.release.keys import SigningKey, require_trusted
from journeymesh.delivery.tree import Tree


def recorder(clone: Clone, environment: str, key: SigningKey) -> OnPassed:
    """A callback that commits and pushes evidence of what an overlay pinned at a commit; what is recorded stays.

    Raises:
        KeyUnusable: ``release/keys`` of the repository does not trust the key, so nobody would believe it.
    """
    tree = Tree(clone.folder)
    require_trusted(tree, key)

    def record(service: str, digest: str, revision: str) -> None:
        clone.freshen()
        commit, images = images_at(tree, environment, service, revision)
        tests = (f"{service}-e2e-candidate", f"{service}-e2e")
        if not record_passed(tree, environment, service, images, commit, key, tests):
            return
        clone.git("add", "--all", "--", f"release/{environment}/passed")
        subject = f"Record that {service} passed in {environment}"
        clone.git("commit", "--quiet", "--no-verify", "-m", subject, "-m", f"Digest: {digest}\nRevision: {commit}")
        clone.push()

    return record
