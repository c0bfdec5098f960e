"""Places of the delivery tree that sabotages change."""

from __future__ import annotations

BOOTSTRAP = "customization/bootstrap"
CHILDREN = "customization/apps-children"
PLATFORM = "customization/platform"
ADMISSION = f"{PLATFORM}/admission"
SERVICES = "customization/services"
JOURNEYAPI = f"{SERVICES}/journeyapi/base"
GATEWAY = f"{SERVICES}/gatewayapi/base"
CONSOLE = f"{SERVICES}/console/base"
CHILD = f"{CHILDREN}/dev/journeyapi-app-dev.yaml"
PROJECT = f"{BOOTSTRAP}/dev/workloads-project-dev.yaml"
TRACK = f"{JOURNEYAPI}/track/deployment.yaml"
GATE = f"{JOURNEYAPI}/e2e-candidate.yaml"
OVERLAY = f"{SERVICES}/journeyapi/overlays/prod/kustomization.yaml"
NO_DIGEST = "0" * 64
OTHER_DIGEST = "1" * 64
