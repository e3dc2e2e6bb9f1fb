"""`Server-Timing`: the cost of a request, for the network panel of browsers."""

from time import perf_counter

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.database import Database


class ServerTiming:
    """Adds `Server-Timing` to each response: statements, and milliseconds of waiting for and holding a connection, and in all.

    It counts the work of the request's scope until the response's first byte.
    """

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        work = self._database.current_scope()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "Server-Timing",
                    f'statements;desc="{work.statements}", wait;dur={work.wait_time * 1000:.2f}, '
                    f"hold;dur={work.hold_time * 1000:.2f}, total;dur={(perf_counter() - started) * 1000:.2f}",
                )
            await send(message)

        await self._app(scope, receive, timed)
