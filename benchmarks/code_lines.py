"""Lines of code in ``src``, by room: without docstrings, comments and blank lines, delivery and the lake left out.

python -m benchmarks.code_lines [TREE]
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Lines on which a token of code stands: docstrings are none."""
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> None:
    """Print a room a line, the largest first, and the sum."""
    package = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "src/journeymesh"
    rooms: Counter[str] = Counter()
    for path in package.rglob("*.py"):
        inside = path.relative_to(package)
        if inside.parts[0] != "delivery" and "lake" not in str(inside):
            rooms[inside.parts[0] if len(inside.parts) > 1 else "(top)"] += code_lines(path.read_text("utf-8"))
    for room, lines in rooms.most_common():
        print(f"{lines:7,}  {room}")
    print(f"{sum(rooms.values()):7,}  in all")


if __name__ == "__main__":
    main()
