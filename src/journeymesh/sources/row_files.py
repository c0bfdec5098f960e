"""Small files that people hand over, policies or totals: YAML, JSON, NDJSON, CSV or Parquet, read whole into rows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

from journeymesh.errors import SourceMissing, UsageError
from journeymesh.sources.csv_dialect import separator_of
from journeymesh.sources.mapping_yaml import MappingYaml
from journeymesh.sources.policies_parquet import parquet_rows
from journeymesh.sources.text_encoding import decoded, encoding_of
from journeymesh.yaml_files import load_yaml

_HEAD_BYTES: Final = 4096
ENDINGS: Final = (".yaml", ".yml", ".json", ".ndjson", ".csv", ".parquet")


def content_of(path: Path, called: str, invalid: type[UsageError]) -> Any:
    """What the file holds: a list of rows, or what else its YAML or JSON says. Empty values of CSV are left out.

    ``called`` is what such a file is called.

    Raises:
        SourceMissing: there is no such file.
        invalid: it cannot be read, or has another ending.
    """
    try:
        return _content(path, called, invalid)
    except FileNotFoundError as error:
        raise SourceMissing(
            f"{called} {path}: there is no such file", todo=f"give the path of a {called} file"
        ) from error
    except invalid:
        raise
    except Exception as error:
        what = " ".join(str(error).split())
        raise invalid(f"{called} {path} cannot be read: {what}", todo="correct the file") from error


def _content(path: Path, called: str, invalid: type[UsageError]) -> Any:
    match path.suffix.lower():
        case ".yaml" | ".yml":
            return load_yaml(path.read_text("utf-8"), loader=MappingYaml)
        case ".json":
            import msgspec

            return msgspec.json.decode(path.read_bytes())
        case ".ndjson":
            import msgspec

            return [msgspec.json.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
        case ".csv":
            return _csv_rows(path.read_bytes())
        case ".parquet":
            return parquet_rows(path, called, invalid)
        case ending:
            known = ", ".join(ENDINGS)
            raise invalid(f"{called} {path}: unknown ending {ending or 'none'!r}", todo=f"use {known}")


def _csv_rows(content: bytes) -> list[dict[Any, Any]]:
    """The rows of CSV in whatever encoding shows; the separator is the one of its header."""
    import csv

    encoding, mark = encoding_of(content[:_HEAD_BYTES])
    plain = content[mark:]
    text = decoded(plain) if encoding == "utf-8" else plain.decode(encoding, "replace")
    separator = separator_of(next(iter(text.splitlines()), "").encode())
    # A blank behind a separator belongs to neither a name nor a value.
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
    return [{name: value for name, value in row.items() if value not in ("", None)} for row in rows]
