"""The language of a source folder, and the Dockerfile for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from journeymesh.delivery.workloads.sources import SourceUnknown, ensure_dockerfile, language_of
from tests.support.trees import REPOSITORY

SAMPLES = REPOSITORY / "examples" / "workloads"
LANGUAGES = ("python", "node", "java", "go", "dotnet")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_is_recognised_by_its_files(language: str) -> None:
    assert language_of(SAMPLES / language).name == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_samples_have_the_dockerfile_that_is_written_for_their_sources(tmp_path: Path, language: str) -> None:
    folder = tmp_path / language
    shutil.copytree(SAMPLES / language, folder, ignore=shutil.ignore_patterns("Dockerfile", ".dockerignore"))
    written = ensure_dockerfile(folder)
    assert [path.name for path in written] == ["Dockerfile", ".dockerignore"]
    for path in written:
        assert path.read_text("utf-8") == (SAMPLES / language / path.name).read_text("utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_dockerfile_leaves_the_compiler_behind_and_ends_as_a_user_without_privileges(language: str) -> None:
    text = (SAMPLES / language / "Dockerfile").read_text("utf-8")
    build, _, run = text.rpartition("\nFROM ")
    assert " AS build\n" in build
    assert "\nUSER 10001:10001\n" in run
    assert "apt-get" not in run
    assert "--mount" not in text, "the classic builder knows no mounts"
    assert "$" + "{" not in text, "every place of the template is filled"


def test_a_dockerfile_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", "utf-8")
    assert ensure_dockerfile(tmp_path) == []
    assert (tmp_path / "Dockerfile").read_text("utf-8") == "FROM scratch\n"


def test_a_maven_project_is_built_by_maven(tmp_path: Path) -> None:
    (tmp_path / "pom.xml").write_text("<project/>", "utf-8")
    ensure_dockerfile(tmp_path)
    assert "mvn -B -q package" in (tmp_path / "Dockerfile").read_text("utf-8")


def test_a_script_in_a_project_of_another_language_does_not_matter(tmp_path: Path) -> None:
    for name in ("go.mod", "main.go", "tool.py"):
        (tmp_path / name).write_text("", "utf-8")
    assert language_of(tmp_path).name == "go"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no files of a known language"),
        (("go.mod", "package.json"), "could be node or go"),
        (("package.json",), r"node without any of server\.js"),
        (("lib.py",), r"python without any of main\.py"),
    ],
)
def test_a_folder_that_does_not_say_how_it_is_built_is_refused(
    tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("", "utf-8")
    with pytest.raises(SourceUnknown, match=said):
        ensure_dockerfile(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceUnknown, match="is not a folder"):
        ensure_dockerfile(tmp_path / "nowhere")
