"""Database URLs that a file says, relative to that file."""

from __future__ import annotations

from pathlib import Path


def url_beside(url: str, folder: Path) -> str:
    """The URL; one of a relative SQLite file or lake folder is made relative to this folder."""
    scheme, separator, path = url.partition(":///")
    if not separator or path.startswith("/") or scheme not in ("sqlite", "lake"):
        return url
    return f"{scheme}:///{folder.resolve() / path}"
