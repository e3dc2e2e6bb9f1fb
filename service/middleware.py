"""Pure ASGI middleware: what happens around every request. `BaseHTTPMiddleware` costs four times as much, and misses websockets."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import Database, EmbeddedServerError
from service.migrations import MigrationError


class ScopeMiddleware:
    """Opens a scope for each request and websocket, until its background tasks have ended."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        async with self._database.scope(f"{scope.get('method', 'WEBSOCKET')} {scope['path']}"):
            await self._app(scope, receive, send)


class ReadableStart:
    """Says in one message, without a traceback, why the service cannot start, where the reason is outside its code."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def readable(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | MigrationError):
                message = {"type": message["type"], "message": str(error)}
            await send(message)

        await self._app(scope, receive, readable)
