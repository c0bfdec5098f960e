"""Distil the schemas that `journeymesh delivery check` validates by from the projects' own Go modules.

    python docs/make_delivery_schemas.py

Each module below is fetched by ``go mod download``; its OpenAPI document or CustomResourceDefinitions become one JSON
file in src/journeymesh/delivery/checks/schemas, with source, version and licence in it. Descriptions, defaults and
status are left out, and unknown fields are refused where the server would prune them without a word. What Kubernetes
says in Go only (the values of enumerations) is read from its types. CEL rules are left to the API server.

testkube.json is written by hand: its project has no module that can be fetched (see the file's ``source``).
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parent.parent / "src" / "journeymesh" / "delivery" / "checks" / "schemas"
CONTROLLER_GEN = "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.19.0"
KUBERNETES = ("k8s.io/kubernetes@v1.34.2", "k8s.io/api@v0.34.2")
KINDS = {
    "v1": "ConfigMap LimitRange Namespace PersistentVolumeClaim Pod ResourceQuota Secret Service ServiceAccount",
    "admissionregistration.k8s.io/v1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition",
    "apps/v1": "DaemonSet Deployment ReplicaSet StatefulSet",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "batch/v1": "CronJob Job",
    "networking.k8s.io/v1": "Ingress IngressClass NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
    "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass",
}
MODULES: dict[str, tuple[str, str, str, str]] = {
    "argo-cd": (
        "github.com/argoproj/argo-cd/v3@v3.2.6",
        "Apache-2.0",
        "manifests/crds/*-crd.yaml",
        "AppProject Application",
    ),
    "gateway-api": (
        "sigs.k8s.io/gateway-api@v1.4.0",
        "Apache-2.0",
        "config/crd/standard/*.yaml",
        "BackendTLSPolicy GRPCRoute Gateway GatewayClass HTTPRoute ReferenceGrant",
    ),
    "traefik": (
        "github.com/traefik/traefik/v3@v3.6.12",
        "MIT",
        "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml",
        "IngressRoute Middleware ServersTransport TLSOption TLSStore TraefikService",
    ),
    "prometheus-operator": (
        "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring@v0.95.2",
        "Apache-2.0",
        "",  # has Go types only: controller-gen makes the definitions
        "PodMonitor PrometheusRule ServiceMonitor",
    ),
    "external-secrets": (
        "github.com/external-secrets/external-secrets@v0.20.4",
        "Apache-2.0",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
        "ExternalSecret",
    ),
}
KEPT = (
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "uniqueItems",
)
OPEN = ("preserve-unknown-fields", "embedded-resource")
QUANTITY = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^[+-]?[0-9.]+([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"},
    ]
}


def main() -> None:
    """Write every file."""
    SCHEMAS.mkdir(exist_ok=True)
    write("kubernetes", KUBERNETES[0], "Apache-2.0", *kubernetes(*(fetched(module) for module in KUBERNETES)))
    for name, (module, licence, pattern, kinds) in MODULES.items():
        folder = fetched(module)
        with tempfile.TemporaryDirectory() as made:
            if not pattern:
                called(
                    "go", "run", CONTROLLER_GEN, "crd:maxDescLen=0", "paths=./v1", f"output:crd:dir={made}", at=folder
                )
            files = sorted(folder.glob(pattern) if pattern else Path(made).glob("*.yaml"))
            found = dict(custom(files, set(kinds.split())))
        write(name, module, licence, found, {})


def write(name: str, module: str, licence: str, kinds: dict[str, Any], definitions: dict[str, Any]) -> None:
    content = {"source": module, "licence": licence, "kinds": kinds, "definitions": definitions}
    text = json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    # One kind or definition a line: a change of version shows what it changed.
    for key in (*kinds, *definitions):
        text = text.replace(f',"{key}":{{', f',\n"{key}":{{').replace(f'{{"{key}":{{', f'{{\n"{key}":{{')
    (SCHEMAS / f"{name}.json").write_text(text + "\n", "utf-8")
    print(f"{name}: {len(kinds)} kinds, {len(text) // 1024} KiB from {module}")


def fetched(module: str) -> Path:
    return Path(json.loads(called("go", "mod", "download", "-json", module))["Dir"])


def called(*argv: str, at: Path | None = None) -> str:
    return subprocess.run(argv, cwd=at or "/", check=True, capture_output=True, text=True).stdout


# --- Kubernetes itself: one OpenAPI document, and Go types for what it does not say ---------------------------------


def kubernetes(folder: Path, types: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = json.loads((folder / "api/openapi-spec/swagger.json").read_text("utf-8"))["definitions"]
    enumerated = enumerations(types)
    wanted = {f"{version}/{kind}" for version, kinds in KINDS.items() for kind in kinds.split()}
    names = {}
    for name, held in document.items():
        for each in held.get("x-kubernetes-group-version-kind", ()):
            kind = "/".join(part for part in (each["group"], each["version"], each["kind"]) if part)
            if kind in wanted:
                names[kind] = name
    assert set(names) == wanted, wanted - set(names)
    definitions: dict[str, Any] = {}
    queue = [*names.values(), "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
    while queue:
        name = queue.pop()
        if name not in definitions:
            definitions[name] = defined(name, document[name], enumerated)
            queue += references(definitions[name])
    return {kind: {"$ref": f"#/definitions/{name}"} for kind, name in names.items()}, definitions


def defined(name: str, held: dict[str, Any], enumerated: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    if name.endswith(".Quantity"):
        return QUANTITY
    if name.endswith(("JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrStringArray", ".v1.JSON")):
        return {}
    found = simplified(held, strict=True)
    if "x-kubernetes-group-version-kind" in held and "status" in found.get("properties", {}):
        found["properties"]["status"] = {}
    for key, values in ((key, values) for (owner, key), values in enumerated.items() if name.endswith(f".{owner}")):
        inner = found.get("properties", {}).get(key)
        if inner is not None:
            (inner["items"] if inner.get("type") == "array" else inner)["enum"] = values
    return found


def enumerations(types: Path) -> dict[tuple[str, str], list[str]]:
    """The values of every string type with constants, by ``group.version.Struct`` and the field's JSON name."""
    found: dict[tuple[str, str], list[str]] = {}
    of_core: dict[str, list[str]] = {}  # other groups name these as v1.<Kind>
    for path in sorted(types.glob("*/v*/types.go"), key=lambda path: (path.parent.parent.name != "core", path)):
        text = path.read_text("utf-8")
        enums = set(re.findall(r"// \+enum\n(?://[^\n]*\n)*type (\w+) string", text))
        values: dict[str, list[str]] = {}
        for kind, value in re.findall(r"\n\t\w+\s+(\w+) = \"([^\"]*)\"", text):
            if kind in enums:
                values.setdefault(kind, []).append(value)
        if path.parent.parent.name == "core":
            of_core = {f"v1.{kind}": held for kind, held in values.items()}
        values |= of_core
        for struct, body in re.findall(r"\ntype (\w+) struct \{\n(.*?)\n\}", text, re.DOTALL):
            for kind, name in re.findall(r"\n?\t\w+ +(?:\[\]|\*)?([\w.]+) +`json:\"(\w+)", body):
                if kind in values:
                    found[f"{path.parent.parent.name}.{path.parent.name}.{struct}", name] = sorted(set(values[kind]))
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


# --- what others define: CustomResourceDefinitions ------------------------------------------------------------------


def custom(files: list[Path], kinds: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in files:
        for definition in yaml.load_all(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            spec = (definition or {}).get("spec", {})
            if spec.get("names", {}).get("kind") not in kinds:
                continue
            for version in spec["versions"]:
                if version["served"]:
                    schema = simplified(version["schema"]["openAPIV3Schema"], strict=True)
                    schema["properties"]["status"] = {}
                    schema["properties"]["metadata"] = {"type": "object"}
                    yield f"{spec['group']}/{version['name']}/{spec['names']['kind']}", schema


def simplified(held: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """The part of a structural schema that decides. ``strict``: unknown fields are refused, as far as it is closed."""
    if "$ref" in held:
        return {"$ref": held["$ref"]}
    found: dict[str, Any] = {key: held[key] for key in KEPT if key in held}
    if "pattern" in found and not compiles(found["pattern"]):
        del found["pattern"]
    kind = held.get("type")
    if held.get("x-kubernetes-int-or-string") or held.get("format") == "int-or-string":
        found["type"] = ["integer", "string"]
    elif kind:
        found["type"] = [kind, "null"] if held.get("nullable") else kind
    if "properties" in held:
        found["properties"] = {key: simplified(inner, strict=strict) for key, inner in held["properties"].items()}
    if isinstance(held.get("additionalProperties"), dict):
        found["additionalProperties"] = simplified(held["additionalProperties"], strict=strict)
    elif strict and "properties" in held and not any(held.get(f"x-kubernetes-{key}") for key in OPEN):
        found["additionalProperties"] = False
    if "items" in held:
        found["items"] = simplified(held["items"], strict=strict)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in held:
            found[key] = [simplified(inner, strict=False) for inner in held[key]]
    if "not" in held:
        found["not"] = simplified(held["not"], strict=False)
    return found


def compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


if __name__ == "__main__":
    main()
