"""JSON: an object on each line, objects one after the other, or an array of them. One that cannot be read is refused,
and the others are read. What stands before an object on its line, parted from it by a tab, is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.document_rows import Rows, columns_of, only_array, rows_of
from journeymesh.sources.files import FileDamaged, SourceFile, opened, origins_from, read_position
from journeymesh.sources.json_documents import JsonDocuments, is_document, run_on
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.refused_rows import as_json, refusals_of, refused_text
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.signals import SignalRows
from journeymesh.sources.text_encoding import Utf8Stream

BLOCK_BYTES: Final = 8 << 20
PEEK_BYTES: Final = 1 << 20
MOST_DOCUMENT_BYTES: Final = 64 << 20
MOST_DOCUMENTS: Final = 1 << 17
"""Of a batch: each may become a refusal, which takes far more memory than a document of two bytes."""


@dataclass(slots=True)
class JsonFile:
    """One file being read."""

    file: SourceFile
    number: int
    reading: RowReading
    encoding: str | None = None
    signals: SignalRows | None = None
    notes: list[str] = field(default_factory=list)
    keys: RowKeys = field(init=False)
    _documents: JsonDocuments = field(init=False)

    def __post_init__(self) -> None:
        self.keys = RowKeys(self.file.place)
        required = [] if self.signals is None else self.signals.required
        self._documents = JsonDocuments([*required, *self.reading.paths])

    def batches(self) -> Iterator[SourceBatch]:
        """Every document once.

        Raises:
            FileDamaged: a document is too long, or the text ends within one.
        """
        with opened(self.file) as raw:
            stream = Utf8Stream(raw, self.encoding)
            if stream.encoding != "utf-8" and self.encoding is None:
                self.notes.append(f"encoding {stream.encoding}")
            position = 0
            for first, values in self._values(stream):
                moved, position = read_position(raw) - position, read_position(raw)
                for at in range(0, max(len(values), 1), MOST_DOCUMENTS):
                    some = values[at : at + MOST_DOCUMENTS]
                    yield self._read(some, origins_from(self.number, first + at, len(some)), 0 if at else moved)
        if self.signals is not None:
            yield self.signals.batch(self.number, self.keys)
            self.notes += self.signals.notes

    def documents(self) -> Iterator[dict[str, Any]]:
        """Every document as it is written, whatever of it is mapped."""
        with opened(self.file, whole=False) as raw:
            for _, values in self._values(Utf8Stream(raw, self.encoding)):
                for value in values:
                    document = self._documents.whole(value)
                    if isinstance(document, dict):
                        yield document

    def _values(self, stream: Utf8Stream) -> Iterator[tuple[int, list[bytes]]]:
        """The texts of documents, and the number of the first: of its line, or among its like."""
        kind = kind_of(stream.peek(PEEK_BYTES))
        if kind == "lines":
            yield from self._lines(stream)
            return
        from journeymesh.sources.json_splitter import JsonSplitter

        self.notes.append("a JSON array" if kind == "array" else "JSON objects one after the other")
        splitter = JsonSplitter(in_array=kind == "array")
        around = (b"", b"")
        if kind == "values" and (steps := only_array(self.reading.fields, self.reading.where)):
            # Every mapped value stands in one array: its elements are read one by one, however many there are.
            splitter = JsonSplitter(steps)
            around = _around(steps)
        number = 1
        while piece := stream.read(BLOCK_BYTES):
            values = [around[0] + value + around[1] for value in splitter.feed(piece)]
            yield number, values
            number += len(values)
            if len(splitter.unfinished) > MOST_DOCUMENT_BYTES:
                raise FileDamaged(
                    f"{self.file.name}: document {number} is longer than {MOST_DOCUMENT_BYTES >> 20} MiB",
                    todo="check that its brackets and quotes are closed",
                )
        if splitter.unfinished.strip():
            yield number, [splitter.unfinished]

    def _lines(self, stream: Utf8Stream) -> Iterator[tuple[int, list[bytes]]]:
        number, tail = 1, b""
        while piece := stream.read(BLOCK_BYTES):
            lines = (tail + piece).split(b"\n")
            tail = lines.pop()
            if len(tail) > MOST_DOCUMENT_BYTES:
                raise FileDamaged(
                    f"{self.file.name}: line {number + len(lines)} is longer than {MOST_DOCUMENT_BYTES >> 20} MiB",
                    todo="give each document its own line",
                )
            yield number, lines
            number += len(lines)
        if tail:
            yield number, [tail]

    def _read(self, texts: Sequence[bytes], origins: I64, read_bytes: int) -> SourceBatch:
        documents: list[dict[str, Any]] = []
        refusals: list[Refusal] = []
        kept = np.ones(len(texts), np.bool_)
        whole: list[bytes] = []
        for row, text in enumerate(texts):
            document, fault = self._documents.read(text)
            if document is not None:
                documents.append(document)
                whole.append(text)
                continue
            kept[row] = False
            if fault:
                refusals.append(refused_text(self._origin(origins[row]), fault, text, self.keys))
        origins = origins[kept]
        if not documents:
            return SourceBatch(Fixes.empty(), refusals, read_bytes=read_bytes)
        rows = self._rows(documents)
        numbers = np.asarray(rows.document, np.int64)
        if self.signals is None:
            reading = replace(self.reading, where=rows.where)
            fixes, faults = reading.fixes(rows.columns.get, origins[numbers], element=rows.element)
        else:
            fixes, faults = Fixes.empty(), self.signals.add(rows.columns.get, origins[numbers], untyped=False)
        names = {row: self._place(origins[numbers[row]], rows.element[row]) for row in faults.reasons}
        refusals += refusals_of(faults, names, lambda row: self._content(whole, rows, row), self.keys)
        refusals += [
            refused_text(
                self._origin(origins[number]),
                "no array of fixes",
                as_json(self._documents.whole(whole[number])).encode(),
                self.keys,
            )
            for number in rows.without
        ]
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=rows.others + faults.others)

    def _rows(self, documents: Sequence[dict[str, Any]]) -> Rows:
        if self.signals is None:
            return rows_of(documents, self.reading.fields, self.reading.where)
        paths = dict.fromkeys([*self.signals.required, *self.reading.paths])
        alone = [-1] * len(documents)
        return Rows(columns_of(documents, paths), {}, range(len(documents)), alone)

    def _content(self, texts: Sequence[bytes], rows: Rows, row: int) -> object:
        """The document; of one with an array of fixes, what was read for this one of them."""
        if rows.element[row] < 0:
            return self._documents.whole(texts[rows.document[row]])
        return {path: one[row] if isinstance(one, list) else one[row].as_py() for path, one in rows.columns.items()}

    def _place(self, origin: int, element: int) -> str:
        """Where a row is: ``trips.json:3``, or ``trips.json:3[17]`` for an element of the document's array."""
        return self._origin(origin) + (f"[{element}]" if element >= 0 else "")

    def _origin(self, origin: int) -> str:
        return f"{self.file.name}:{int(origin) & ((1 << 40) - 1)}"


def kind_of(head: bytes) -> str:
    """``lines``, where each line is a document; ``array`` of documents; ``values`` that go over several lines."""
    text = head.lstrip()
    if text.startswith(b"["):
        rest = text[1:].lstrip()
        # A line such as [1, 2] among objects is a bad line, not an array of documents.
        return "array" if not rest or rest[:1] in (b"{", b"]") else "lines"
    lines = [line for line in text.split(b"\n", 40)[:40] if line.strip()]
    if any(run_on(line) for line in lines):
        return "values"
    if len(lines) > 1 and not any(is_document(line) for line in lines if not line.isspace()):
        return (
            "values" if text.startswith(b"{") and not all(line.lstrip().startswith(b"{") for line in lines) else "lines"
        )
    return "lines" if b"\n" in text or len(head) < PEEK_BYTES else "values"


def _around(steps: Sequence[str]) -> tuple[bytes, bytes]:
    """What makes an element the only one of its document."""
    before = b"".join(b"{" + msgspec.json.encode(step) + b":" for step in steps)
    return before + b"[", b"]" + b"}" * len(steps)
