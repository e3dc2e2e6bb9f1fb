"""What is around the work on a request."""

import asyncio
import logging

from dependency_injector.containers import Container
from starlette.types import ASGIApp, Receive, Scope, Send

from service.database import Database
from service.injection import CONTAINER
from service.web.middleware.body import BodyLimits
from service.web.problems import problem_of
from service.web.request_id import has_begun, name_of
from service.web.server.admission import ADMISSION, Admission

logger = logging.getLogger("service")


class RequestScope:
    """Opens a scope of the database for each request and websocket, until its background tasks have ended.

    It holds a request's body to its limits, and answers what is raised with a problem: the service's own errors as
    anywhere, any other with a 500. Starlette's own last resort is outside all other middleware, so its answer would lack
    their headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        database: Database,
        body_limits: BodyLimits,
        admission: Admission | None = None,
        container: Container | None = None,
    ) -> None:
        self._app = app
        self._database = database
        self._limited = body_limits.limited
        self._admission = admission
        self._container = container

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan":
            scope.get("state", {})[ADMISSION] = self._admission
            await self._app(scope, receive, send)
            return
        name = name_of(scope)
        before = CONTAINER.set(self._container)
        try:
            async with self._database.scope(name):
                await self._app(scope, self._limited(scope, receive), send)
        except asyncio.CancelledError:
            logger.warning("%s was cancelled: the server stops, and it ran past the limit", name)
            raise
        except Exception as error:
            if scope["type"] != "http":
                raise
            if has_begun(scope):  # the server logs the error, and cuts the answer off
                logger.error("%s failed after its answer had begun", name)  # noqa: TRY400 - see above
                raise
            await problem_of(scope, error)(scope, receive, send)
        finally:
            CONTAINER.reset(before)
