"""Processes by a name that no later one has: who holds a lock, and whether they still run."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process: its host since the last boot with the namespace of process ids, its id there, and when it started.

    Ids are given again and pods of one name differ, so neither the id nor the host's name would do. ``started`` is in
    the kernel's clock ticks since boot; "": it cannot be known here.
    """

    host: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Process:
        """The current process."""
        return cls(this_host(), os.getpid(), started(os.getpid()) or "")

    @classmethod
    def parse(cls, text: str) -> Process | None:
        """The process of this text, as ``str`` gives it; None: it names none."""
        host, slash, rest = text.rpartition("/")
        pid, at, started_at = rest.partition("@")
        return cls(host, int(pid), started_at) if slash and at and pid.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}@{self.started}"

    @property
    def label(self) -> str:
        """For people: ``process 4242 on box-1``."""
        return f"process {self.pid} on {self.host.partition('/')[0]}"

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have ended; False where that cannot be known, as on another host."""
        if self.host != this_host() or not self.started or not Path("/proc/self/stat").exists():
            return False
        return started(self.pid) != self.started


def has_ended(text: str) -> bool:
    """Whether the process of this text is known to have ended; False where the text names none."""
    process = Process.parse(text)
    return process is not None and process.has_ended


def this_host() -> str:
    """This host since its last boot, and its namespace of process ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()}/{uuid.getnode()}"


def started(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None for one that has ended (a zombie has, too)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
