"""Real sockets for tests of streams: uvicorn in the test's own event loop, with its database in reach."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from containers import Container
from service.app import create_app


@asynccontextmanager
async def listening(served: Container | FastAPI, graceful_seconds: int = 1) -> AsyncIterator[int]:
    """Serve an application, or an open container's, on a free port, and return the port."""
    app = served if isinstance(served, FastAPI) else create_app(served)
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=graceful_seconds)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await running


@asynccontextmanager
async def sent(port: int, request: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which a request, or its beginning, was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()


EXPORT = b"GET /items/export HTTP/1.1\r\nHost: test\r\n\r\n"


def import_beginning(user_id: int, body: bytes) -> bytes:
    """An import whose body goes on after this."""
    head = f"POST /users/{user_id}/items/import HTTP/1.1\r\nHost: test\r\nContent-Type: text/csv\r\n"
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
