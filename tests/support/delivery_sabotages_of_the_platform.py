"""One-line sabotages of Applications, projects, the platform and Testkube, each with the rule that has to catch it."""

from __future__ import annotations

from tests.support.sabotaged_places import (
    ADMISSION,
    BOOTSTRAP,
    CHILD,
    CHILDREN,
    JOURNEYAPI,
    OVERLAY,
    PLATFORM,
    PROJECT,
)
from tests.support.sabotaged_tree import Sabotage

OF_THE_PLATFORM: tuple[Sabotage, ...] = (
    # Applications
    Sabotage(
        "no healing", f"{CHILDREN}/prod/identityapi-app-prod.yaml", "selfHeal: true", "selfHeal: false", "app-syncs"
    ),
    Sabotage("no pruning", f"{CHILDREN}/test/postgres-app-test.yaml", "prune: true", "prune: false", "app-syncs"),
    Sabotage("retries without end", CHILD, "limit: 2", "limit: -1", "app-retries"),
    Sabotage("retries of the old revision", CHILD, "refresh: true", None, "app-retries"),
    Sabotage("a child where Argo CD does not look", CHILD, "  namespace: argocd", None, "child-namespace"),
    Sabotage(
        "a child of the default project", CHILD, "project: workloads-project-dev", "project: default", "child-project"
    ),
    Sabotage(
        "a child of dev that writes to prod", CHILD, "    namespace: dev", "    namespace: prod", "child-destination"
    ),
    Sabotage("a child of dev that reads prod", CHILD, "overlays/dev", "overlays/prod", "child-source"),
    Sabotage("an environment that is a branch", CHILD, "targetRevision: HEAD", "targetRevision: dev", "child-source"),
    Sabotage(
        "another repository",
        CHILD,
        "https://git.invalid/journeymesh.git",
        "https://evil.example/journeymesh.git",
        "one-repository",
    ),
    Sabotage("a child by another's name", CHILD, "name: journeyapi-app-dev", "name: journeyapi-app-test", "child-name"),
    Sabotage("a child before what it needs", CHILD, 'sync-wave: "3"', 'sync-wave: "0"', "wave-order"),
    Sabotage("something else among the children", CHILD, "kind: Application", "kind: ConfigMap", "children-plain"),
    Sabotage(
        "a service without Application",
        CHILD,
        "name: journeyapi-app-dev",
        "name: journeyapy-app-dev",
        "service-application",
    ),
    Sabotage("drift that nobody sees", CHILD, "- PruneLast=true", "- Prune=false", "app-ignores-nothing"),
    Sabotage(
        "a root that does not descend",
        f"{BOOTSTRAP}/dev/root-appbundle-app-dev.yaml",
        "recurse: true",
        "recurse: false",
        "root-bundle",
    ),
    Sabotage(
        "a root of another environment",
        f"{BOOTSTRAP}/prod/root-appbundle-app-prod.yaml",
        "apps-children/prod",
        "apps-children/dev",
        "root-bundle",
    ),
    Sabotage(
        "the whole tree as platform",
        f"{BOOTSTRAP}/argocd/root-platform-app.yaml",
        "path: customization/platform",
        "path: customization",
        "root-platform",
    ),
    Sabotage(
        "large definitions by the client",
        f"{BOOTSTRAP}/argocd/root-platform-app.yaml",
        "- ServerSideApply=true",
        None,
        "root-platform",
    ),
    # projects
    Sabotage("a project of every namespace", PROJECT, "namespace: dev", 'namespace: "*"', "project-destinations"),
    Sabotage(
        "a project of cluster kinds",
        PROJECT,
        "clusterResourceWhitelist: []",
        "clusterResourceWhitelist: [{group: '*', kind: '*'}]",
        "project-no-cluster-kinds",
    ),
    Sabotage("a project of every repository", PROJECT, "https://git.invalid/journeymesh.git", '"*"', "project-sources"),
    Sabotage(
        "a project that gives rights",
        PROJECT,
        "{group: monitoring.coreos.com, kind: ServiceMonitor}",
        "{group: rbac.authorization.k8s.io, kind: RoleBinding}",
        "project-kinds-listed",
    ),
    Sabotage("a project without what it needs", PROJECT, "{group: batch, kind: Job}", None, "project-allows"),
    Sabotage(
        "a service that renders a cluster kind",
        f"{JOURNEYAPI}/account.yaml",
        "kind: ServiceAccount",
        "kind: ClusterRole",
        "service-no-cluster-kinds",
    ),
    Sabotage(
        "an overlay of prod in dev's namespace", OVERLAY, "namespace: prod", "namespace: dev", "service-own-namespace"
    ),
    Sabotage(
        "rights on everything", f"{PLATFORM}/traefik/roles.yaml", "verbs: [list, watch]", 'verbs: ["*"]', "rights-named"
    ),
    # platform
    Sabotage(
        "a namespace that restricts nothing",
        f"{PLATFORM}/environments/prod/namespace.yaml",
        "enforce: restricted",
        "enforce: privileged",
        "namespace-restricted",
    ),
    Sabotage(
        "an environment that does not say which data it admits",
        f"{PLATFORM}/environments/dev/namespace.yaml",
        "journeymesh.io/personal-data: none",
        None,
        "personal-data",
    ),
    Sabotage(
        "a service that is told another label than its environment has",
        OVERLAY,
        "personal-data=allowed",
        "personal-data=none",
        "personal-data",
    ),
    Sabotage(
        "a namespace of another environment",
        f"{PLATFORM}/environments/prod/namespace.yaml",
        "journeymesh.io/environment: prod",
        "journeymesh.io/environment: dev",
        "namespace-restricted",
    ),
    Sabotage("no quota", f"{PLATFORM}/environments/base/kustomization.yaml", "- quota.yaml", None, "quota"),
    Sabotage(
        "definitions after what needs them",
        f"{PLATFORM}/gateway-api/kustomization.yaml",
        'sync-wave: "-2"',
        'sync-wave: "1"',
        "definitions-first",
    ),
    Sabotage(
        "Applications that nobody judges",
        f"{BOOTSTRAP}/argocd/argocd-cm.yaml",
        "health.argoproj.io_Application",
        "health.argoproj.io_Applications",
        "applications-judged",
    ),
    Sabotage(
        "a list of digests that is none", "release/dev/approved-digests", "# Digests", "Digests", "approved-list-form"
    ),
    Sabotage(
        "admission that lets in what it cannot judge",
        f"{ADMISSION}/approved-digests.yaml",
        "failurePolicy: Fail",
        "failurePolicy: Ignore",
        "admission-fails-closed",
    ),
    Sabotage(
        "admission without its list",
        f"{ADMISSION}/approved-digests.yaml",
        "parameterNotFoundAction: Deny",
        "parameterNotFoundAction: Allow",
        "admission-bound",
    ),
    Sabotage(
        "admission that only writes it down",
        f"{ADMISSION}/doors.yaml",
        "validationActions: [Deny, Audit]",
        "validationActions: [Audit]",
        "admission-bound",
    ),
    Sabotage(
        "admission that is bound to nothing",
        f"{ADMISSION}/doors.yaml",
        "policyName: doors",
        "policyName: door",
        "admission-bound",
    ),
    Sabotage(
        "admission that forgets CronJobs",
        f"{ADMISSION}/approved-digests.yaml",
        "resources: [jobs, cronjobs]",
        "resources: [jobs]",
        "admission-images",
    ),
    Sabotage(
        "an environment without its list",
        f"{PLATFORM}/environments/prod/kustomization.yaml",
        "- ../../../../release/prod",
        None,
        "admission-images",
    ),
    # Testkube
    Sabotage(
        "a trigger that Testkube refuses",
        "customization/testkube/base/triggers.yaml",
        "execution: testworkflow",
        "execution: workflow",
        "schema",
    ),
    Sabotage(
        "a test image of a stranger",
        "customization/testkube/prod/kustomization.yaml",
        "newName: registry.invalid/",
        "newName: evil.example/",
        "image-registry",
    ),
)
