"""Files of formats that are not read are named, with what to do, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.sources.file_kinds import kind_of
from journeymesh.sources.files import files_of


@pytest.mark.parametrize("name", ["c.csv", "c.json", "c.txt", "c"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\0\x06\0\x08\0[Content_Types].xml \0", "save its sheet as CSV"),
        (b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK", "save its sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "save its sheet as CSV"),
        (b"PK\x03\x04\x14\0\0\0fixes.csv", "packed with zip: unpack it"),
        (b"\x28\xb5\x2f\xfd\0\0", "unzstd"),
        (b"BZh91AY&SY", "bunzip2"),
        (b"\xfd7zXZ\0\0", "unxz"),
        (b"ARROW1\0\0\xff\xff\xff\xff", "write it as Parquet"),
        (b"Obj\x01\x04\x16avro.schema\0", "write it as Parquet or JSON"),
        (b"SQLite format 3\0\x10\0", "export its table as CSV"),
        (b"\x0e\x10\x43\x08\x10\0\0\0.FIT\0\0", "convert it to GPX"),
        (b'<?xml version="1.0"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">', "convert it to GPX"),
        (b'<?xml version="1.0"?><TrainingCenterDatabase>', "convert it to GPX"),
        (b"<!DOCTYPE html><html><body>Sign in", "fetch the file itself"),
        (b"<?xml version='1.0'?><rss>", "XML that is not GPX"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (file,) = files_of(str(tmp_path / name))
    kind, reason = kind_of(file, named=True)
    assert kind is None
    assert said in reason


@pytest.mark.parametrize("content", [b"ORCHARD,time,lat,lon\n1,2,3,4\n", b"Obj,time,lat\n", b"ARROW1,time\n"])
def test_columns_whose_names_begin_as_a_format_does_are_columns(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    (file,) = files_of(str(tmp_path / "c.csv"))
    assert kind_of(file, named=True).kind == "columns"
