"""Sizes and names that no linter of ours checks."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "journeymesh"
WRITTEN = sorted(path for room in ("src", "tests", "benchmarks") for path in (REPOSITORY / room).rglob("*.py"))
MOST_LINES_IN_A_FILE = 450
MOST_LINES_IN_A_FUNCTION = 80
MOST_PARAMETERS = 6

BANNED_IN_CLASSES = re.compile(r"(Manager|Helper|Processor|Utils?)$|^Handler$|^Abstract|Impl$|^New[A-Z]|2$")
BANNED_FUNCTIONS = re.compile(r"^process$|^new_|_2$|(?<!mps)(?<!\d)2$")  # m/s² is a unit, i32 a width
BANNED_MODULES = re.compile(r"^(utils?|common|misc|base|data|info|helpers?|managers?|handlers?|processors?)$|^new_|2$")


@functools.cache
def _definitions(path: Path) -> tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, ...]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return tuple(node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef))


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


MANY_PARAMETERS = {
    "Client.__init__": "the client's options, which callers name",
    "JourneyCalls.book": "the query of a route, which callers name",
    "JourneyCalls.export_summaries": "the query of a route, which callers name",
    "JourneyCalls.summaries": "the query of a route, which callers name",
    "JourneyCalls.top": "the query of a route, which callers name",
    "LakeQueries._select": "the lake, which Apache Iceberg is to replace",
    "LakeQueries.rows": "the lake, which Apache Iceberg is to replace",
    "LakeQueries.stream": "the lake, which Apache Iceberg is to replace",
    "Database.find": "conditions, order, page and columns of a select",
    "MongoRows.select": "conditions, order, page and columns of a select",
    "ReadableRows.select": "conditions, order, page and columns of a select",
    "ProtectedReads.select": "conditions, order, page and columns of a select",
    "SqlRows.select": "conditions, order, page and columns of a select",
    "_pages": "conditions, order, page and columns of a select",
    "_MemoryRows.select": "conditions, order, page and columns of a select",
}
"""What has more parameters, and why. Kernels and commands of the CLI aside."""


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Parameters but for the object or class that a method is of."""
    named = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return len(named) + len(function.args.kwonlyargs) - (named[:1] in (["self"], ["cls"]))


def _is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(re.match(r"(compiled|compiled_apart|entry)\b", ast.unparse(each)) for each in function.decorator_list)


def _many_parameters(text: str) -> set[str]:
    """Functions with more parameters than a reader keeps apart; methods as ``Class.method``."""
    tree = ast.parse(text)
    methods = {
        id(node): f"{owner.name}." for owner in ast.walk(tree) if isinstance(owner, ast.ClassDef) for node in owner.body
    }
    return {
        f"{methods.get(id(node), '')}{node.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not _is_kernel(node)
        and _parameters(node) > MOST_PARAMETERS
    }


def test_no_function_but_kernels_and_commands_has_many_parameters() -> None:
    by_file = {path.relative_to(SOURCE): _many_parameters(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}
    commands = {name for path, names in by_file.items() if path.parts[0] == "cli" for name in names}
    assert {name for name in commands if name.startswith("_")} == set()  # a command's name has no underscore
    assert set().union(*by_file.values()) - commands == set(MANY_PARAMETERS)


def test_a_function_with_many_parameters_would_be_found() -> None:
    many = "def f(a, b, c, *, d, e, f, g): ..."
    assert _many_parameters(many) == {"f"}
    assert _many_parameters(f"class A:\n    {many.replace('(a', '(self')}") == set()
    assert _many_parameters(f"@compiled\n{many}") == set()


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
NOT_YET_UNIQUE = frozenset({"Feed", "KeyUnusable", "PolicyAsked", "Reason", "Refusal", "Rows"})
"""Names that still stand for several things, for nobody to add to."""


def test_a_name_of_a_class_stands_for_one_thing() -> None:
    modules: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in _definitions(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules.setdefault(node.name, set()).add(str(path.relative_to(SOURCE)))
    allowed = MEAN_THE_SAME | NOT_YET_UNIQUE
    assert {name: places for name, places in modules.items() if len(places) > 1 and name not in allowed} == {}
