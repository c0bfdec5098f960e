"""A kernel that is loaded is compiled once, for seconds: rows of a file load none that walk BSON."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from journeymesh.wiring import open_source
print(sum(len(batch.fixes) for batch in open_source(sys.argv[1]).batches()))
print([name for name in sys.modules if "bson_walker" in name or "dump_archives" in name])
"""


def test_rows_of_a_file_are_read_without_the_kernels_for_bson(tmp_path: Path) -> None:
    source = tmp_path / "fixes.csv"
    source.write_text("vehicle,fixed_at,lat_deg,lon_deg\nV1,2025-06-01T12:00:00Z,50.0,4.0\n")
    command = [sys.executable, "-c", SCRIPT, str(source)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["1", "[]"]
