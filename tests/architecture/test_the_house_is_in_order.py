"""Sizes and names that no linter of ours checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "journeymesh"
WRITTEN = sorted(path for room in ("src", "tests", "benchmarks") for path in (REPOSITORY / room).rglob("*.py"))
MOST_LINES_IN_A_FILE = 450
MOST_LINES_IN_A_FUNCTION = 80

BANNED_IN_CLASSES = re.compile(r"(Manager|Helper|Processor|Utils?)$|^Handler$|^Abstract|Impl$|^New[A-Z]|2$")
BANNED_FUNCTIONS = re.compile(r"^process$|^new_|_2$|(?<!mps)(?<!\d)2$")  # m/s² is a unit, i32 a width
BANNED_MODULES = re.compile(r"^(utils?|common|misc|base|data|info|helpers?|managers?|handlers?|processors?)$|^new_|2$")


def _definitions(path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_longer_than_a_reader_holds_in_mind() -> None:
    lengths = {str(p.relative_to(REPOSITORY)): len(p.read_text("utf-8").splitlines()) for p in WRITTEN}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES_IN_A_FILE} == {}


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function; its docstring may be as long as the promise needs."""
    first = function.body[0]
    promised = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if promised else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def test_no_function_of_the_product_is_longer_than_a_screen() -> None:
    too_long = {
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}": lines
        for path in SOURCE.rglob("*.py")
        for node in _definitions(path)
        if not isinstance(node, ast.ClassDef) and (lines := _lines(node)) > MOST_LINES_IN_A_FUNCTION
    }
    assert too_long == {}


def test_names_say_what_a_thing_is_about() -> None:
    banned = [str(p.relative_to(REPOSITORY)) for p in SOURCE.rglob("*.py") if BANNED_MODULES.search(p.stem)]
    rooms = {path.parent for path in SOURCE.rglob("*.py")}
    banned += [str(room.relative_to(REPOSITORY)) for room in rooms if BANNED_MODULES.search(room.name)]
    for path in SOURCE.rglob("*.py"):
        for node in _definitions(path):
            pattern = BANNED_IN_CLASSES if isinstance(node, ast.ClassDef) else BANNED_FUNCTIONS
            if pattern.search(node.name):
                banned.append(f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}")
    assert banned == []


@pytest.mark.parametrize("name", ["StoreManager", "AbstractStore", "StoreImpl", "NewStore", "Handler"])
def test_a_banned_class_name_would_be_found(name: str) -> None:
    assert BANNED_IN_CLASSES.search(name)


PURE: frozenset[str] = frozenset(
    {"__future__", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "itertools", "json",
     "math", "msgspec", "numba", "numpy", "pyarrow", "typing", "zoneinfo"}
)  # fmt: skip
"""What the domain may import beside our own rooms: nothing in these that it calls opens a file or a socket."""
OPENING = re.compile(r"^(open|read_\w+|write_\w+|memory_map|OSFile|load|save|fromfile|tofile|connect|urlopen|system)$")
"""Calls that open something, by the names that these libraries and Python give them."""


def _opened_in(text: str) -> list[str]:
    """Imports and calls of this code by which it could open a file or a socket."""
    opened: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            opened += [name.name for name in node.names if name.name.split(".")[0] not in PURE]
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            opened += [module] if module.split(".", maxsplit=1)[0] not in PURE | {"journeymesh"} else []
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            opened += [called] if OPENING.match(called) else []
    return opened


def test_the_domain_opens_no_file_and_no_socket() -> None:
    opened = {path.name: _opened_in(path.read_text("utf-8")) for path in (SOURCE / "journeys").rglob("*.py")}
    assert {name: found for name, found in opened.items() if found} == {}


@pytest.mark.parametrize(
    "code", ["import os", "from pathlib import Path", "open('a')", "pa.OSFile('a')", "np.load('a')", "import socket"]
)
def test_code_that_opens_something_would_be_found(code: str) -> None:
    assert _opened_in(code)


def test_a_room_is_imported_without_opening_anything() -> None:
    """Nothing connects, writes or compiles at import; the command line's start depends on it."""
    importing = "import sys, journeymesh.errors, journeymesh.journeys.rules; print(*sorted(sys.modules))"
    python = subprocess.run([sys.executable, "-c", importing], capture_output=True, text=True, check=True)
    assert {"numba", "pyarrow", "pymongo", "sqlalchemy"} & set(python.stdout.split()) == set()


MEAN_THE_SAME = frozenset({"Ask", "Problem"})
"""Names of classes that are one thing on both sides of the wire: the client imports no service."""
NOT_YET_UNIQUE = frozenset(
    {
        "Answer", "Asked", "Changes", "Dependencies", "Difference", "Environment", "Evidence", "Feed", "Finding",
        "Found", "HourCell", "KeyUnusable", "Kind", "Life", "Listed", "Listing", "Manifest", "Move", "Outcome",
        "Parts", "PolicyAsked", "PolicyBook", "Reason", "Refusal", "Rendering", "Routing", "Rows", "Source", "Wanted",
        "Window",
    }
)  # fmt: skip
"""Names that still stand for several things, for nobody to add to."""


def test_a_name_of_a_class_stands_for_one_thing() -> None:
    modules: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in _definitions(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, set()).add(str(path.relative_to(SOURCE)))
    allowed = MEAN_THE_SAME | NOT_YET_UNIQUE
    assert {name: places for name, places in modules.items() if len(places) > 1 and name not in allowed} == {}
