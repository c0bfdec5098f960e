"""What passed its tests in an environment is recorded in git by the guard: evidence that promotion asks for."""

from __future__ import annotations

from journeymesh.delivery.git import Clone
from journeymesh.delivery.release.evidence import images_at, is_recorded, record_passed
from journeymesh.delivery.release.keys import SigningKey, require_trusted
from journeymesh.delivery.tree import Tree


class EvidenceInGit:
    """Evidence of one environment, signed, committed and pushed; what is recorded stays.

    Raises:
        KeyUnusable: ``release/keys`` of the repository does not trust the key, so nobody would believe it.
    """

    def __init__(self, clone: Clone, environment: str, key: SigningKey) -> None:
        self._clone, self._environment, self._key = clone, environment, key
        self._tree = Tree(clone.folder)
        require_trusted(self._tree, key)

    def has(self, service: str, digest: str) -> bool:
        """Whether the clone as it stands has evidence of it by this key."""
        return is_recorded(self._tree, self._environment, service, digest, self._key)

    def record(self, service: str, digest: str, revision: str) -> None:
        """Record all images that the overlay pinned at the commit, unless that is recorded.

        Raises:
            PushRefused: somebody was faster.
            UnknownService: there was no such overlay at the commit.
        """
        clone = self._clone
        clone.freshen()
        at = images_at(self._tree, self._environment, service, revision)
        tests = (f"{service}-e2e-candidate", f"{service}-e2e")
        if not record_passed(self._tree, self._environment, service, at, self._key, tests):
            return
        clone.git("add", "--all", "--", f"release/{self._environment}/passed")
        subject = f"Record that {service} passed in {self._environment}"
        clone.git("commit", "--quiet", "--no-verify", "-m", subject, "-m", f"Digest: {digest}\nRevision: {at.commit}")
        clone.push()
