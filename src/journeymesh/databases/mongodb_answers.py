"""Answers of servers that speak MongoDB's protocol without all of its fields."""

from __future__ import annotations


def is_of_driver(error: BaseException) -> bool:
    """Whether the MongoDB driver itself raised this, and not what called it: it takes fields for granted that a server
    leaves out, as ``nModified`` of an update that failed."""
    trace = error.__traceback__
    module = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        trace = trace.tb_next
    return module.partition(".")[0] in ("pymongo", "bson")
