"""What an attack does to a service: its memory, and how long ``/livez`` takes meanwhile."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from tests.attack.services import Running
from tests.body_attacks import forget_peak, peak_mib

PROBES_PER_S = 20.0
LOST_S = 5.0
"""What a probe counts as that is not answered in that time."""
_LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Probing(threading.Thread):
    """Asks for ``/livez`` so many times a second, from an address of its own, until it is ended."""

    port: int
    took_s: list[float] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self._ended = threading.Event()
        self._connection: socket.socket | None = None

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Probe."""
        due_s = time.monotonic()
        while not self._ended.is_set():
            began_s = time.monotonic()
            try:
                self._asked()
                self.took_s.append(time.monotonic() - began_s)
            except OSError:
                self.lost += 1
                self.took_s.append(LOST_S)
                self._connection = None
            due_s = max(due_s + 1 / PROBES_PER_S, time.monotonic())
            self._ended.wait(due_s - time.monotonic())

    def end(self) -> float:
        """End it; the 99th percentile in milliseconds."""
        self._ended.set()
        self.join()
        ordered = sorted(self.took_s)
        return 1000 * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]

    def _asked(self) -> None:
        if self._connection is None:
            self._connection = socket.socket()
            self._connection.settimeout(LOST_S)
            if sys.platform == "linux":
                self._connection.bind(("127.0.2.1", 0))
            self._connection.connect(("127.0.0.1", self.port))
        self._connection.sendall(_LIVE)
        came = b""
        while b'{"live":true}' not in came:
            piece = self._connection.recv(4096)
            if not piece:
                raise ConnectionError("it broke off")
            came += piece


@dataclass(frozen=True)
class Outcome:
    """What came of one attack. ``grown_mib``: the most memory above that of the idle service."""

    service: str
    name: str
    grown_mib: float
    p99_ms: float
    lost: int
    answers: dict[str, int]


def calm_p99_ms(service: Running, seconds: float) -> float:
    """``/livez`` without an attack."""
    probing = Probing(service.port)
    probing.start()
    time.sleep(seconds)
    return probing.end()


def attacked(service: Running, name: str, idle_mib: float, seconds: float, clients: int, seed: int) -> Outcome:
    """Attack the service with the input of this name."""
    command = [sys.executable, "-m", "tests.attack.inputs", name, str(service.port), str(seconds), str(clients)]
    attack = subprocess.Popen([*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert attack.stdin is not None
    assert attack.stdout is not None
    try:
        attack.stdin.write(f"{service.token}\n")
        attack.stdin.flush()
        if attack.stdout.readline() != "begins\n":
            raise RuntimeError(f"the attack {name} did not begin")
        forget_peak(service.pid)
        probing = Probing(service.port)
        probing.start()
        told = attack.stdout.readline()
        p99_ms = probing.end()
        if attack.wait(60):
            raise RuntimeError(f"the attack {name} failed")
    finally:
        attack.kill()
        attack.wait()
    return Outcome(service.name, name, peak_mib(service.pid) - idle_mib, p99_ms, probing.lost, json.loads(told))
