"""What an attack does to a service: its memory, and how long ``/livez`` takes meanwhile."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from tests.attack.inputs import Strength
from tests.attack.services import Running
from tests.support.body_attacks import forget_peak, peak_mib

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


class Attacker:
    """Hostile clients in a process of their own, for one attack after the other; closing it ends them."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.attack.inputs"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def attack(self, service: Running, name: str, idle_mib: float, strength: Strength) -> Outcome:
        """Attack the service with the input of this name."""
        assert self._process.stdin is not None
        wanted = {"name": name, "port": service.port, "token": service.token}
        line = json.dumps(wanted | asdict(strength))
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        if self._said() != "begins\n":
            raise RuntimeError(f"the attack {name} did not begin")
        forget_peak(service.pid)
        probing = Probing(service.port)
        probing.start()
        try:
            told = self._said()
        finally:
            p99_ms = probing.end()
        if not told:
            raise RuntimeError(f"the attack {name} failed")
        return Outcome(service.name, name, peak_mib(service.pid) - idle_mib, p99_ms, probing.lost, json.loads(told))

    def close(self) -> None:
        """End the clients."""
        self._process.kill()
        self._process.wait()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
