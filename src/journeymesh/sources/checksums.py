"""CRC-64 with the ECMA-182 polynomial, reflected, as mongodump's archives end each collection with (CRC-64/XZ)."""

# Kernels: plain loops are what compiles to few instructions.

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.kernels.compiled import U8_IN, entry
from journeymesh.sources.bson_documents import U8, read_only

_POLYNOMIAL: Final = 0xC96C5795D7870F42
_ALL_ONES: Final = 2**64 - 1


def _tables() -> npt.NDArray[np.uint64]:
    """uint64[8, 256]: what a byte makes of the checksum so many bytes further on."""
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        tables[0, byte] = value
    for step in range(1, 8):
        before = tables[step - 1]
        tables[step] = tables[0, (before & np.uint64(0xFF)).astype(np.int64)] ^ (before >> np.uint64(8))
    tables.flags.writeable = False
    return tables


_TABLES: Final = _tables()


@entry(types.uint64, U8_IN, types.Array(types.uint64, 2, "C", readonly=True), types.uint64)
def _updated(buffer, tables, crc):  # type: ignore[no-untyped-def]
    end = buffer.shape[0]
    at = np.int64(0)
    low = np.uint64(0xFF)
    while at + 8 <= end:
        word = np.uint64(0)
        for byte in range(8):
            word |= np.uint64(buffer[at + byte]) << np.uint64(8 * byte)
        crc ^= word
        mixed = np.uint64(0)
        for byte in range(8):
            mixed ^= tables[7 - byte, np.int64((crc >> np.uint64(8 * byte)) & low)]
        crc = mixed
        at += 8
    while at < end:
        crc = tables[0, np.int64((crc ^ np.uint64(buffer[at])) & low)] ^ (crc >> np.uint64(8))
        at += 1
    return crc


def crc64(content: U8, before: int = 0) -> int:
    """The checksum of these bytes, or of these behind those that gave ``before``."""
    return int(_updated(read_only(content), _TABLES, np.uint64(before ^ _ALL_ONES))) ^ _ALL_ONES
