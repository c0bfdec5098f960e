"""What a Score file may say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from journeymesh.delivery.workloads.score import ScoreInvalid, Workload, WorkloadMissing, read_score
from journeymesh.errors import UsageError

SMALLEST = """\
apiVersion: score.dev/v1b1
metadata:
  name: hello
containers:
  main:
    image: registry.example/hello
"""


def read(folder: Path, text: str) -> Workload:
    path = folder / "score.yaml"
    path.write_text(text, "utf-8")
    return read_score(path)


def test_six_lines_are_enough(tmp_path: Path) -> None:
    workload = read(tmp_path, SMALLEST)
    assert (workload.name, workload.image, workload.port, workload.container_port) == (
        "hello",
        "registry.example/hello",
        8080,
        8080,
    )
    assert workload.liveness == {"httpGet": {"path": "/livez", "port": "http"}}
    assert workload.readiness == {"httpGet": {"path": "/readyz", "port": "http"}}
    assert workload.environments == ("dev", "test", "prod")
    assert workload.components == ()
    assert not workload.public


def test_probes_resources_commands_and_ports_are_those_of_the_file(tmp_path: Path) -> None:
    workload = read(
        tmp_path,
        SMALLEST
        + """\
    command: [/bin/hello]
    args: [--name, "${metadata.name}"]
    variables:
      GREETING: cost $$5, ${metadata.name}
    livenessProbe:
      httpGet: {path: /alive, port: 3000}
    readinessProbe:
      exec: {command: [/bin/ready]}
    resources:
      requests: {memory: 300Mi}
      limits: {cpu: "2"}
service:
  ports:
    web: {port: 80, targetPort: 3000}
""",
    )
    assert workload.command == ("/bin/hello",)
    assert workload.args == ("--name", "hello")
    assert workload.variables == {"GREETING": "cost $5, hello"}
    assert workload.liveness == {"httpGet": {"path": "/alive", "port": 3000}}
    assert workload.readiness == {"exec": {"command": ["/bin/ready"]}}
    assert (workload.port, workload.container_port) == (80, 3000)
    assert workload.requests == {"cpu": "2", "memory": "300Mi"}
    assert workload.limits == {"cpu": "2", "memory": "300Mi"}, "a limit below its request starts no pod"


@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        ("score.dev/v1b1", "score.dev/v2", r"score.yaml:1: apiVersion"),
        ("name: hello", "name: Hello", r"score.yaml:3: metadata.name"),
        ("name: hello", f"name: {'x' * 41}", r"score.yaml:3: .* at most 40"),
        ("name: hello", "name: 1st", r"score.yaml:3: '1st' is not a valid workload name"),
        ("registry.example/hello", "registry.example/hello:1.0", r"score.yaml:6: .*names a version.*pins the digest"),
        ("registry.example/hello", "hello@sha256:0", r"score.yaml:6: .*names a version"),
        ("    image:", "    imago: 1\n    image:", r"score.yaml:5: containers.main: .*imago"),
        ("  main:\n", "  main: {image: x}\n  other:\n", r"score.yaml:4: 2 containers"),
        ("/hello\n", "/hello\n    variables: {A: '${resources.db.host}'}\n", r"refers to nothing"),
        ("/hello\n", "/hello\n    files: {/etc/a: {content: b}}\n", r"score.yaml:\d+: files are not rendered"),
        ("containers:", "resources: {db: {type: postgres}}\ncontainers:", r"score.yaml:\d+: resources are not"),
        ("containers:", "service: {ports: {http: {port: 80}}}\ncontainers:", r"without privileges .* 80"),
        ("containers:", "service: {ports: {a1: {port: 8080}, b1: {port: 8081}}}\ncontainers:", r"2 ports"),
        ("containers:", "service: {ports: {a1: {port: 8080, protocol: UDP}}}\ncontainers:", r"not TCP"),
        (
            "containers:",
            "  annotations: {journeymesh.io/hpa: x}\ncontainers:",
            r"score.yaml:4: unknown journeymesh.io/hpa",
        ),
        (
            "containers:",
            "  annotations: {journeymesh.io/components: mesh}\ncontainers:",
            r"unknown mesh.*hpa, service-mon",
        ),
        ("containers:", "  annotations: {journeymesh.io/environments: dev qa}\ncontainers:", r"unknown qa"),
        ("containers:", "  annotations: {journeymesh.io/public: 'yes'}\ncontainers:", r"write \"true\" or \"false\""),
        ("containers:", "  annotations: {journeymesh.io/answers: things}\ncontainers:", r"'things' is not a path"),
    ],
)
def test_what_cannot_be_rendered_is_refused_by_its_line(tmp_path: Path, changed: str, to: str, said: str) -> None:
    assert changed in SMALLEST
    with pytest.raises(ScoreInvalid, match=said):
        read(tmp_path, SMALLEST.replace(changed, to, 1))


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(WorkloadMissing, match="workload list"):
        read_score(tmp_path / "score.yaml")


def test_two_documents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoreInvalid, match="2 documents"):
        read(tmp_path, f"{SMALLEST}---\n{SMALLEST}")


HOSTILE = {
    "a name that is a number": SMALLEST.replace("  main:", "  1:"),
    "a name that is nothing": SMALLEST.replace("  main:", "  ~:"),
    "an annotation that is a date": SMALLEST.replace("  name: hello", "  name: hello\n  annotations: {2024-01-01: x}"),
    "a date that there is not": SMALLEST.replace("name: hello", "name: 2024-02-45"),
    "a number of 5,000 digits": SMALLEST.replace("name: hello", f"name: {'9' * 5_000}"),
    "aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "depth": "a: " + "[" * 5_000 + "]" * 5_000,
    "length": SMALLEST + "#" * (5 << 20),
    "placeholders": SMALLEST.replace("  name: hello", f"  name: hello\n  annotations: {{note: {'x' * 60_000}}}")
    + f"    args: ['{'${metadata.annotations.note}' * 40_000}']\n",
    "a fault with all of the file in it": SMALLEST.replace("    image:", f"    image: [{'x' * 60_000}]\n    command:"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_score_file_may_hold_is_a_short_refusal_at_once(tmp_path: Path, name: str) -> None:
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        read(tmp_path, HOSTILE[name])
    assert time.process_time() - began < 10
    assert len(str(refused.value)) < 1_500


def test_placeholders_that_stand_for_gigabytes_are_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(ScoreInvalid, match=r"score.yaml:8: it expands to more than 131,072 characters"):
        read(tmp_path, HOSTILE["placeholders"])


def test_placeholders_may_stand_for_what_a_process_can_be_given(tmp_path: Path) -> None:
    text = SMALLEST.replace("  name: hello", f"  name: hello\n  annotations: {{note: {'x' * 60_000}}}")
    workload = read(tmp_path, text + "    args: ['${metadata.annotations.note}${metadata.annotations.note}']\n")
    assert workload.args == ("x" * 120_000,)
