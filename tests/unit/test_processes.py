"""Processes by a name that no later one has."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from journeymesh.processes import Process, started, this_host

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")


def test_this_process_runs_and_is_read_back_from_its_text() -> None:
    here = Process.this()
    assert not here.has_ended
    assert Process.parse(str(here)) == here
    assert here.label == f"process {os.getpid()} on {os.uname().nodename}"


def test_one_that_ended_is_known_to_have_ended_before_and_after_it_is_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    named = Process(this_host(), child.pid, started(child.pid) or "")
    assert not named.has_ended
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert named.has_ended
    child.communicate()
    assert named.has_ended


@dataclass(frozen=True)
class Elsewhere:
    """A process that another one is taken for."""

    named: Process
    ended: bool


@pytest.mark.parametrize(
    "case",
    [
        Elsewhere(Process(this_host(), os.getpid(), "1"), ended=True),  # its id was given to another one since
        Elsewhere(Process("box-2/boot/pid:[1]", os.getpid(), "1"), ended=False),  # nobody can know
        Elsewhere(Process(this_host().rpartition("/")[0] + "/pid:[1]", os.getpid(), "1"), ended=False),  # another pod
        Elsewhere(Process(this_host(), os.getpid(), ""), ended=False),  # its start was not known
    ],
)
def test_a_process_with_an_id_that_is_in_use_is_not_taken_for_its_present_holder(case: Elsewhere) -> None:
    assert case.named.has_ended is case.ended


@pytest.mark.parametrize("text", ["", "ann (4242)", "host/1/2/x", "host/12", "host/x@1", "12@3"])
def test_other_texts_name_no_process(text: str) -> None:
    assert Process.parse(text) is None
