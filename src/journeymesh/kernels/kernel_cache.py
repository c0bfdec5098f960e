"""Where a kernel's machine code comes from: Numba's cache on this machine, else what a wheel brought along.

``make wheel`` compiles every kernel for a processor that nearly every server has and puts the code into the wheel,
beside the sources. It is used where everything is as it was then: sources, Python, Numba, LLVM and kind of machine.
Elsewhere kernels are compiled when they are first imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import llvmlite
import numba
from llvmlite import binding
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target

AHEAD: Final = "compiled_ahead"
"""The folder beside a kernel's sources that a wheel brings."""
_PORTABLE_CPU: Final = "x86-64-v3"
_ITS_FEATURES: Final = ("avx2", "bmi", "bmi2", "cx16", "f16c", "fma", "lzcnt", "movbe", "popcnt", "sse4.2", "xsave")
_compiles_ahead = False


class NotThisMachine(RuntimeError):
    """Kernels can be compiled ahead on x86-64 only, and before any is loaded."""


def compile_ahead() -> None:
    """Let every kernel whose module is imported from now on be compiled for a wheel.

    Raises ``NotThisMachine`` where that cannot be.
    """
    global _compiles_ahead  # noqa: PLW0603  # a mode of the whole process, as Numba's own settings are
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = _PORTABLE_CPU, ""
    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    if (cpu, features) != (_PORTABLE_CPU, "") or not _runs_here():
        raise NotThisMachine(f"kernels are compiled ahead for {_PORTABLE_CPU}: this machine cannot run it")
    _compiles_ahead = True


class KernelCache:
    """What Numba asks for one kernel's code, by the names that Numba calls."""

    def __init__(self, function: Callable[..., Any], digest: str) -> None:
        """``digest`` is of all the sources that the kernel's code comes from."""
        source = Path(function.__code__.co_filename)
        name = f"{source.stem}.{function.__name__}.{sys.implementation.cache_tag}"
        self._own = FunctionCache(function)
        self._ahead = IndexDataCacheFile(str(source.parent / AHEAD), name, digest)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The code, or None where it must be compiled."""
        if _compiles_ahead:
            return None
        found = self._own.load_overload(signature, target)
        if found is None and _runs_here():
            ahead = self._ahead.load(_key(target.codegen()))
            found = None if ahead is None else CompileResult._rebuild(target, *ahead)
        if found is None:
            _say_that_it_compiles()
        return found

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep what was compiled."""
        if not _compiles_ahead:
            self._own.save_overload(signature, code)
            return
        Path(self._ahead._cache_path).mkdir(exist_ok=True)
        self._ahead.save(_key(code.codegen), code._reduce())


def _key(codegen: Any) -> tuple[str, str]:
    """What the code depends on beside its sources, Python and Numba, which Numba's index knows."""
    return llvmlite.__version__, codegen.magic_tuple()[0]


@cache
def _runs_here() -> bool:
    """Whether this machine runs code for the portable processor, and no other one is asked for."""
    if numba.config.CPU_NAME not in (None, _PORTABLE_CPU) or not binding.get_process_triple().startswith("x86_64"):
        return False
    try:
        features = binding.get_host_cpu_features()
    except RuntimeError:  # not known to LLVM
        return False
    return all(features.get(feature, False) for feature in _ITS_FEATURES)


@cache
def _say_that_it_compiles() -> None:
    """Once in a process: whoever waits half a minute for a first result wants to know why."""
    logging.getLogger(__name__).warning("compiling kernels, once for this installation: it takes up to a minute")
