"""Pure ASGI middleware: what happens around every request.

Starlette's `BaseHTTPMiddleware` costs four times as much, and misses websockets.
"""

import asyncio
import logging
import sys

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import Database, EmbeddedServerError
from service.drain import Drain
from service.migrations import MigrationError

logger = logging.getLogger("service")


class ScopeMiddleware:
    """Opens a scope for each request and websocket, until its background tasks have ended."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"] if scope["path"].isprintable() else repr(scope["path"])  # it goes into log lines
        name = f"{scope.get('method', 'WEBSOCKET')} {path}"
        async with self._database.scope(name):
            try:
                await self._app(scope, receive, send)
            except asyncio.CancelledError:
                logger.warning("%s was cancelled: the server stops, and it ran past the limit", name)
                raise


class CloseWhileDraining:
    """Says `Connection: close` on each answer while the service is stopping, so that clients leave by themselves."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        async def closing(message: Message) -> None:
            if self._drain.active and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, closing if scope["type"] == "http" else send)


_LIMIT = "poolkeeper.max_body_bytes"


def raise_body_limits(request: Request, *, max_bytes: int, seconds: float) -> None:  # noqa: ARG001 - the size only, here
    """Let this one request have a larger and slower body. Call it before the first part of `request.stream()` is read.

    It is for a route that takes its body as a stream. FastAPI reads any other body before the route runs.
    """
    request.scope[_LIMIT] = max_bytes


class BodyLimit:
    """Refuses a request body of more than `max_bytes` with a 413, as a problem. FastAPI's own limit answers in plain text."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        announced_bytes = int(announced) if announced.isdecimal() else 0
        counted = 0
        scope[_LIMIT] = self._max_bytes

        async def limited() -> Message:
            nonlocal counted
            max_bytes: int = scope[_LIMIT]
            if announced_bytes > max_bytes:
                raise self._too_large(max_bytes)
            message = await receive()
            counted += len(message.get("body", b""))
            if counted > max_bytes:
                raise self._too_large(max_bytes)
            return message

        await self._app(scope, limited, send)

    def _too_large(self, max_bytes: int) -> HTTPException:
        return HTTPException(413, f"body: larger than the {max_bytes} bytes allowed")


class ReadableStart:
    """Says in one message, without a traceback, why the service cannot start, where the reason is outside its code."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def readable(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | MigrationError):
                message = {"type": message["type"], "message": str(error)}
            await send(message)

        await self._app(scope, receive, readable)
