from __future__ import annotations

import os
from pathlib import Path

import pytest

from journeymesh.kernels import compiled


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A package's folder with kernels that were compiled when an image was built."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "kernel.py").write_text("")
    compiled._cache_folder.cache_clear()
    folder = compiled._cache_folder(tmp_path / "package")
    folder.mkdir(parents=True)
    (folder / "kernel.nbi").write_bytes(b"index")
    compiled._cache_folder.cache_clear()
    return tmp_path / "package"


def test_kernels_stand_beside_their_sources_where_those_can_be_written(sources: Path) -> None:
    assert compiled._cache_folder(sources).parent == sources / "__pycache__"


def test_kernels_of_a_read_only_image_are_copied_to_where_more_can_be_added(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writable = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not Path(path).is_relative_to(sources) and writable(path, mode)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = compiled._cache_folder(sources)
    assert folder.is_relative_to(tmp_path / "cache" / "journeymesh")
    (folder / "other.nbi").write_bytes(b"added")
    compiled._cache_folder.cache_clear()
    assert compiled._cache_folder(sources) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "kernel.nbi": b"index",
        "other.nbi": b"added",
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
