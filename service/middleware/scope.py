"""A scope of the database for each request."""

import asyncio
import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from service.database import Database
from service.request import name_of

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
        name = name_of(scope)
        async with self._database.scope(name):
            try:
                await self._app(scope, receive, send)
            except asyncio.CancelledError:
                logger.warning("%s was cancelled: the server stops, and it ran past the limit", name)
                raise
