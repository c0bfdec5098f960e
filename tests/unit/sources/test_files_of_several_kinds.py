import gzip
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.text_inputs import HEADER, MAPPING, row

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.port import Source
from journeymesh.wiring import open_source

CSV = f"{HEADER}\n"


@pytest.fixture
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mapping") / "m.yaml"
    path.write_text(MAPPING)
    return path


def seconds(source: Source) -> list[int]:
    """The seconds of all fixes read, in order."""
    parts = [batch.fixes for batch in source.batches() if len(batch.fixes)]
    return sorted(us // 10**6 % 60 for us in Fixes.concat(parts).fixed_at_us.tolist()) if parts else []


def document(second: int) -> str:
    return json.dumps({"dev": "V1", "ts": f"2024-05-06T08:00:{second:02d}Z", "lat": 52.5, "lon": 5.25, "spd": 15})


def test_every_file_of_a_folder_is_read_or_named_with_why_not(tmp_path: Path, mapping: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    (folder / "1.csv").write_text(CSV + row(1) + "\n")
    (folder / "2.CSV").write_text(CSV + row(2) + "\n")
    (folder / "3.ndjson").write_text(document(3))
    (folder / "4.csv.gz").write_bytes(gzip.compress((CSV + row(4) + "\n").encode()))
    (folder / "deeper" / "5.tsv").write_text((CSV + row(5) + "\n").replace(",", "\t"))
    (folder / "6.txt").write_text((CSV + row(6) + "\n").replace(",", ";"))
    (folder / "7.json").write_text(f"[{document(7)},\n{document(8)}]")
    fix = {"dev": ["V1"], "ts": ["2024-05-06T08:00:09Z"], "lat": [52.5], "lon": [5.25], "spd": [15.0]}
    pq.write_table(pa.table(fix), folder / "9.parquet")
    (folder / "README.md").write_text("# Recordings")
    (folder / "notes.txt").write_text("nothing here, really")
    (folder / "picture.dat").write_bytes(bytes(range(256)))
    (folder / ".hidden.csv").write_text(CSV)
    (folder / "packed.csv").write_bytes(b"PK\x03\x04 and so on")
    source = open_source(str(folder), mapping)
    assert seconds(source) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    told = {item.name: (item.state, item.reason) for item in source.items()}
    assert {name for name, (state, _) in told.items() if state == "read"} == {
        "1.csv", "2.CSV", "3.ndjson", "4.csv.gz", "5.tsv", "6.txt", "7.json", "9.parquet",
    }  # fmt: skip
    assert told["README.md"] == ("skipped", "unknown ending .md")
    assert told["picture.dat"] == ("skipped", "not text")
    assert told[".hidden.csv"] == ("skipped", "hidden")
    assert told["packed.csv"] == ("skipped", "packed with zip: unpack it")
    assert told["notes.txt"] == ("refused", "there is no column 'dev'")


def test_what_a_file_is_its_content_says_where_its_name_does_not(tmp_path: Path, mapping: Path) -> None:
    (tmp_path / "recording.rec").write_text(CSV + row(1) + "\n")
    (tmp_path / "export").write_text(document(2))
    (tmp_path / "other.xyz").write_text(CSV + row(3) + "\n")
    (tmp_path / "wrong.csv").write_text(document(4))
    for name, second in [("recording.rec", 1), ("export", 2), ("other.xyz", 3), ("wrong.csv", 4)]:
        assert seconds(open_source(str(tmp_path / name), mapping)) == [second]
    assert seconds(open_source(str(tmp_path / "*.?[ey]*"), mapping)) == [1, 3]


def test_a_file_without_a_mapped_column_is_refused_among_others_and_an_error_alone(
    tmp_path: Path, mapping: Path
) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MappingInvalid, match=r"1\.csv: there is no column 'dev'"):
        seconds(open_source(str(tmp_path), mapping))
    (tmp_path / "2.csv").write_text(CSV + row(2) + "\n")
    source = open_source(str(tmp_path), mapping)
    refusals = [refusal for batch in source.batches() for refusal in batch.refusals]
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [("1.csv", "document_corrupt")]
    assert [(item.name, item.state) for item in source.items()] == [("1.csv", "refused"), ("2.csv", "read")]


def test_a_folder_of_nothing_that_can_be_read_says_why(tmp_path: Path, mapping: Path) -> None:
    (tmp_path / "README.md").write_text("# Recordings")
    with pytest.raises(SourceMissing, match=r"README\.md: unknown ending \.md"):
        open_source(str(tmp_path), mapping)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_no_bug(tmp_path: Path, mapping: Path) -> None:
    (tmp_path / "1.csv").write_text(CSV)
    (tmp_path / "1.csv").chmod(0)
    with pytest.raises(SourceUnreadable, match=r"1\.csv"):
        seconds(open_source(str(tmp_path), mapping))


def test_the_policies_file_that_the_mapping_names_is_no_recording(tmp_path: Path, mapping: Path) -> None:
    (tmp_path / "fixes.csv").write_text(CSV + row(1) + "\n")
    (tmp_path / "contracts.csv").write_text("no,from\nP1,2024-01-01\n")
    mapping.write_text(
        MAPPING + "policies:\n  collection: contracts\n  number: {path: no}\n"
        "  device: {default: V1}\n  valid_from: {path: from, clock: iso8601}\n"
    )
    source = open_source(str(tmp_path), mapping)
    assert seconds(source) == [1]
    assert [(item.name, item.state) for item in source.items()] == [("contracts.csv", "skipped"), ("fixes.csv", "read")]


def test_rows_keep_their_places_in_files_of_several_kinds(tmp_path: Path, mapping: Path) -> None:
    fix = {"dev": ["V1"] * 2, "ts": ["2024-05-06T08:00:09Z", "2024-05-06T08:00:10Z"], "lat": [52.5] * 2}
    pq.write_table(pa.table({**fix, "lon": [5.25] * 2, "spd": [15.0] * 2}), tmp_path / "b.parquet")
    (tmp_path / "a.csv").write_text(CSV + row(1) + "\n")
    source = open_source(str(tmp_path), mapping)
    origins = np.concatenate([np.asarray(batch.fixes.origin) for batch in source.batches() if len(batch.fixes)])
    assert source.describe(origins) == ["a.csv:2", "b.parquet:1", "b.parquet:2"]


def test_an_object_behind_tabs_is_the_document_of_its_line(tmp_path: Path, mapping: Path) -> None:
    lines = [f"2024-05-06T08:00:0{n}Z\tINFO {n}\t{document(n)}" for n in range(4)]
    lines[2] = "2024-05-06T08:00:02Z\tINFO 2\t{cut"
    for ending in ("rec", "log", "txt"):
        (tmp_path / f"a.{ending}").write_text("\n".join(lines[:2] if ending == "txt" else lines) + "\n")
    assert seconds(open_source(str(tmp_path / "a.txt"), mapping)) == [0, 1]
    (tmp_path / "b.log").write_text("\n".join(lines[:2] + lines[3:] + lines[2:3]))
    source = open_source(str(tmp_path / "b.log"), mapping)
    refused = [refusal for batch in source.batches() for refusal in batch.refusals]
    assert [(one.reason, one.origin) for one in refused] == [("document_corrupt", "b.log:4")]
    assert [item.state for item in source.items()] == ["read"]


def test_columns_of_which_the_last_holds_json_stay_columns_where_the_mapping_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        MAPPING + "csv: {separator: '\\t', header: [dev, ts, lat, lon, spd, more]}\n".replace("'", '"')
    )
    (tmp_path / "a.txt").write_text('V1\t2024-05-06T08:00:07Z\t52.5\t5.25\t15\t{"a": 1}\n')
    assert seconds(open_source(str(tmp_path / "a.txt"), tmp_path / "m.yaml")) == [7]
