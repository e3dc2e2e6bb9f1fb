"""A limit: an ASGI function without a framework, on connections that are held for good. No validation, no errors."""

import json
from asyncio import Queue
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import msgspec

from benchmarks.http.peers.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE

encode = msgspec.json.Encoder().encode
HEADERS = [(b"content-type", b"application/json")]
connections: Queue[Any] = Queue()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        for _ in range(SIZE):
            connections.put_nowait(await asyncpg.connect(DSN))
        await send({"type": "lifespan.startup.complete"})
        return
    new = json.loads((await receive())["body"]) if scope["method"] == "POST" else None
    connection = await connections.get()
    try:
        answer = await work(connection, scope, new)
    finally:
        connections.put_nowait(connection)
    body = encode(answer)
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
