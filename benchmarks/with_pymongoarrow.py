"""pymongoarrow's decode alone: the dump's bytes to Arrow columns of the mapped fields. Nothing is made of them.

Without a server, by way of the class that its own ``find_arrow_all`` feeds with raw batches.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
from pymongoarrow.context import PyMongoArrowContext
from pymongoarrow.schema import Schema

from benchmarks.with_pymongo import document_blocks

COLUMNS = Schema(
    {
        "deviceId": pa.string(),
        "ts": pa.timestamp("ms"),
        "loc": pa.struct([("coordinates", pa.list_(pa.float64()))]),
        "speedMph": pa.float64(),
        "heading": pa.float64(),
        "accelG": pa.struct([("x", pa.float64()), ("y", pa.float64())]),
    }
)


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    """The collection's bytes in memory, cut at documents."""
    blocks = list(document_blocks(folder / "telematics" / "blackbox.bson"))

    def work() -> dict[str, Any]:
        read = 0
        for block in blocks:
            context = PyMongoArrowContext(COLUMNS, codec_options=bson.CodecOptions(tz_aware=True))
            context.process_bson_stream(block)
            read += len(context.finish())
        return {"fixes": read}

    return work
