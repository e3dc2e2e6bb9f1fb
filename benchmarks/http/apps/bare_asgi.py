"""A limit: an ASGI function without a framework on asyncpg's pool. No validation, no errors.

With `HELD` set, the connections are never returned to a pool and never reset: an upper limit for any pool.
"""

import json
import os
from asyncio import Queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import msgspec

from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE


class Held:
    def __init__(self) -> None:
        self._connections: Queue[Any] = Queue()

    async def open(self) -> None:
        for _ in range(SIZE):
            self._connections.put_nowait(await asyncpg.connect(DSN))

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        connection = await self._connections.get()
        try:
            yield connection
        finally:
            self._connections.put_nowait(connection)


encode = msgspec.json.Encoder().encode
HEADERS = [(b"content-type", b"application/json")]
pool: Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    global pool
    if scope["type"] == "lifespan":
        await receive()
        if "HELD" in os.environ:
            pool = Held()
            await pool.open()
        else:
            pool = await asyncpg.create_pool(DSN, min_size=SIZE, max_size=SIZE)
        await send({"type": "lifespan.startup.complete"})
        return
    new = json.loads((await receive())["body"]) if scope["method"] == "POST" else None
    async with pool.acquire() as connection:
        body = encode(await work(connection, scope, new))
    headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 201 if new else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def work(connection: Any, scope: dict[str, Any], new: dict[str, Any] | None) -> Any:
    if new:
        async with connection.transaction():
            return dict(await connection.fetchrow(CREATE, *new.values()))
    _, _, key, *more = scope["path"].split("/")
    if not key:
        limit = parse_qs(scope["query_string"])[b"limit"][0]
        return [dict(row) for row in await connection.fetch(LIST, 0, int(limit))]
    row = dict(await connection.fetchrow(READ, int(key)))
    if not more:
        return row
    before = await connection.fetchrow(PREVIOUS, int(key))
    after = await connection.fetchrow(NEXT, int(key))
    return {"previous": before and dict(before), "record": row, "next": after and dict(after)}
