"""Where things stand in the tree that Argo CD reads. Environments are folders, never branches.

customization/
  bootstrap/                       applied once: AppProjects, root Applications, Argo CD's settings
  platform/                        namespaces, admission, quotas, Gateway API: cluster kinds, one owner
  components/                      Kustomize components that services share
  apps-children/<env>/             plain Applications: <name>-app-<env>.yaml
  services/<name>/base             a service's manifests
  services/<name>/overlays/<env>   its digest and settings in one environment
  secrets/<env>/                   encrypted Secrets
release/<env>/                     which digests are approved there, and what they passed
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from journeymesh.errors import NotFound, UsageError

ENVIRONMENTS: Final = ("dev", "test", "prod")
"""From the one where a change comes first to the one that users meet."""


class TreeMissing(UsageError):
    """The folder holds no tree."""


class UnknownEnvironment(UsageError):
    """The tree has no such environment."""


class UnknownService(NotFound):
    """The tree has no such service, or not in this environment."""


def require_environment(name: str) -> None:
    """Refuse a name that is no environment.

    Raises:
        UnknownEnvironment: naming those that are.
    """
    if name not in ENVIRONMENTS:
        raise UnknownEnvironment(f"no environment {name}", todo=f"name one of {', '.join(ENVIRONMENTS)}")


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of one checkout. ``root`` is the repository's folder."""

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> Tree:
        """The tree of the repository that ``folder`` is in.

        Raises:
            TreeMissing: neither it nor a folder above has ``customization/``.
        """
        begun = Path(folder).resolve()
        for place in (begun, *begun.parents):
            if (place / "customization").is_dir():
                return cls(place)
        raise TreeMissing(f"no customization/ in {begun} or above it", todo="name the repository's folder by --tree")

    @property
    def customization(self) -> Path:
        return self.root / "customization"

    @property
    def bootstrap(self) -> Path:
        return self.customization / "bootstrap"

    @property
    def platform(self) -> Path:
        return self.customization / "platform"

    def applications(self, environment: str) -> Path:
        """The folder of an environment's child Applications."""
        return self.customization / "apps-children" / environment

    def application(self, service: str, environment: str) -> Path:
        """The file of a service's child Application."""
        return self.applications(environment) / f"{service}-app-{environment}.yaml"

    def services(self) -> tuple[str, ...]:
        """The services' names, sorted."""
        return tuple(sorted(place.name for place in (self.customization / "services").iterdir() if place.is_dir()))

    def service(self, name: str) -> Path:
        """A service's folder, whether or not it is there yet."""
        return self.customization / "services" / name

    def overlay(self, service: str, environment: str) -> Path:
        """A service's folder in an environment.

        Raises:
            UnknownService: there is none.
        """
        place = self.service(service) / "overlays" / environment
        if not (place / "kustomization.yaml").is_file():
            raise UnknownService(
                f"no overlay of {service} in {environment} ({place.relative_to(self.root)})",
                todo=f"services are {', '.join(self.services())}; environments {', '.join(ENVIRONMENTS)}",
            )
        return place

    def release(self, environment: str) -> Path:
        """The folder of what is approved and what passed in an environment."""
        return self.root / "release" / environment

    def relative(self, path: Path) -> str:
        """A path as findings and commits name it."""
        return path.resolve().relative_to(self.root).as_posix()
