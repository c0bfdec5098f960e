"""The mapped paths as a trie, in the flat arrays that the walker reads.

A *slot* is a place for one value per row. Paths without ``[]`` are slots of the document; each array named by ``[]``
takes one document slot itself, and has a trie of its own for the paths inside its elements.

A path that may also be one name (``gps.lat``) has a second node for it beside the first step, with the same slot: the
*whole* node. A document that has both means the whole one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from journeymesh.journeys.fixes import I32
from journeymesh.sources.paths import array_of, parsed

FIRST_CHILD: Final = 0
NEXT_SIBLING: Final = 1
KEY_AT: Final = 2
KEY_LENGTH: Final = 3
SLOT: Final = 4
SLOTS_FROM: Final = 5
SLOTS_TO: Final = 6
WHOLE: Final = 7
NODE_WIDTH: Final = 8

_Steps = tuple[str, ...]


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
        in_array = {path: array for path in paths if (array := array_of(path)) is not None}
        arrays = sorted(set(in_array.values()))
        builder = _Builder()
        plain = sorted((set(paths) - set(in_array)) | set(arrays))
        builder.add([(parsed(path).steps, path) for path in plain])
        document_slots = builder.width
        roots = []
        for array in arrays:
            inside = sorted({path for path, its in in_array.items() if its == array})
            root = builder.add([(parsed(path).steps[parsed(path).array or 0 :], path) for path in inside])
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

    def add(self, paths: Sequence[tuple[_Steps, str]]) -> int:
        """Add one trie of (steps, whole path); returns its root node. No steps are the root itself."""
        root = _Node("")
        for steps, whole in paths:
            node = root
            for step in steps:
                node = node.children.setdefault(step, _Node(step))
            node.path = whole
        number = self._number(root)
        for steps, whole in paths:
            if len(steps) > 1 and '"' not in whole:
                self._beside(number, ".".join(steps), self.slots[whole])
        return number

    def _beside(self, root: int, name: str, slot: int) -> None:
        """Add the whole node of a path as the last child of its root."""
        key = name.encode()
        last = self.nodes[root][FIRST_CHILD]
        while self.nodes[last][NEXT_SIBLING] >= 0:
            last = self.nodes[last][NEXT_SIBLING]
        self.nodes[last][NEXT_SIBLING] = len(self.nodes)
        self.nodes.append([-1, -1, len(self.keys), len(key), slot, slot, slot + 1, 1])
        self.keys += key

    def _number(self, node: _Node) -> int:
        number = len(self.nodes)
        key = node.key.encode()
        row = [-1, -1, len(self.keys), len(key), -1, self.width, self.width, 0]
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
