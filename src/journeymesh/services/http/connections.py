"""Connections that nobody uses, or that one peer has too many of, are closed.

The HTTP server (granian) limits how long a request's headers may take once they began, and nothing else: neither how
long a connection may be silent, nor how many a peer may have. Its connections are sockets of this process, so a thread
looks at them twice a second and shuts down those that may not stay; the server takes it for the peer's going away. A
request costs no more than a note of when its connection was last used.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from journeymesh.following import Follower

Peer = tuple[str, str]
"""Address and port of a connection's other end."""

SWEEP_S: Final = 0.5
RESERVED_DESCRIPTORS: Final = 256
"""What a service opens besides its clients' connections: its stores, its log, its threads' pipes."""
_MOST_DESCRIPTORS: Final = 65_536
_FEWEST: Final = 16
_FULL: Final = 0.9
_AFTER: Final = 0.75
_DESCRIPTORS: Final = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
_DATA_SENT_MS, _DATA_RECEIVED_MS = 44, 52
"""Where Linux' tcp_info has the time since data was last sent and received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What connections may be.

    - ``first_request_s``: how long a connection may take until its first request has come with all its headers;
      ``idle_s``: how long it may be without a request after one was answered. A gateway that keeps connections has to
      give them up sooner
    - ``stalled_s``: how long a request under way may neither send nor take anything
    - ``most``: connections in all; ``most_per_peer``: of one address, but of those in ``trusted``
    """

    first_request_s: float
    idle_s: float
    stalled_s: float
    most: int
    most_per_peer: int
    trusted: Container[str]


class Uses:
    """Which connections have requests under way, and when they last had one. Nothing is noted until they are watched.
    Written by one event loop, read by any thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.watched = False
        self._clock_s = clock_s
        self._under_way: dict[Peer, int] = {}
        self._ended: dict[Peer, float] = {}

    def begin(self, client: Sequence[Any] | None) -> Peer | None:
        """A request came over the connection of this peer, as ASGI has it. Returns what ``end`` wants of it."""
        if not self.watched or client is None:
            return None
        peer = (client[0], str(client[1]))
        self._under_way[peer] = self._under_way.get(peer, 0) + 1
        return peer

    def end(self, peer: Peer | None) -> None:
        """It was answered."""
        if peer is None:
            return
        left = self._under_way.get(peer, 0) - 1
        if left > 0:
            self._under_way[peer] = left
        else:
            self._under_way.pop(peer, None)
        self._ended[peer] = self._clock_s()

    def is_busy(self, peer: Peer) -> bool:
        """Whether a request is under way."""
        return peer in self._under_way

    def last_end(self, peer: Peer) -> float | None:
        """When the last request was answered; None: there was none yet."""
        return self._ended.get(peer)

    def forget_all_but(self, peers: Container[Peer]) -> None:
        """Forget connections that are gone."""
        for peer in [peer for peer in list(self._ended) if peer not in peers]:
            self._ended.pop(peer, None)


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A client's connection, by the server's descriptor of it. The server may close that at any time, and it may then
    be another's: ``_own`` gives one that is ours for a moment. It is not kept: the peer would not be told the end."""

    descriptor: int
    inode: int
    peer: Peer
    not_before_s: float
    """When it was not there yet."""
    since_s: float

    def quiet_s(self) -> float:
        """For how long nothing was sent or came, as far as the system tells."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return 0.0
        with self._own() as own:
            told = own.getsockopt(socket.IPPROTO_TCP, option, _DATA_RECEIVED_MS + 4)
        sent, received = (struct.unpack_from("=I", told, at)[0] for at in (_DATA_SENT_MS, _DATA_RECEIVED_MS))
        return float(min(sent, received)) / 1000

    def close(self) -> None:
        """Break it off, unless it is gone."""
        with contextlib.suppress(OSError), self._own() as own:
            own.shutdown(socket.SHUT_RDWR)

    def _own(self) -> socket.socket:
        own = socket.socket(fileno=os.dup(self.descriptor))
        if os.fstat(own.fileno()).st_ino != self.inode:
            own.close()
            raise ConnectionError("it is gone")
        return own


@dataclass(slots=True)
class ConnectionGuard(Follower):
    """Closes what may not stay of the connections to this port. A context manager: its thread ends with it."""

    port: int
    limits: ConnectionLimits
    uses: Uses
    on_closed: Callable[[Counter[str]], None] = lambda _: None
    clock_s: Callable[[], float] = time.monotonic
    every_s: float = SWEEP_S
    _held: dict[int, Connection | int] = field(default_factory=dict)
    """By descriptor of the server's: the connection, or the inode of what is none."""
    _looked_s: float = 0.0

    def start(self) -> Self:
        """Watch from now on."""
        self.uses.watched = True
        return Follower.start(self)

    def close(self) -> None:
        """Watch no more."""
        Follower.close(self)
        self.uses.watched = False

    def sweep(self) -> Counter[str]:
        """Look once; returns how many were closed by reason."""
        now_s, open_ = self.clock_s(), self._open()
        closed: Counter[str] = Counter()
        staying = []
        for connection in open_:
            if (why := self._overdue(connection, now_s)) is None:
                staying.append(connection)
            else:
                connection.close()
                closed[why] += 1
        for why, too_many in (("peer", self._of_peers), ("all", self._of_all)):
            surplus = too_many(staying)
            for connection in surplus:
                connection.close()
                closed[why] += 1
            gone = set(surplus)
            staying = [connection for connection in staying if connection not in gone]
        self.uses.forget_all_but({connection.peer for connection in open_})
        return closed

    def _overdue(self, connection: Connection, now_s: float) -> str | None:
        """Why it may not stay by itself; None: it may."""
        peer, limits = connection.peer, self.limits
        if self.uses.is_busy(peer):
            with contextlib.suppress(OSError):
                if connection.quiet_s() > limits.stalled_s:
                    return "stalled"
            return None
        last_s = self.uses.last_end(peer)
        if last_s is None or last_s < connection.not_before_s:  # that was another one's, from the same port
            return "silent" if now_s - connection.since_s > limits.first_request_s else None
        return "idle" if now_s - last_s > limits.idle_s else None

    def _of_peers(self, staying: list[Connection]) -> list[Connection]:
        """What untrusted peers have too many of."""
        of_address: dict[str, list[Connection]] = {}
        for connection in staying:
            of_address.setdefault(connection.peer[0], []).append(connection)
        most = self.limits.most_per_peer
        crowds = [
            each for address, each in of_address.items() if len(each) > most and address not in self.limits.trusted
        ]
        return [connection for crowd in crowds for connection in self._dispensable(crowd)[: len(crowd) - most]]

    def _of_all(self, staying: list[Connection]) -> list[Connection]:
        """Where connections become scarce: those that are needed least, so many that there is room for others."""
        if len(staying) < self.limits.most * _FULL:
            return []
        return self._dispensable(staying)[: len(staying) - int(self.limits.most * _AFTER)]

    def _dispensable(self, connections: Iterable[Connection]) -> list[Connection]:
        """Those without a request first, of them those that never had one, of them the oldest."""

        def need(connection: Connection) -> tuple[bool, bool, float]:
            last_s = self.uses.last_end(connection.peer)
            return self.uses.is_busy(connection.peer), last_s is not None, last_s or connection.since_s

        return sorted(connections, key=need)

    def _open(self) -> list[Connection]:
        """The connections that the server has now."""
        now: dict[int, Connection | int] = {}
        began_s = self.clock_s()
        for name in os.listdir(_DESCRIPTORS):
            descriptor = int(name)
            with contextlib.suppress(OSError):  # it is closed meanwhile
                told = os.fstat(descriptor)
                if not stat.S_ISSOCK(told.st_mode):
                    continue
                held = self._held.get(descriptor)
                if held is None or (held.inode if isinstance(held, Connection) else held) != told.st_ino:
                    held = self._connection(descriptor, self._looked_s) or told.st_ino
                now[descriptor] = held
        self._held, self._looked_s = now, began_s
        return [held for held in now.values() if isinstance(held, Connection)]

    def _connection(self, descriptor: int, not_before_s: float) -> Connection | None:
        """The connection to our port that the descriptor is of; None: it is something else."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as own:
            if own.family in (socket.AF_INET, socket.AF_INET6) and own.getsockname()[1] == self.port:
                address, port = own.getpeername()[:2]  # what listens has none
                return Connection(
                    descriptor, os.fstat(own.fileno()).st_ino, (address, str(port)), not_before_s, self.clock_s()
                )
        return None

    def tick(self) -> None:
        """Look once, and report what was closed."""
        with contextlib.suppress(OSError):  # there are no descriptors left, for a moment
            if closed := self.sweep():
                self.on_closed(closed)


def connections_that_fit(most: int) -> int:
    """So many connections, or as many as there are descriptors for: the limit is raised as far as it may be."""
    try:
        import resource
    except ImportError:  # no such limit here
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return most
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    with contextlib.suppress(OSError, ValueError):
        if wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(_FEWEST, min(most, soft - RESERVED_DESCRIPTORS))
