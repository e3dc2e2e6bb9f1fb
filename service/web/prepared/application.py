"""FastAPI's application, without what has nothing to do here."""

from typing import Any

from fastapi import FastAPI
from fastapi._body_limit import AppBodyLimitMiddleware
from fastapi.telemetry._asgi import ExceptionTelemetryMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_UNUSED = (ServerErrorMiddleware, ExceptionTelemetryMiddleware, AppBodyLimitMiddleware)


class PreparedApplication(FastAPI):
    """An application whose own middleware answers every error, and which nobody observes.

    FastAPI wraps three layers around all middleware: Starlette's last resort, telemetry, and the limit of a body below a
    mount. Each request would pass through them for nothing.
    """

    def build_middleware_stack(self) -> ASGIApp:  # noqa: D102 - FastAPI's
        stack: Any = super().build_middleware_stack()
        last_resort = self.debug or self.exception_handlers.keys() & {500, Exception}
        if not last_resort and self.max_body_size is None:
            while isinstance(stack, _UNUSED):
                stack = stack.app
        application: ASGIApp = stack
        return application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan" or self.root_path or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)
