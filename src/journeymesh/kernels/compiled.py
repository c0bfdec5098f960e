"""How kernels are compiled: cached on disk, without the interpreter's lock, bit-for-bit the same at every call."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numba
from numba import types
from numba.extending import register_jitable

from journeymesh.kernels.kernel_cache import KernelCache

F64_IN: Final = types.Array(types.float64, 1, "C", readonly=True)
I64_IN: Final = types.Array(types.int64, 1, "C", readonly=True)
U32_IN: Final = types.Array(types.uint32, 1, "C", readonly=True)
I32_IN: Final = types.Array(types.int32, 1, "C", readonly=True)
I8_IN: Final = types.Array(types.int8, 1, "C", readonly=True)
U8_IN: Final = types.Array(types.uint8, 1, "C", readonly=True)
"""Column types of the kernels' entry functions. Columns are read-only there, so that Arrow's memory and numpy's are
one signature and each kernel is compiled once."""

_OPTIONS: Final[dict[str, Any]] = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""Without Numba's reference counts, which cost ten times what the pass does: kernels allocate nothing, they write into
the arrays they are given."""
_INNER: Final = _OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call, into each of them. No fast-math: the same input gives the same bytes.

    From Python it runs as it is written. An entry of its own from there would be two more copies of its code, and of
    all that is compiled into it, for LLVM to optimise.
    """
    return register_jitable(forceinline=True, **_INNER)(function)


def compiled_apart(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call, but seldom: apart from them, so that the code they run for every fix stays
    small and its values in registers."""
    return register_jitable(**_INNER)(function)


def entry(returns: Any, *arguments: Any, allocates: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel for one signature when its module is imported: from the disk cache after the first time.

    ``allocates`` lets it make arrays, at the price of reference counts.

    Numba's cache sees a change of the file a kernel stands in, not of the files it calls. So the cache's folder is
    named by a digest of all the package's sources that kernels are in.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        before = numba.config.CACHE_DIR
        sources = Path(function.__code__.co_filename).parent
        numba.config.CACHE_DIR = str(_cache_folder(sources))
        try:
            kernel = numba.njit(no_cfunc_wrapper=True, **(_OPTIONS | {"_nrt": allocates}))(function)
            kernel._cache = KernelCache(function, _digest(sources))
        finally:
            numba.config.CACHE_DIR = before
        kernel.compile(returns(*arguments))
        kernel.disable_compile()
        return kernel

    return decorate


@cache
def _digest(sources: Path) -> str:
    """Of everything that a kernel of this package may be compiled from."""
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__).parent
    for folder in sorted({sources, here, here.parent / "journeys"}):  # kernels of any room call those of journeys
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _cache_folder(sources: Path) -> Path:
    name = f"kernels-{sys.implementation.cache_tag}-{_digest(sources)}"
    beside = sources / "__pycache__" / name
    if _is_writable(beside):
        return beside
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache" if os.environ.get("HOME") != "" else "")
    kept = Path(home) / "journeymesh" / name
    if Path(home).is_absolute() and _is_writable(kept):
        return _kept(beside, kept)
    return _kept(beside, _temporary() / name)


def _is_writable(folder: Path) -> bool:
    """Whether the folder can be written, or made and then written. Tried, for rights are not all there is to it."""
    nearest = folder if folder.is_dir() else _nearest(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        return False
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return True
    except OSError:
        return False


def _temporary() -> Path:
    """A folder for the time being, which nobody else may write to: kernels are code. It is used again where it is
    ours alone."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"journeymesh-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        there = folder.lstat()
        if stat.S_ISDIR(there.st_mode) and there.st_uid == user and not there.st_mode & 0o077:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="journeymesh-"))


def _kept(brought: Path, folder: Path) -> Path:
    """A folder that can be written, with the kernels that an image brought along: Numba takes no other for a cache."""
    if brought.is_dir() and not folder.is_dir() and os.access(_nearest(folder), os.W_OK):
        folder.parent.mkdir(parents=True, exist_ok=True)
        begun = tempfile.mkdtemp(dir=folder.parent)
        copied = shutil.copytree(brought, Path(begun) / folder.name)
        try:
            copied.rename(folder)
        except OSError:  # another process was first
            assert folder.is_dir()
        shutil.rmtree(begun)
    return folder


def _nearest(folder: Path) -> Path:
    return next(place for place in folder.parents if place.is_dir())
