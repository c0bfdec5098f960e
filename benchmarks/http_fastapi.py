"""The same summary endpoint in FastAPI on uvicorn, as its users write it: asyncpg, one SQL aggregate, orjson.

    python http_fastapi.py URL FOLDER

runs in an environment of its own (``peers/fastapi.txt``) and prints its port. The token is verified once and
remembered until it expires; its tenant has to be the policy's. It knows no purpose, approval, policy language,
obligation or audit.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import asyncpg
import jwt
import orjson
import uvicorn
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
KEY = load_pem_private_key((FOLDER / "key.pem").read_bytes(), None).public_key()
SUMMARY = """
SELECT p.tenant, p.number AS policy, p.product, p.zone, p.declared_annual_distance_m,
       date_trunc($2, to_timestamp(j.started_at_us / 1e6) AT TIME ZONE p.zone)::date AS period_from,
       count(*) AS journeys, round(sum(distance_m)::numeric, 3)::float8 AS distance_m,
       round(sum(duration_s)::numeric, 3)::float8 AS duration_s, round(sum(driving_s)::numeric, 3)::float8 AS driving_s,
       round(sum(idle_s)::numeric, 3)::float8 AS idle_s, max(max_speed_mps) AS max_speed_mps,
       sum(night_distance_m) AS night_distance_m, sum(night_s) AS night_s,
       sum(speeding_distance_m) AS speeding_distance_m, sum(speeding_s) AS speeding_s,
       sum(harsh_braking) AS harsh_braking, sum(harsh_acceleration) AS harsh_acceleration,
       sum(harsh_cornering) AS harsh_cornering, sum(fixes) AS fixes, sum(quarantined) AS quarantined,
       sum(bridged_s) AS bridged_s, min(rules_version) AS rules_version
FROM policies p JOIN journeys j ON j.policy = p.number
WHERE p.number = $1 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 6
"""
_verified: dict[str, dict[str, Any]] = {}


@asynccontextmanager
async def lifespan(app: FastAPI):
    # The pool that takes the least CPU a request: 2, 8 and 16 connections were tried, from 4 to 64 clients.
    async with asyncpg.create_pool(URL, min_size=4, max_size=4) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)


async def identity(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    claims = _verified.get(token)
    if claims is None or claims["exp"] <= time.time():
        try:
            claims = jwt.decode(token, KEY, algorithms=["ES256", "EdDSA"], audience="journeymesh")
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error
        _verified[token] = claims
    return claims


@app.get("/v1/policies/{policy}/summary")
async def summary(
    policy: str,
    request: Request,
    claims: Annotated[dict[str, Any], Depends(identity)],
    period: Literal["day", "week", "month"] = "month",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    rows = await request.app.state.pool.fetch(SUMMARY, policy, period)
    if not rows or rows[0]["tenant"] != claims.get("tenant", "tenant-0"):
        raise HTTPException(404)
    body = orjson.dumps({"items": [dict(row) for row in rows], "next": None})
    tag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_level="warning", loop="uvloop",
                            http="httptools")  # fmt: skip
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.ensure_future(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        print(port, flush=True)
        await serving

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
