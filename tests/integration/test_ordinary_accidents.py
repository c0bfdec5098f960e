"""What goes wrong around the program is said in one line with its own exit code, and never called a bug."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support import programs
from tests.support.written_sources import MAPPING, as_csv, as_ndjson, rows

from journeymesh.cli.accidents import accident
from journeymesh.cli.main import outcome

SCRIPT = "from journeymesh.cli.main import run; run()"
FULL = Path("/dev/full")
KERNEL = """
from numba import types
from journeymesh.kernels.compiled import entry

@entry(types.float64, types.float64)
def twice(value):
    return 2.0 * value
"""
full_device = pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full here")


def journeymesh(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 240}
    env = {**os.environ, **more.pop("env", {})}
    env = {name: value for name, value in env.items() if value}
    return programs.run([sys.executable, "-c", SCRIPT, *arguments], env=env, **given | more)


def in_process(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """How a command ends in this process, and what it says on standard error: where no process of its own is tried."""
    code = outcome(list(arguments))
    return code, capsys.readouterr().err


def files(folder: Path) -> list[str]:
    """The options that read a small CSV into a store, all in this folder."""
    (folder / "mapping.yaml").write_text(MAPPING)
    source = as_csv(folder, rows())
    store = f"sqlite:///{folder / 'journeys.db'}"
    return ["--source", source, "--mapping", str(folder / "mapping.yaml"), "--store", store]


def ended(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert "bug" not in done.stderr
    assert all(text in done.stderr for text in said), done.stderr


@full_device
@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv", "parquet"])
def test_a_full_output_is_said_in_every_form(form: str, tmp_path: Path) -> None:
    options = files(tmp_path)
    assert outcome(["preprocess", *options]) == 0
    with FULL.open("wb") as full:
        listed = journeymesh("journeys", "list", *options[-2:], "--format", form, stdout=full)
    ended(listed, 11, "No space left on device", "free space")


def test_a_device_named_by_out_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    options = files(tmp_path)
    assert outcome(["preprocess", *options]) == 0
    # A pipe in place of a device: a mistake here must not cost the machine one of its own.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", SCRIPT, "journeys", "list", *options[-2:], "--format", "json", "--out", str(pipe)]
    with programs.Popen(command) as listing:
        assert len(json.loads(pipe.read_text())) == 1
    assert listing.returncode == 0
    assert pipe.is_fifo()


def test_a_closed_output_is_said(tmp_path: Path) -> None:
    done = journeymesh("mapping", "schema", preexec_fn=lambda: os.close(1), stdout=None)
    ended(done, 11, "standard output is closed")


def test_a_reader_that_goes_away_ends_the_program_quietly_with_141(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, "mapping", "schema"]
    reading, writing = os.pipe()
    os.close(reading)
    done = programs.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_ascii_terminal_gets_the_same_answer_with_what_it_lacks_escaped(tmp_path: Path) -> None:
    options = files(tmp_path)
    content = (tmp_path / "fixes.csv").read_text().replace("B,", "Büro°\U0001f697,")
    (tmp_path / "fixes.csv").write_text(content, "utf-8")
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert journeymesh("preprocess", *options, env=ascii_only).returncode == 0
    listed = journeymesh("journeys", "list", *options[-2:], "--format", "json", env=ascii_only)
    assert json.loads(listed.stdout)[0]["vehicle"] == "Büro°\U0001f697"
    assert journeymesh("journeys", "list", *options[-2:], env=ascii_only).returncode == 0


def test_a_missing_package_is_said_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    script = f"import sys; sys.modules['psycopg'] = None; {SCRIPT}"
    command = [sys.executable, "-c", script, "journeys", "list", "--store", "postgresql://localhost:1/x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ended(done, 2, "psycopg is not installed", "journeymesh[postgres]")


@pytest.mark.parametrize(
    ("content", "ending"),
    [(b"\xff\xfe\x00\x01", "ndjson"), (b"\xff\xfe\x00\x01", "parquet"), (b"\xff\xfe\x00\x01", "bson"),
     (b"\x1f\x8bno gzip", "csv.gz"), (b"box,ts,lat,lon,kmh\n\xff,\xfe,\xff,\xff,\xff\n", "csv")],
)  # fmt: skip
def test_bytes_that_are_no_file_of_their_kind_are_never_a_bug(
    content: bytes, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = files(tmp_path)
    (tmp_path / f"bad.{ending}").write_bytes(content)
    code, said = in_process(capsys, "preprocess", "--source", str(tmp_path / f"bad.{ending}"), *options[2:])
    assert code in (2, 4, 10), said
    assert "bug" not in said


@pytest.mark.parametrize("option", ["--mapping", "--rules", "--policies"])
@pytest.mark.parametrize("kind", ["latin-1", "a folder", "nothing"])
def test_a_file_that_cannot_be_read_is_named(
    option: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = files(tmp_path)
    bad = tmp_path / "bad.yaml"
    if kind == "latin-1":
        bad.write_bytes(b"version: \xe9\n")
    elif kind == "a folder":
        bad.mkdir()
    code, said = in_process(capsys, "preprocess", *options, option, str(bad))
    assert code in (2, 3), said
    assert "bug" not in said
    assert "bad.yaml" in said


@pytest.mark.parametrize("place", ["no/such/folder/journeys.db", ".", "fixes.csv"])
def test_a_store_that_cannot_be_opened_is_said(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path / place}"
    code, said = in_process(capsys, "preprocess", *files(tmp_path)[:4], "--store", store)
    ended(subprocess.CompletedProcess([], code, stderr=said), 5, str(tmp_path))


def test_a_disk_that_is_full_while_the_store_is_written_is_said(tmp_path: Path) -> None:
    options = files(tmp_path)
    as_csv(tmp_path, rows(60_000))

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    done = journeymesh("preprocess", *options, preexec_fn=limited)
    assert done.returncode in (5, 11), done.stderr
    assert "bug" not in done.stderr


powerless = pytest.mark.skipif(
    os.getuid() == 0 and shutil.which("setpriv") is None, reason="root may all, and setpriv is not here"
)


def without_powers(*command: str) -> list[str]:
    """The command as somebody who obeys the rights of files, which root does not."""
    bounded = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.getuid() == 0 else []
    return [*bounded, *command]


def attempted(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = without_powers(sys.executable, "-c", SCRIPT, *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@powerless
def test_a_file_or_a_folder_without_the_right_to_it_is_said(tmp_path: Path) -> None:
    options = files(tmp_path)
    try:
        tmp_path.chmod(0o555)
        ended(attempted("preprocess", *options), 5, "journeys.db")
        tmp_path.chmod(0o755)
        (tmp_path / "mapping.yaml").chmod(0)
        ended(attempted("mapping", "check", *options[:4]), 2, "mapping.yaml", "Permission denied")
        (tmp_path / "mapping.yaml").chmod(0o644)
        (tmp_path / "fixes.csv").chmod(0)
        ended(attempted("mapping", "check", *options[:4]), 4, "fixes.csv", "Permission denied")
    finally:
        tmp_path.chmod(0o755)


@powerless
@pytest.mark.parametrize("home", ["", "read-only", "relative/path"])
def test_kernels_go_to_a_folder_of_ones_own_where_neither_install_nor_home_can_be_written(
    home: str, tmp_path: Path
) -> None:
    install, homes, temporary = tmp_path / "install", tmp_path / "home", tmp_path / "tmp"
    for folder in (install, homes, temporary):
        folder.mkdir()
    (install / "kernel.py").write_text(KERNEL)
    for folder in (install, homes):
        folder.chmod(0o555)
    at = str(homes) if home == "read-only" else home
    env = {"HOME": at, "TMPDIR": str(temporary), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    script = f"import sys; sys.path.insert(0, {str(install)!r}); import kernel; print(kernel.twice(21.0))"
    command = without_powers(sys.executable, "-c", script)
    for told in ("compiling kernels, once for this installation", ""):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env)
        assert done.stdout == "42.0\n", done.stderr
        assert done.stderr.startswith(told)
        assert bool(done.stderr) == bool(told)
    (private,) = temporary.iterdir()
    assert private.stat().st_mode & 0o077 == 0
    assert len(list(private.rglob("*.nbi"))) == 1


def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    options = files(tmp_path)
    source = as_ndjson(tmp_path, rows(3))
    # Where tests run in the background of a shell, children are born deaf to Ctrl-C.
    script = f"""if True:
        import signal, time
        from journeymesh.engines import local
        def run(*_):
            print("under way", flush=True)
            time.sleep(60)
        local.run = run
        signal.signal(signal.SIGINT, signal.default_int_handler)
        {SCRIPT}"""
    command = [sys.executable, "-c", script, "preprocess", "--source", source, *options[2:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "under way\n"
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert told == "error: interrupted: what was written is complete; run the command again to continue\n"


def test_too_little_memory_is_said_and_a_real_fault_is_still_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from journeymesh.engines import local

    (tmp_path / "mapping.yaml").write_text(MAPPING)
    source = as_ndjson(tmp_path, rows(3))
    command = ["preprocess", "--source", source, "--mapping", str(tmp_path / "mapping.yaml"), "--store", "memory:"]
    for error, code, said in (
        (MemoryError(), 12, "not enough memory"),
        (OSError(24, "Too many open files"), 12, "Too many open files"),
        (KeyError("writing"), 70, "this is a bug in journeymesh (KeyError: 'writing')"),
    ):
        monkeypatch.setattr(local, "run", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert outcome(command) == code
        assert said in capsys.readouterr().err


def test_a_module_of_no_extra_is_a_bug() -> None:
    assert accident(ModuleNotFoundError("No module named 'nobodys'", name="nobodys")) is None
