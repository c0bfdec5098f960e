"""A policies file in Parquet is bounded by what it stands for, not by what it weighs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import PoliciesInvalid
from journeymesh.sources import policies_parquet
from journeymesh.sources.policies_file import load_policies

ROWS = 200_000


def _repeated(value: pa.Array, rows: int = ROWS) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), value)


def _long() -> pa.Array:
    return pa.array(["x" * (1 << 20)])


BOMBS = {
    "long texts": lambda: pa.table({"number": _repeated(_long()), "device": _repeated(pa.array(["V"]))}),
    "long texts in structs": lambda: pa.table({"number": pa.StructArray.from_arrays([_repeated(_long())], ["a"])}),
    "long lists": lambda: pa.table({"number": pa.array([[0] * 60_000_000], pa.list_(pa.int8()))}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_stands_for_more_than_memory_holds_is_refused_in_bounded_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "policies.parquet"
    pq.write_table(BOMBS[name](), path, compression="zstd")
    assert path.stat().st_size < 2 << 20
    read = (
        "import resource, sys\n"
        "from journeymesh.errors import PoliciesInvalid\n"
        "from journeymesh.sources.policies_file import load_policies\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({3 << 30}, {3 << 30}))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_policies(sys.argv[1])\n"
        "except PoliciesInvalid as error:\n    print(str(error))\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", read, str(path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    if name != "long lists":  # which are left out: each row is refused
        assert "it decodes to more than" in ran.stdout


def test_texts_that_many_policies_share_count_as_often_as_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policies.parquet"
    names = [f"P-{n}" for n in range(20)]
    same = {"product": ["m" * 50] * 20, "valid_from": ["2024-01-01"] * 20}
    pq.write_table(pa.table({"number": names, "device": names, **same}), path)
    assert len(load_policies(path)) == 20
    monkeypatch.setattr(policies_parquet, "MOST_TEXT_BYTES", 20 * 50)
    with pytest.raises(PoliciesInvalid, match="MiB of text"):
        load_policies(path)


def test_a_column_of_lists_is_left_out_and_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "policies.parquet"
    one = {"number": ["P-1"], "device": ["V"], "valid_from": ["2024-01-01"], "drivers": [["ann", "bob"]]}
    pq.write_table(pa.table(one), path)
    (policy,) = load_policies(path)
    assert (policy.number, policy.device) == ("P-1", "V")


def test_statistics_that_contradict_their_column_are_no_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "policies.parquet"
    table = pa.table({"number": ["P-1"], "device": ["V"], "valid_from": ["2024-01-01"]})
    pq.write_table(table, path, compression="none")
    sound = path.read_bytes()
    footer = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    read = (
        "import sys\n"
        "from journeymesh.errors import JourneymeshError\n"
        "from journeymesh.sources.policies_file import load_policies\n"
        "sound, footer = open(sys.argv[1], 'rb').read(), int(sys.argv[2])\n"
        "for at in range(footer, len(sound) - 8):\n"
        "    for byte in (0x00, 0x15, 0x19, 0x26, sound[at] ^ 1):\n"
        "        open(sys.argv[1], 'wb').write(sound[:at] + bytes((byte,)) + sound[at + 1 :])\n"
        "        try:\n            load_policies(sys.argv[1])\n"
        "        except JourneymeshError:\n            pass\n"
    )
    ran = subprocess.run([sys.executable, "-c", read, str(path), str(footer)], check=False, timeout=240)
    assert ran.returncode == 0
