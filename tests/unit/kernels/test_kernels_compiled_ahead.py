"""A wheel brings kernels along: they are used where all is as it was when they were compiled, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from journeymesh.kernels import kernel_cache

KERNEL = """
from numba import types
from journeymesh.kernels.compiled import compiled, entry

@compiled
def plus(a, b):
    return a + b

@entry(types.int64, types.int64)
def twice(a):
    return plus(a, a)
"""
AHEAD = "from journeymesh.kernels.kernel_cache import compile_ahead; compile_ahead(); import kernel"
USE = "import logging; logging.basicConfig(); import kernel; print(kernel.twice(21), kernel.plus('a', 'b'))"
COMPILES = "compiling kernels"

pytestmark = pytest.mark.skipif(not kernel_cache._runs_here(), reason="kernels are compiled ahead for x86-64-v3")


def run(script: str, package: Path, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(package)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose kernel was compiled ahead."""
    package = tmp_path_factory.mktemp("wheel")
    (package / "kernel.py").write_text(KERNEL)
    run(AHEAD, package)
    assert {path.name for path in package.iterdir()} - {"__pycache__"} == {"kernel.py", kernel_cache.AHEAD}
    return package


def installed(wheel: Path, folder: Path) -> Path:
    """The package as an installer puts it elsewhere, without the caches of where it was built."""
    return Path(shutil.copytree(wheel, folder / "site-packages", ignore=shutil.ignore_patterns("__pycache__")))


def test_a_kernel_that_was_brought_along_is_not_compiled(wheel: Path, tmp_path: Path) -> None:
    found, said = run(USE, installed(wheel, tmp_path))
    assert found == "42 ab"
    assert COMPILES not in said


def test_changed_sources_are_compiled_whatever_was_brought_along(wheel: Path, tmp_path: Path) -> None:
    package = installed(wheel, tmp_path)
    (package / "kernel.py").write_text(KERNEL.replace("return plus(a, a)", "return plus(a, 1)"))
    found, said = run(USE, package)
    assert found == "22 ab"
    assert COMPILES in said


def test_another_processor_that_is_asked_for_gets_code_of_its_own(wheel: Path, tmp_path: Path) -> None:
    found, said = run(USE, installed(wheel, tmp_path), NUMBA_CPU_NAME="x86-64-v2", NUMBA_CPU_FEATURES="")
    assert found == "42 ab"
    assert COMPILES in said


def test_an_older_processor_takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_cache.binding, "get_host_cpu_features", lambda: {"sse4.2": True, "avx2": False})
    kernel_cache._runs_here.cache_clear()
    assert not kernel_cache._runs_here()
    kernel_cache._runs_here.cache_clear()
