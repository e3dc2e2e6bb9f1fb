"""Answers that are sent while they are made."""

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.web.problems import STATUS_OF

logger = logging.getLogger("service")

Write = Callable[[bytes], Awaitable[None]]
"""Sends a part of the body, as fast as the client takes it."""


class JsonLinesResponse(Response):
    """JSON lines that `produce` writes. A failure before its first line is an answer of its own, as anywhere else.

    A later one breaks the transfer off, so that the client can tell that it is not complete. Unlike a generator, `produce`
    runs in the request's own task: what it holds in `async with` is given back as soon as it ends, however it ends.
    """

    media_type = "application/x-ndjson"

    def __init__(self, produce: Callable[[Write], Awaitable[None]]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        request = Request(scope, receive)
        started = False

        async def write(lines: bytes) -> None:
            nonlocal started
            if not started:
                started = True
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": lines, "more_body": True})
            if await request.is_disconnected():
                raise ClientDisconnect

        try:
            await self._produce(write)
            await write(b"")
        except ClientDisconnect:
            return
        except tuple(STATUS_OF) as error:
            if not started:
                raise
            # Without the last, empty chunk the server closes the connection: the client sees an incomplete body.
            logger.warning("%s %s was broken off: %s", request.method, request.url.path, error)
            return
        await send({"type": "http.response.body", "body": b""})
