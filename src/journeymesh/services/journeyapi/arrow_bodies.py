"""An Arrow stream as columns of fixes. What it would become in memory is known from its messages' metadata and from the
lengths of its values, before anything is made of it: a few bytes of a stream can mean any number of bytes."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.services.http.problems import (
    MALFORMED,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.sources.column_values import ColumnOf
from journeymesh.sources.tabular import OWN_FIELDS, paths_of, required_paths

MOST_MESSAGES: Final = 1_000
"""Record batches and dictionaries of one stream."""
MOST_METADATA_BYTES: Final = 256 << 10
"""Of one message: a schema of some thousand columns."""
MOST_TEXT_BYTES: Final = 32 << 20
"""What the texts of all columns that are read come to, each row's counted, however often one text serves."""
LONGEST_TEXT: Final = 4_096
"""Bytes of one value."""
_TAKEN: Final = (
    pa.types.is_null, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
    pa.types.is_timestamp, pa.types.is_date, pa.types.is_time, pa.types.is_string, pa.types.is_large_string,
    pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)  # fmt: skip
_UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, struct.error, IndexError, OverflowError)
_VIEW_BYTES: Final = 16


def arrow_columns(body: bytes | bytearray, most: int) -> tuple[ColumnOf, int]:
    """(the columns that fixes have, rows). Other columns are not looked at.

    Raises:
        ProblemRaised: it is no Arrow stream (400), has compressed buffers (415), lacks a column or has one of another
            kind (422), or would become too much (413): more than ``most`` rows, or more text than is taken.
    """
    try:
        rows = _rows_announced(body, most)
        columns = _columns(body, rows)
    except _UNREADABLE as error:
        raise ProblemRaised(MALFORMED, "the body is not an Arrow stream") from error
    return columns.get, rows


def _rows_announced(body: bytes | bytearray, most: int) -> int:
    """The rows of all record batches, by their messages' metadata; no buffer is looked at."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
    rows = messages = 0
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return rows
        messages += 1
        if messages > MOST_MESSAGES:
            raise ProblemRaised(TOO_LARGE, f"at most {MOST_MESSAGES} record batches and dictionaries at once")
        if message.metadata.size > MOST_METADATA_BYTES:
            raise ProblemRaised(TOO_LARGE, f"at most {MOST_METADATA_BYTES} bytes of metadata in a message")
        if message.type not in ("record batch", "dictionary"):
            continue
        rows += _checked_length(bytes(message.metadata), message.type)
        if rows > most:
            raise ProblemRaised(TOO_LARGE, f"at most {most} fixes at once")


def _checked_length(metadata: bytes, kind: str) -> int:
    """The rows of a record batch, 0 of a dictionary, by Arrow's Message.fbs."""
    header = _table_at(metadata, struct.unpack_from("<I", metadata)[0], 2)
    if kind == "dictionary":
        if header is not None and (delta := _field(metadata, header, 2)) is not None and metadata[delta]:
            raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, "send dictionaries whole, not as deltas")
        header = None if header is None else _table_at(metadata, header, 1)
    if header is None:
        return 0
    if _field(metadata, header, 3) is not None:
        raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, "send Arrow buffers uncompressed")
    length = _field(metadata, header, 0)
    if kind == "dictionary" or length is None:
        return 0
    rows: int = struct.unpack_from("<q", metadata, length)[0]
    if rows < 0:
        raise ValueError("a record batch has less than no rows")
    return rows


def _table_at(data: bytes, table: int, number: int) -> int | None:
    """The table that the table's field of this number refers to; None: it is absent."""
    field = _field(data, table, number)
    return None if field is None else field + int(struct.unpack_from("<I", data, field)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where the table's field of this number stands; None: it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at < size else 0
    return table + offset if offset else None


def _columns(body: bytes | bytearray, rows: int) -> dict[str, pa.Array]:
    with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
        schema = reader.schema
    wanted = _wanted(schema)
    options = pa.ipc.IpcReadOptions(included_fields=sorted(wanted.values()))
    with pa.ipc.open_stream(pa.py_buffer(body), options=options) as reader:
        batches = list(reader)
    if sum(len(batch) for batch in batches) != rows:
        raise ValueError("the record batches have other rows than they say")
    text = _Text()
    columns: dict[str, pa.Array] = {}
    for name in wanted:
        chunks = [text.checked(name, batch.column(name)) for batch in batches]
        columns[name] = pa.concat_arrays(chunks) if chunks else pa.nulls(0)
    return columns


def _wanted(schema: pa.Schema) -> dict[str, int]:
    """The places of the columns that are read.

    Raises:
        ProblemRaised: one is absent, there twice, or of a kind that no field of a fix has.
    """
    absent = [path for path in required_paths(OWN_FIELDS) if path not in schema.names]
    if absent:
        raise ProblemRaised(UNPROCESSABLE, f"body: there is no column {absent[0]!r}")
    if len(set(schema.names)) != len(schema.names):
        raise ProblemRaised(UNPROCESSABLE, "body: two columns have one name")
    places = {path: schema.names.index(path) for path in paths_of(OWN_FIELDS) if path in schema.names}
    for path, place in places.items():
        if not _is_taken(schema.field(place).type):
            told = f"body: the column {path!r} is of the type {str(schema.field(place).type)[:100]}: send plain values"
            raise ProblemRaised(UNPROCESSABLE, told)
    return places


def _is_taken(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):
        return bool(kind.extension_name == "arrow.uuid")
    return any(taken(kind) for taken in _TAKEN)


class _Text:
    """The text of all columns so far, counted before it is made."""

    def __init__(self) -> None:
        self._bytes = 0
        self._sized: tuple[pa.Array, npt.NDArray[np.int64]] | None = None

    def checked(self, name: str, values: pa.Array) -> pa.Array:
        """The values, valid and without a dictionary.

        Raises:
            ProblemRaised: they would be too much text. ArrowInvalid: they are not what they say they are.
        """
        if not pa.types.is_dictionary(values.type):
            self._count(name, _sizes(values))
            values.validate(full=True)
            return values
        sizes = self._sizes_of(name, values.dictionary)
        values.indices.validate(full=True)
        at = values.indices.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False)
        if len(at) and not (at.min() >= 0 and at.max() < len(values.dictionary)):
            raise ValueError("an index is beyond its dictionary")
        self._count(name, sizes[at])
        return values.dictionary_decode()

    def _sizes_of(self, name: str, dictionary: pa.Array) -> npt.NDArray[np.int64]:
        """The sizes of a dictionary's values; those of one that serves many record batches are reckoned once."""
        if self._sized is None or not _same_memory(self._sized[0], dictionary):
            sizes = _sizes(dictionary)
            self._refuse_long(name, sizes)
            if sizes.sum() > MOST_TEXT_BYTES:
                raise _too_much_text()
            dictionary.validate(full=True)
            self._sized = dictionary, sizes
        return self._sized[1]

    def _count(self, name: str, sizes: npt.NDArray[np.int64]) -> None:
        self._refuse_long(name, sizes)
        self._bytes += int(sizes.sum())
        if self._bytes > MOST_TEXT_BYTES:
            raise _too_much_text()

    def _refuse_long(self, name: str, sizes: npt.NDArray[np.int64]) -> None:
        if len(sizes) and sizes.max() > LONGEST_TEXT:
            raise ProblemRaised(UNPROCESSABLE, f"body: a value of {name!r} is longer than {LONGEST_TEXT} bytes")


def _too_much_text() -> ProblemRaised:
    return ProblemRaised(TOO_LARGE, f"at most {MOST_TEXT_BYTES} bytes of text at once")


def _sizes(values: pa.Array) -> npt.NDArray[np.int64]:
    """The bytes of each value that is a text or bytes; nothing where values are of one size."""
    values.validate()
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        words = np.frombuffer(values.buffers()[1] or b"", np.int32)[:: _VIEW_BYTES // 4]
        sizes: npt.NDArray[np.int64] = words[values.offset : values.offset + len(values)].astype(np.int64)
        valid: npt.NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
        return sizes[valid]
    if pa.types.is_fixed_size_binary(kind):
        return np.full(len(values), kind.byte_width, np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_binary(kind):
        lengths: npt.NDArray[np.int64] = pc.binary_length(values).drop_null().cast(pa.int64()).to_numpy()
        if len(lengths) and lengths.min() < 0:
            raise ValueError("a text has less than no bytes")
        return lengths
    return np.zeros(len(values), np.int64)


def _is_binary(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _same_memory(one: pa.Array, other: pa.Array) -> bool:
    """Whether both are the very same values, without comparing them."""
    if len(one) != len(other) or one.offset != other.offset or one.type != other.type:
        return False
    places = [[None if held is None else held.address for held in array.buffers()] for array in (one, other)]
    return places[0] == places[1]
