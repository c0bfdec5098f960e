"""Environments of their own for peers that cannot live in ours, made on demand with the versions in ``peers/*.txt``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = {
    "trackintel": "trackintel",
    "movingpandas": "movingpandas",
    "scikit_mobility": "scikit-mobility",
    "pymongoarrow": "pymongoarrow",
    "fastapi": "fastapi",
}


class NotBuilt(Exception):
    """An environment could not be made; the text says why."""


@cache
def python_of(name: str) -> str:
    """The interpreter that runs the measurement of this name.

    Raises:
        NotBuilt: its environment cannot be made.
    """
    if name not in OWN:
        return sys.executable
    folder = ROOT / ".cache" / f"bench-{OWN[name]}"
    python, pinned = folder / "bin" / "python", Path(__file__).parent / "peers" / f"{OWN[name]}.txt"
    done = folder / ".synced"
    if done.exists() and done.read_text() == pinned.read_text():
        return str(python)
    uv = str(ROOT / ".cache" / "uv" / "bin" / "uv") if (ROOT / ".cache" / "uv" / "bin" / "uv").exists() else "uv"
    if shutil.which(uv) is None:
        raise NotBuilt("uv is not installed")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", "3.11", str(folder)],
        [uv, "pip", "sync", "--quiet", "--python", str(python), str(pinned)],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise NotBuilt(" ".join(ran.stderr.split())[-200:] or f"{command[1]} failed")
    done.write_text(pinned.read_text())
    return str(python)


def version_of(name: str) -> str:
    """The peer's version: from its pinned list, or from our own environment."""
    if name not in OWN:
        return version(name)
    lines = (Path(__file__).parent / "peers" / f"{OWN[name]}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{OWN[name]}=="))
