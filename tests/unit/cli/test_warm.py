"""What `warm` compiles is all there is: an image whose kernels are not brought along compiles at every start."""

import subprocess
import sys
from pathlib import Path

import journeymesh

SOURCES = Path(journeymesh.__file__).parent
SCRIPT = "import sys; from journeymesh.cli.warm import warm; warm(); print(*sys.modules)"


def test_every_module_with_a_kernel_is_loaded_by_warm() -> None:
    with_kernels = {
        "journeymesh." + ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        for path in SOURCES.rglob("*.py")
        if "\n@entry(" in path.read_text("utf-8")
    }
    assert len(with_kernels) > 5
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert with_kernels - set(done.stdout.split()) == set()
