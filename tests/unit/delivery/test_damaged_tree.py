"""A tree that somebody damaged: whatever stands where, commands say which file is wrong and never end as a fault."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeymesh.cli.main import outcome
from journeymesh.yaml_files import load_all_yaml

ROOT = Path(__file__).parents[3]
IMAGE = f"journeymesh=registry.example/journeymesh@sha256:{'a' * 64}"
WRONG: tuple[Any, ...] = (3, "text", [3], {"a": [3]}, None, [None])
SOPS = "creation_rules:\n- {path_regex: customization/secrets/dev/.*, encrypted_regex: ^data$, age: age1x}\n"
READ_BY = {
    "customization/services/journeyapi/overlays/dev/kustomization.yaml": (
        ("pin", "--env", "dev", IMAGE),
        ("addresses",),
    ),
    "customization/services/journeyapi/overlays/test/kustomization.yaml": (
        ("promote", "journeyapi", "--from", "dev", "--to", "test", "--patch", "-"),
    ),
    "customization/bootstrap/dev/root-appbundle-app-dev.yaml": (("addresses",),),
    "customization/bootstrap/signers/kustomization.yaml": (("signers",),),
    "release/dev/approved-digests": (("pin", "--env", "dev", IMAGE),),
    ".sops.yaml": (("secrets", "new", "--env", "dev"),),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small part of the repository's tree."""
    for name in ("services/journeyapi/overlays", "bootstrap/dev", "bootstrap/signers"):
        shutil.copytree(ROOT / "customization" / name, tmp_path / "customization" / name)
    shutil.copytree(ROOT / "release", tmp_path / "release")
    (tmp_path / ".sops.yaml").write_text(SOPS)
    return tmp_path


def places(content: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place down to the third level; of lists, the first element's."""
    yield before
    if len(before) < 3 and isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(min(len(content), 1)):
            yield from places(content[key], (*before, key))


def damaged(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the content with this value there."""
    if not place:
        return value
    whole = copy.deepcopy(content)
    inner = whole
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return whole


def _text(*documents: Any) -> str:
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper)


@pytest.mark.parametrize("file", READ_BY)
def test_a_damaged_file_is_named_and_never_ends_as_a_fault_of_the_program(
    tree: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tree / file
    whole = path.read_bytes()
    named = 0
    documents = load_all_yaml(whole.decode()) if path.suffix == ".yaml" else [whole.decode().splitlines()]
    for number, place in enumerate(places(documents[0])):
        for value in WRONG if len(place) < 2 else (WRONG[number % 6], WRONG[(number + 3) % 6]):
            path.write_text(_text(damaged(documents[0], place, value), *documents[1:]))
            for command in READ_BY[file]:
                code = outcome(["delivery", *command, "--tree", str(tree)])
                told = capsys.readouterr().err
                assert "this is a bug" not in told, f"{place} = {value!r}, {command[0]}: {told}"
                named += code != 0 and path.name in told
    path.write_bytes(b"\xff\xfe\x00")
    for command in READ_BY[file]:
        assert outcome(["delivery", *command, "--tree", str(tree)]) != 0
        assert path.name in capsys.readouterr().err
    assert named > 0, "none of them was found to be wrong"
