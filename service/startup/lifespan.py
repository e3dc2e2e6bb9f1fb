"""What happens when a server starts the application and when it stops it."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from dependency_injector.containers import Container
from fastapi import FastAPI

from service.settings import Settings
from service.startup.container import opened
from service.startup.signals import interruptible
from service.web.drain import Drain
from service.web.routes import calls_of_routes, wire_calls
from service.web.server.gc import frozen_gc

logger = logging.getLogger("service")


def lifespan_of(container: Container) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of the application that serves a container."""
    settings: Settings = container.providers["settings"]()
    drain: Drain = container.providers["drain"]()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        wire_calls(container, calls_of_routes(app.routes))  # including routes that were added after `create_app`
        if settings.auth_mode == "open":
            logger.warning(
                "auth.mode is OPEN: every client on this machine is an admin without signing in. For development only"
            )
        async with AsyncExitStack() as stack:
            with interruptible("the start"):
                await stack.enter_async_context(opened(container))
            with drain.on_sigterm(), frozen_gc(enabled=settings.performance.freeze_gc):
                yield

    return lifespan
