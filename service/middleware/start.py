"""What the server says when the service cannot start."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import EmbeddedServerError
from service.migrations import MigrationError


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
