"""What a service's HTTP can be told."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Limits and manners of one service's HTTP.

    - ``requests_per_s``/``burst``: what one client (an identity) may ask; ``strangers_per_s``/``strangers_burst``: what
      one network address may ask with tokens that were not seen to hold, or with none
    - ``max_body_bytes``: larger bodies are refused; ``bodies_bytes``: of all bodies that are being read or worked on;
      ``answer_within_s``: how long a request may take until its answer begins
    - ``reading_threads``: reads of a store at once; ``waiting_reads``: how many more may wait before the service says
      that it is overloaded
    - ``drain_s``: how long requests under way may go on after SIGTERM; ``linger_s``: how long new ones are still
      answered, so that a load balancer can notice that the service is no longer ready
    - ``trusted_proxies``: addresses whose ``X-Forwarded-For`` names the client, and that may have as many connections
      as there are
    - ``first_request_s``: how long a connection may take until its first request has come with all its headers,
      ``idle_s``: how long it may be without a request after one was answered, ``stalled_s``: how long a request under
      way may neither send nor take anything
    - ``connections``: at once, and fewer where there are not as many descriptors; ``connections_per_peer``: of one
      address that is no trusted proxy
    - ``compress_from_bytes``: smaller answers are not compressed
    - ``access_log``: a line for every request, not only for faults
    """

    requests_per_s: float = 500.0
    burst: int = 1_000
    strangers_per_s: float = 50.0
    strangers_burst: int = 500
    clients_remembered: int = 50_000
    max_body_bytes: int = 32 << 20
    bodies_bytes: int = 40 << 20
    answer_within_s: float = 30.0
    reading_threads: int = 8
    waiting_reads: int = 256
    drain_s: float = 20.0
    linger_s: float = 0.0
    trusted_proxies: Container[str] = frozenset()
    first_request_s: float = 15.0
    idle_s: float = 120.0
    stalled_s: float = 120.0
    connections: int = 2_048
    connections_per_peer: int = 256
    compress_from_bytes: int = 1_024
    access_log: bool = True
