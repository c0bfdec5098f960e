"""One-line sabotages of the repository's own delivery tree, each with the rule that has to catch it."""

from __future__ import annotations

from tests.support.delivery_sabotages_of_the_platform import OF_THE_PLATFORM
from tests.support.sabotaged_places import (
    CHILD,
    CHILDREN,
    CONSOLE,
    GATE,
    GATEWAY,
    JOURNEYAPI,
    NO_DIGEST,
    OTHER_DIGEST,
    OVERLAY,
    PLATFORM,
    SERVICES,
    TRACK,
)
from tests.support.sabotaged_tree import Sabotage

SABOTAGES: tuple[Sabotage, ...] = (
    # files
    Sabotage("a file that is no YAML", f"{JOURNEYAPI}/account.yaml", "kind: ServiceAccount", "kind: [", "file-is-yaml"),
    Sabotage("a key twice", CHILD, "targetRevision: HEAD", "repoURL: https://git.invalid/journeymesh.git", "keys-once"),
    Sabotage("a resource that is not there", f"{JOURNEYAPI}/kustomization.yaml", "- stable", "- stabel", "renders"),
    # schemas
    Sabotage("a typo that heals nothing", CHILD, "selfHeal: true", "selfheal: true", "schema"),
    Sabotage("a kind of another version", TRACK, "apiVersion: apps/v1", "apiVersion: apps/v1beta1", "schema"),
    Sabotage("an unknown field of a container", TRACK, "readinessProbe:", "readynessProbe:", "schema"),
    Sabotage("a value that is none of its kind", GATE, "restartPolicy: Never", "restartPolicy: Nevr", "schema"),
    Sabotage("a number that is none", TRACK, "revisionHistoryLimit: 3", "revisionHistoryLimit: three", "schema"),
    Sabotage("an unknown middleware", f"{GATEWAY}/middlewares.yaml", "forwardAuth:", "forwardauth:", "schema"),
    Sabotage("an unknown part of a route", f"{GATEWAY}/routes/journeyapi.yaml", "parentRefs:", "parentRef:", "schema"),
    Sabotage(
        "an unknown kind of match", f"{GATEWAY}/routes/journeyapi.yaml", "type: PathPrefix", "type: Pfx", "schema"
    ),
    # images
    Sabotage("an image without digest", OVERLAY, f"digest: sha256:{NO_DIGEST}", "newTag: latest", "image-pinned"),
    Sabotage(
        "an image of a stranger", OVERLAY, "newName: registry.invalid/", "newName: evil.example/", "image-registry"
    ),
    Sabotage("an image nobody approved", OVERLAY, NO_DIGEST, OTHER_DIGEST, "image-approved"),
    # pods
    Sabotage("a pod as root", TRACK, "runAsNonRoot: true", "runAsNonRoot: false", "restricted"),
    Sabotage("user root", TRACK, "runAsUser: 10001", "runAsUser: 0", "restricted"),
    Sabotage(
        "privilege escalation", GATE, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "restricted"
    ),
    Sabotage("capabilities kept", TRACK, "drop: [ALL]", "drop: [NET_RAW]", "restricted"),
    Sabotage("no seccomp", f"{SERVICES}/keycloak/base/deployment.yaml", "RuntimeDefault", "Unconfined", "restricted"),
    Sabotage(
        "a root that can be written",
        TRACK,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        "root-read-only",
    ),
    Sabotage("the node's network", TRACK, "terminationGracePeriodSeconds: 40", "hostNetwork: true", "host-untouched"),
    Sabotage("a path of the node", GATE, "emptyDir: {sizeLimit: 16Mi}", "hostPath: {path: /var/run}", "host-untouched"),
    Sabotage("a privileged container", TRACK, "allowPrivilegeEscalation: false", "privileged: true", "host-untouched"),
    Sabotage("no memory limit", TRACK, "limits: {memory: 768Mi}", None, "resources"),
    Sabotage("no cpu request", TRACK, "requests: {cpu: 150m, ", "requests: {", "resources"),
    Sabotage("a container without liveness", TRACK, "livenessProbe:", "liveness:", "probes"),
    Sabotage("a probe of no port", TRACK, "path: /readyz, port: http", "path: /readyz, port: htpp", "probe-port"),
    Sabotage(
        "the default account",
        f"{SERVICES}/keycloak/base/deployment.yaml",
        "serviceAccountName: keycloak",
        "serviceAccountName: default",
        "service-account",
    ),
    Sabotage(
        "a token for nothing",
        f"{SERVICES}/keycloak/base/deployment.yaml",
        "      automountServiceAccountToken: false",
        "      automountServiceAccountToken: true",
        "token-unmounted",
    ),
    Sabotage("killed while it pauses", TRACK, "sleep: {seconds: 5}", "sleep: {seconds: 300}", "drain"),
    # availability
    Sabotage("a pod less while rolling", TRACK, "maxUnavailable: 0", "maxUnavailable: 1", "rollout-keeps-serving"),
    Sabotage(
        "ten minutes to fail", TRACK, "progressDeadlineSeconds: 40", "progressDeadlineSeconds: 600", "progress-deadline"
    ),
    Sabotage(
        "a budget that blocks drains",
        f"{JOURNEYAPI}/stable/disruption.yaml",
        "maxUnavailable: 1",
        "maxUnavailable: 0",
        "disruption-allowed",
    ),
    Sabotage(
        "a budget of nobody",
        f"{JOURNEYAPI}/stable/disruption.yaml",
        "app.kubernetes.io/name: journeyapi",
        "app.kubernetes.io/name: journeyapy",
        "disruption-budget",
    ),
    # network
    Sabotage(
        "nothing denied on the way out",
        f"{PLATFORM}/environments/base/network-policies.yaml",
        "policyTypes: [Ingress, Egress]",
        "policyTypes: [Ingress]",
        "default-deny",
    ),
    Sabotage(
        "a workload without NetworkPolicy",
        f"{JOURNEYAPI}/network-policy.yaml",
        "values: [journeyapi, journeyapi-migrate]",
        "values: [journeyapi-migrate]",
        "network-policy",
    ),
    Sabotage(
        "a NetworkPolicy for nobody",
        f"{SERVICES}/postgres/base/network-policy.yaml",
        "app.kubernetes.io/name: postgres",
        "app.kubernetes.io/name: postgress",
        "network-policy-selects",
    ),
    Sabotage(
        "a stable Service with the candidate behind it",
        f"{JOURNEYAPI}/stable/kustomization.yaml",
        "includeSelectors: true",
        "includeTemplates: true",
        "service-track",
    ),
    Sabotage(
        "a Service to no port",
        f"{JOURNEYAPI}/track/service.yaml",
        "targetPort: http",
        "targetPort: web",
        "service-port",
    ),
    Sabotage(
        "a Service of nobody",
        f"{GATEWAY}/deployment.yaml",
        "journeymesh.io/track: stable",
        "journeymesh.io/track: stabel",
        "service-selects",
    ),
    Sabotage(
        "tests that reach nobody",
        f"{PLATFORM}/environments/base/network-policies.yaml",
        "{protocol: TCP, port: 8080}",
        "{protocol: TCP, port: 8088}",
        "network-policy-reaches",
    ),
    Sabotage(
        "a database that lets its user out",
        f"{SERVICES}/postgres/base/network-policy.yaml",
        "values: [journeyapi, ",
        "values: [",
        "network-policy-reaches",
    ),
    Sabotage(
        "a guest that is nobody",
        f"{SERVICES}/postgres/base/network-policy.yaml",
        "values: [journeyapi, ",
        "values: [journeyapi, journeyapy, ",
        "network-policy-needed",
    ),
    Sabotage(
        "a route to the candidate",
        f"{GATEWAY}/routes/journeyapi.yaml",
        "name: journeyapi, port: 8080",
        "name: journeyapi-candidate, port: 8080",
        "route-stable",
    ),
    Sabotage(
        "a route to no port",
        f"{GATEWAY}/routes/journeyapi.yaml",
        "name: journeyapi, port: 8080",
        "name: journeyapi, port: 8081",
        "route-backend",
    ),
    Sabotage(
        "a route of no listener",
        f"{GATEWAY}/routes/journeyapi.yaml",
        "sectionName: https",
        "sectionName: http",
        "route-gateway",
    ),
    Sabotage(
        "a route without who may",
        f"{GATEWAY}/routes/journeyapi.yaml",
        "name: authenticated",
        "name: authentificated",
        "route-filter",
    ),
    Sabotage("a gateway in plain", f"{GATEWAY}/gateway.yaml", "protocol: HTTPS", "protocol: HTTP", "gateway-tls"),
    # secrets
    Sabotage(
        "a password in a variable",
        f"{SERVICES}/keycloak/base/deployment.yaml",
        "{name: KC_DB_USERNAME, value: keycloak}",
        "{name: KC_ADMIN_PASSWORD, value: correct-horse}",
        "secret-in-settings",
    ),
    Sabotage(
        "a password in a ConfigMap",
        OVERLAY,
        "issuer=https://",
        "issuer=https://admin:correct-horse@",
        "secret-in-settings",
    ),
    Sabotage("a plain Secret", f"{JOURNEYAPI}/account.yaml", "kind: ServiceAccount", "kind: Secret", "secret-plain"),
    # waves and the gate
    Sabotage("a gate that does not block", GATE, "hook: Sync", "hook: PostSync", "gate-blocks"),
    Sabotage("a gate after the release", GATE, 'sync-wave: "1"', 'sync-wave: "3"', "gate-order"),
    Sabotage(
        "the stable one first",
        f"{JOURNEYAPI}/stable/kustomization.yaml",
        'sync-wave: "2"',
        'sync-wave: "0"',
        "gate-order",
    ),
    Sabotage(
        "tables after the release", f"{JOURNEYAPI}/migrate.yaml", 'sync-wave: "-1"', 'sync-wave: "2"', "gate-order"
    ),
    Sabotage("no gate at all", f"{JOURNEYAPI}/kustomization.yaml", "- e2e-candidate.yaml", None, "gate-complete"),
    Sabotage(
        "a gate that tests the stable one",
        GATE,
        "http://journeyapi-candidate:8080",
        "http://journeyapi:8080",
        "gate-tests-candidate",
    ),
    Sabotage("a gate that never ends", GATE, "activeDeadlineSeconds: 90", "activeDeadlineSeconds: 90000", "gate-ends"),
    Sabotage("a gate that tries until it passes", GATE, "backoffLimit: 0", "backoffLimit: 100", "gate-ends"),
    Sabotage("a hook that stays", GATE, "hook-delete-policy: BeforeHookCreation", None, "hook-known"),
    Sabotage(
        "a phase that Argo CD does not know", f"{JOURNEYAPI}/migrate.yaml", "hook: Sync", "hook: Presync", "hook-known"
    ),
    Sabotage("a wave in words", GATE, 'sync-wave: "1"', "sync-wave: first", "wave-number"),
    # the console
    Sabotage(
        "a console without its gate", f"{CONSOLE}/kustomization.yaml", "- e2e-candidate.yaml", None, "gate-complete"
    ),
    Sabotage(
        "a console without its NetworkPolicy",
        f"{CONSOLE}/kustomization.yaml",
        "- network-policy.yaml",
        None,
        "network-policy",
    ),
    Sabotage(
        "a console that journeyapi does not let in",
        f"{JOURNEYAPI}/network-policy.yaml",
        "values: [console, gatewayapi]",
        "values: [gatewayapi]",
        "network-policy-reaches",
    ),
    Sabotage(
        "a console that cannot get to Keycloak",
        f"{CONSOLE}/network-policy.yaml",
        "values: [identityapi, journeyapi, keycloak]",
        "values: [identityapi, journeyapi]",
        "network-policy-reaches",
    ),
    Sabotage(
        "a console tested where users are",
        f"{CONSOLE}/e2e-candidate.yaml",
        "http://console-candidate:8080",
        "http://console:8080",
        "gate-tests-candidate",
    ),
    Sabotage(
        "a console before the journeys it shows",
        f"{CHILDREN}/dev/console-app-dev.yaml",
        'sync-wave: "4"',
        'sync-wave: "3"',
        "wave-order",
    ),
    Sabotage(
        "a console's secret for everybody to read",
        f"{CONSOLE}/track/deployment.yaml",
        "{name: JOURNEYMESH_CONSOLE_CLIENT_SECRET_FILE, value: /run/journeymesh/client/secret}",
        "{name: JOURNEYMESH_CONSOLE_CLIENT_SECRET, value: correct-horse}",
        "secret-in-settings",
    ),
    *OF_THE_PLATFORM,
)
