"""FastAPI's application without the middleware that has nothing to do in this service."""

from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


class PreparedApplication(FastAPI):
    """An application with its own middleware, Starlette's exception handlers, and the router; nothing around them.

    FastAPI wraps three layers around all middleware: Starlette's `ServerErrorMiddleware`, telemetry, and the limit of
    `max_body_size`. Every request would pass through them for nothing, because `RequestScope` handles every error and
    limits every body. They stay if the application has a handler for `Exception`, `debug` or `max_body_size`.
    """

    def build_middleware_stack(self) -> ASGIApp:  # noqa: D102 - FastAPI's
        if self.debug or self.max_body_size is not None or self.exception_handlers.keys() & {500, Exception}:
            return super().build_middleware_stack()
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        app = ExceptionMiddleware(app, self.exception_handlers)
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan" or self.root_path or self.middleware_stack is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


def application(*, prepared: bool, **options: Any) -> FastAPI:
    """Return FastAPI's application, without what has nothing to do if it is to be prepared.

    Without OpenTelemetry's SDK nothing can be recorded, and FastAPI need not look for a recorder at each request. With
    it, every request goes FastAPI's way, which records it.
    """
    if find_spec("opentelemetry.sdk") is not None:
        return FastAPI(**options)
    telemetry = TelemetryConfig(tracing=False, metrics=False, logs=False)
    return (PreparedApplication if prepared else FastAPI)(telemetry=telemetry, **options)
