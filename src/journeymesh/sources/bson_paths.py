"""The mapped paths as a trie, in the flat arrays that the walker reads.

A *slot* is a place for one value per row. Paths without ``[]`` are slots of the document; each array named by ``[]``
takes one document slot itself, and has a trie of its own for the paths inside its elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from journeymesh.journeys.fixes import I32

FIRST_CHILD: Final = 0
NEXT_SIBLING: Final = 1
KEY_AT: Final = 2
KEY_LENGTH: Final = 3
SLOT: Final = 4
SLOTS_FROM: Final = 5
SLOTS_TO: Final = 6
NODE_WIDTH: Final = 7


@dataclass(slots=True)
class _Node:
    key: str
    path: str | None = None
    children: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PathTrie:
    """The trie of a set of paths.

    - ``nodes``: int32[nodes, NODE_WIDTH]; ``keys``: uint8, the nodes' keys one after the other
    - ``arrays``: int32[arrays, 2], for each array its document slot and the root node of its elements' trie
    - ``slots``: the slot of each path; ``width``: how many slots there are; ``document_slots``: the first of them
      belong to the document, the others to array elements
    """

    nodes: I32
    keys: np.ndarray[tuple[int], np.dtype[np.uint8]]
    arrays: I32
    slots: dict[str, int]
    width: int
    document_slots: int

    @classmethod
    def of(cls, paths: Sequence[str]) -> PathTrie:
        """The trie of these paths; equal ones share a slot."""
        arrays = sorted({path.partition("[]")[0] for path in paths if "[]" in path})
        builder = _Builder()
        plain = sorted({path for path in paths if "[]" not in path} | set(arrays))
        builder.add([(path, path) for path in plain])
        document_slots = builder.width
        roots = []
        for array in arrays:
            prefix = f"{array}[]"
            inside = sorted({path for path in paths if path.startswith(prefix)})
            root = builder.add([(path.removeprefix(prefix).lstrip("."), path) for path in inside])
            roots.append((builder.slots[array], root))
        return cls(
            nodes=np.array(builder.nodes, np.int32).reshape(-1, NODE_WIDTH),
            keys=np.frombuffer(bytes(builder.keys) or b"\0", np.uint8),
            arrays=np.array(roots, np.int32).reshape(-1, 2),
            slots=builder.slots,
            width=builder.width,
            document_slots=document_slots,
        )


class _Builder:
    """Numbers nodes and slots depth first, so that the slots below a node are one range."""

    def __init__(self) -> None:
        self.nodes: list[list[int]] = []
        self.keys = bytearray()
        self.slots: dict[str, int] = {}
        self.width = 0

    def add(self, paths: Sequence[tuple[str, str]]) -> int:
        """Add one trie of (steps, whole path); returns its root node. Empty steps are the root itself."""
        root = _Node("")
        for steps, whole in paths:
            node = root
            for step in steps.split(".") if steps else ():
                node = node.children.setdefault(step, _Node(step))
            node.path = whole
        return self._number(root)

    def _number(self, node: _Node) -> int:
        number = len(self.nodes)
        key = node.key.encode()
        row = [-1, -1, len(self.keys), len(key), -1, self.width, self.width]
        self.nodes.append(row)
        self.keys += key
        if node.path is not None:
            row[SLOT] = self.slots[node.path] = self.width
            self.width += 1
        previous = -1
        for child in node.children.values():
            at = self._number(child)
            if previous < 0:
                row[FIRST_CHILD] = at
            else:
                self.nodes[previous][NEXT_SIBLING] = at
            previous = at
        row[SLOTS_TO] = self.width
        return number
