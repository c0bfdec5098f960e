"""What browsers load from the console: pinned, shipped as files, small where it is ours."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from journeymesh.services.console.rendering import STATIC

REPOSITORY = Path(__file__).parents[4]
MOST_OWN_GZIP_BYTES = 30_000


def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_browser_files", REPOSITORY / "docs/make_browser_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shipped() -> dict[str, bytes]:
    vendor = STATIC / "vendor"
    return {str(path.relative_to(vendor)): path.read_bytes() for path in vendor.rglob("*") if path.is_file()}


def test_what_is_shipped_is_what_was_recorded() -> None:
    made = maker()
    assert made.digests(shipped()) == json.loads(made.RECORD.read_text("utf-8"))


def test_what_is_shipped_is_what_the_lock_names(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed; the recorded digests are checked all the same")
    made = maker()
    try:
        modules = made.installed(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("npm reaches no registry; the recorded digests are checked all the same")
    taken = {name: hashlib.sha256(content).hexdigest() for name, content in made.taken(modules).items()}
    assert taken == made.digests(shipped())


def test_every_version_is_pinned_exactly_and_locked_by_digest() -> None:
    made = maker()
    pins = json.loads((made.LOCKED / "package.json").read_text("utf-8"))["dependencies"]
    lock = json.loads((made.LOCKED / "package-lock.json").read_text("utf-8"))["packages"]
    assert set(pins) == set(made.FILES)
    for name, version in pins.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert lock[f"node_modules/{name}"]["version"] == version
    assert all(each["integrity"].startswith("sha512-") for place, each in lock.items() if place)


def test_every_shipped_package_has_its_licence() -> None:
    text = (STATIC / "vendor/LICENCES.txt").read_text("utf-8")
    for name in maker().FILES:
        part = text.partition(f"\n{name} ")[2]
        assert "Permission" in part[:4000] or "Redistribution" in part[:4000], name


def test_our_own_javascript_is_small_and_reaches_for_nothing_elsewhere() -> None:
    own = {path.name: path.read_bytes() for path in STATIC.glob("*.js")}
    packed = sum(len(gzip.compress(content, 9)) for content in own.values())
    print(f"our own JavaScript: {packed:,} bytes gzip in {len(own)} files")
    assert own
    assert packed <= MOST_OWN_GZIP_BYTES
    for name, content in own.items():
        assert not re.search(
            rb"https?://|\beval\b|new Function|innerHTML|insertAdjacentHTML|document\.write", content
        ), name
