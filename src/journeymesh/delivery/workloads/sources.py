"""The language of a source folder, by its files, and a Dockerfile for it where it has none.

The Dockerfiles have two stages, so that no compiler reaches production, and end as a user without privileges. They need
nothing that only BuildKit has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from journeymesh.errors import UsageError

DOCKERFILE: Final = "Dockerfile"
DOCKERIGNORE: Final = ".dockerignore"
_TEMPLATES: Final = Path(__file__).parent / "templates"


class SourceUnknown(UsageError):
    """A source folder does not say how it is built."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language: ``manifests`` settle it, the first of ``entries`` is run, ``made`` is no source."""

    name: str
    manifests: tuple[str, ...]
    sources: str
    entries: tuple[str, ...]
    made: tuple[str, ...] = ()


LANGUAGES: Final = (
    Language(
        "python",
        ("pyproject.toml", "requirements.txt"),
        "*.py",
        ("main.py", "app.py", "server.py"),
        made=(".venv", "**/__pycache__"),
    ),
    Language("node", ("package.json",), "*.js", ("server.js", "index.js", "main.js", "app.js"), made=("node_modules",)),
    Language("java", ("pom.xml",), "*.java", ("pom.xml", "Main.java"), made=("target", "**/*.class")),
    Language("go", ("go.mod",), "*.go", ("go.mod",)),
    Language("dotnet", ("*.csproj",), "*.cs", ("*.csproj",), made=("bin", "obj")),
)


def language_of(folder: Path) -> Language:
    """The language that the folder is written in.

    Raises:
        SourceUnknown: no files, or those of several languages.
    """
    if not folder.is_dir():
        raise SourceUnknown(f"{folder} is not a folder", todo="name the folder that holds the source")
    settled = [each for each in LANGUAGES if any(_first(folder, pattern) for pattern in each.manifests)]
    found = settled or [each for each in LANGUAGES if _first(folder, each.sources)]
    if len(found) != 1:
        what = f"could be {' or '.join(each.name for each in found)}" if found else "has no files of a known language"
        names = ", ".join(each.name for each in LANGUAGES)
        raise SourceUnknown(f"{folder} {what}", todo=f"write a Dockerfile there; known without one are {names}")
    return found[0]


def dockerfile(folder: Path) -> str:
    """A Dockerfile for this folder.

    Raises:
        SourceUnknown: nothing says what is to be run.
    """
    language = language_of(folder)
    entry = next((name for pattern in language.entries if (name := _first(folder, pattern))), None)
    if entry is None:
        wanted = ", ".join(language.entries)
        raise SourceUnknown(f"{folder}: {language.name} without any of {wanted}", todo="add one, or write a Dockerfile")
    template = "java-maven" if entry == "pom.xml" else language.name
    text = (_TEMPLATES / f"{template}.Dockerfile").read_text("utf-8")
    return Template(text).safe_substitute(entry=entry, stem=entry.rpartition(".")[0])


def ensure_dockerfile(folder: Path) -> list[Path]:
    """Write a Dockerfile, and what the build leaves out, where the folder has none; the paths written."""
    if (folder / DOCKERFILE).is_file():
        return []
    ignored = (".git", *language_of(folder).made, DOCKERFILE, DOCKERIGNORE)
    wanted = {folder / DOCKERFILE: dockerfile(folder), folder / DOCKERIGNORE: "\n".join(ignored) + "\n"}
    written = [path for path in wanted if not path.exists()]
    for path in written:
        path.write_text(wanted[path], "utf-8")
    return written


def _first(folder: Path, pattern: str) -> str | None:
    return next((path.name for path in sorted(folder.glob(pattern)) if path.is_file()), None)
