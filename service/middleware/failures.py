"""Errors that nobody caught, and those of middleware."""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem_of
from service.request import name_of

logger = logging.getLogger("service")


class Failures:
    """Answers what is raised below with a problem: the service's own errors as anywhere, any other with a 500.

    Starlette's own last resort is outside all other middleware, so its answer would lack their headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def starting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, starting)
        except Exception as error:
            if started:  # the server logs the error, and cuts the answer off
                logger.error("%s failed after its answer had begun", name_of(scope))  # noqa: TRY400 - see above
                raise
            await problem_of(scope, error)(scope, receive, send)
