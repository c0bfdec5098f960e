"""``journeymesh workload``, as people and pipelines call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome

IMAGE = f"registry.example/hello@sha256:{'ab' * 32}"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "customization").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_workload_is_begun_rendered_checked_and_listed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["workload", "new", "hello", "--image", IMAGE]) == 0
    assert "customization/services/hello/score.yaml (9 lines)" in capsys.readouterr().out
    assert outcome(["workload", "render", "--check"]) == 0
    assert outcome(["workload", "render"]) == 0
    assert "nothing to write" in capsys.readouterr().out
    assert outcome(["workload", "list", "--format", "json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["name"] == "hello"
    assert row["dev"] == f"sha256:{'ab' * 32}"
    assert row["prod"] == "not released"


def test_a_file_changed_by_hand_ends_the_check_with_one_and_a_diff(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(["workload", "new", "hello", "--image", IMAGE])
    stable = tree / "customization" / "services" / "hello" / "base" / "stable.yaml"
    stable.write_text(stable.read_text("utf-8").replace("runAsNonRoot: true", "runAsNonRoot: false"), "utf-8")
    capsys.readouterr()
    assert outcome(["workload", "render", "--check"]) == 1
    told = capsys.readouterr()
    assert "--- tree/customization/services/hello/base/stable.yaml\n+++ rendered/" in told.out
    assert "-        runAsNonRoot: false\n+        runAsNonRoot: true\n" in told.out
    assert told.err.count("\n") == 1
    assert "stable.yaml differs from its Score file: run `journeymesh workload render`" in told.err
    assert outcome(["workload", "render", "hello"]) == 0
    assert outcome(["workload", "render", "--check"]) == 0


def test_a_file_of_ones_own_in_a_generated_folder_is_refused_with_where_it_belongs(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(["workload", "new", "hello", "--image", IMAGE])
    (tree / "customization" / "services" / "hello" / "base" / "mine.yaml").write_text("a: b\n", "utf-8")
    assert outcome(["workload", "render"]) == 1
    assert "base/mine.yaml belongs to no Score file" in capsys.readouterr().err


def test_applications_of_a_workload_that_is_gone_are_found_and_removed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(["workload", "new", "hello", "--image", IMAGE])
    folder = tree / "customization" / "services" / "hello"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert outcome(["workload", "render", "--check"]) == 1
    assert "hello-app-dev.yaml belongs to no Score file" in capsys.readouterr().err
    assert outcome(["workload", "render"]) == 0
    assert not list((tree / "customization" / "apps-children").rglob("*.yaml"))


def test_a_pipeline_is_printed_or_written(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome(["workload", "new", "hello", "--image", IMAGE])
    capsys.readouterr()
    assert outcome(["workload", "pipeline", "--all", "--ci", "jenkins"]) == 0
    text = capsys.readouterr().out
    assert "make release SERVICE=hello" in text
    assert outcome(["workload", "pipeline", "--all", "--ci", "jenkins", "--out", "ci/Jenkinsfile"]) == 0
    assert (tree / "ci" / "Jenkinsfile").read_text("utf-8") == text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("new hello", 2, "either --image or --from-source"),
        (f"new hello --image {IMAGE} --from-source .", 2, "either --image or --from-source"),
        ("new hello --image registry.example/hello:1.0", 2, "has no digest"),
        ("new hello --from-source nowhere", 2, "is not a folder"),
        ("new hello --from-source .", 2, "no files of a known language"),
        (f"new Hello --image {IMAGE}", 2, "is not a valid workload name"),
        (f"new hello --image {IMAGE} --env qa", 2, "choose from dev, test, prod"),
        ("render hello", 3, "does not exist"),
        ("pipeline", 2, "name them, or give --all"),
        ("pipeline other", 3, "does not exist"),
        ("list --tree /", 2, "no customization/"),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    assert outcome(["workload", *arguments.split()]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told
    assert not (tree / "customization" / "services").exists()
