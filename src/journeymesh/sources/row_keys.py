"""What tells a refused row from every other: its file, its content, and which of several equal rows it is."""

from __future__ import annotations

import hashlib
from typing import Final

_MOST_COUNTED: Final = 1_000_000
"""So many different refused rows of one file are remembered; those after them are told apart by their line."""


class RowKeys:
    """What tells the refused rows of one file from all others: the file, the row's content, and which of several
    equal rows it is. A file that has grown, or is read again, gives the same keys; one of that name elsewhere does not.

    ``file`` is where it is, in full: ``file:///data/day1/fixes.csv``. For one reading, from the beginning.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: dict[bytes, int] = {}

    def key(self, row: bytes, line: int) -> str:
        """The key of this row, which stands at this line."""
        digest = hashlib.blake2b(row, digest_size=16).digest()
        before = self._seen.get(digest)
        if before is None and len(self._seen) >= _MOST_COUNTED:
            return f"{self._file}\0{digest.hex()}\0line {line}"
        self._seen[digest] = (before or 0) + 1
        return f"{self._file}\0{digest.hex()}\0{self._seen[digest]}"
