"""The application: routers, middleware, errors and lifetime around a container."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec

from dependency_injector.containers import Container
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware

from service.auth.access import ADMINS, identify, require_admin, says_who_may_call
from service.auth.router import router as auth_router
from service.database import Database
from service.items.router import router as items_router
from service.operations.diagnostics.router import router as diagnostics_router
from service.operations.diagnostics.timing import ServerTiming
from service.operations.documentation.router import router as documentation_router
from service.operations.health.router import router as health_router
from service.settings import Settings
from service.startup import opened
from service.startup.signals import interruptible
from service.users.router import router as users_router
from service.web.dispatch import Dispatch
from service.web.drain import Drain
from service.web.middleware import BodyLimits, Edge, Hosts, RequestScope, check_loopback, check_query
from service.web.openapi import document, operation_id
from service.web.prepared import PreparedApplication, PreparedRoutes
from service.web.problems import install_problems
from service.web.routes import calls_of_routes, routes_of, wire_calls
from service.web.server.admission import Admission
from service.web.server.gc import frozen_gc
from service.web.server.protocol import prepare_server

logger = logging.getLogger("service")

ROUTERS: tuple[APIRouter, ...] = (users_router, items_router, auth_router, health_router)
DIAGNOSTICS: tuple[APIRouter, ...] = (diagnostics_router,)
DOCUMENTATION: tuple[APIRouter, ...] = (documentation_router,)

_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False)
"""Without OpenTelemetry's SDK nothing can be recorded, and FastAPI need not look for it at each request."""


def create_app(container: Container) -> FastAPI:
    """The application that serves a container. Its resources are opened at the server's start and closed at its end.

    Raises `ConfigurationError` for settings that are not valid, and `NotWired` for an injected name without a provider.
    """
    settings: Settings = container.providers["settings"]()
    settings.require_for_serving()
    drain: Drain = container.providers["drain"]()
    routers = ROUTERS + (DIAGNOSTICS if settings.diagnostics.enabled else ())
    routers += DOCUMENTATION if settings.documentation_enabled else ()
    is_open = settings.auth_mode == "open"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        wire_calls(container, calls_of_routes(app.routes))  # what was added since
        if is_open:
            logger.warning(
                "auth.mode is OPEN: every client on this machine is an admin without signing in. For development only"
            )
        async with AsyncExitStack() as stack:
            with interruptible("the start"):
                await stack.enter_async_context(opened(container))
            with drain.on_sigterm(), frozen_gc(enabled=settings.performance.freeze_gc):
                yield

    observed = find_spec("opentelemetry.sdk") is not None
    prepared = settings.performance.prepared_routes and not observed
    app = (PreparedApplication if prepared else FastAPI)(
        title="Poolkeeper",
        summary="Users and items, on scoped connections",
        version="0.1.0",
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.documentation_enabled else None,
        docs_url=None,  # FastAPI's own page is blank without the internet
        redoc_url=None,
        generate_unique_id_function=operation_id,
        telemetry=None if observed else _NO_TELEMETRY,
    )
    app.router.middleware_stack = Dispatch(app.router, says_who_may_call, require_admin)
    for router in routers:
        app.include_router(router, dependencies=None if _says_who_may_call(router) else [ADMINS])
    everywhere = [depends.dependency for router in routers for depends in router.dependencies if depends.dependency]
    wire_calls(container, [identify, *everywhere, *calls_of_routes(app.routes)])
    install_problems(app)
    document(app, token_is_optional=is_open)
    _add_middleware(app, container, settings)
    return app


def _add_middleware(app: FastAPI, container: Container, settings: Settings) -> None:
    """Each goes around those before it."""
    database: Database = container.providers["database"]()
    drain: Drain = container.providers["drain"]()
    if settings.performance.prepared_routes:
        app.add_middleware(PreparedRoutes, api=app, admits=says_who_may_call)
    if settings.diagnostics.enabled:
        app.add_middleware(ServerTiming, database=database)
    limits = BodyLimits(settings.http.max_body_bytes, settings.http.body_seconds)
    admission = Admission(database) if settings.performance.batched_admission else None
    app.add_middleware(RequestScope, database=database, body_limits=limits, admission=admission, container=container)
    if settings.http.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.allowed_origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"),
            expose_headers=("ETag", "Idempotency-Replayed", "Link", "Location", "Retry-After", "X-Request-ID"),
        )
    guards = [Hosts(settings.allowed_hosts).check, check_query]
    if settings.auth_mode == "open":
        guards.append(check_loopback)
    prepare = partial(prepare_server, limits=settings.http)
    app.add_middleware(
        Edge, drain=drain, guards=guards, hsts_seconds=settings.http.hsts_seconds, prepare_server=prepare
    )


def _says_who_may_call(router: APIRouter) -> bool:
    """Whether each route does. Else the whole router is closed to all but admins, and the log says so."""
    undecided = [str(route.path) for route in routes_of(router.routes) if not says_who_may_call(route)]
    if undecided:
        logger.warning(
            "%s: nothing says who may call: take `caller: SignedIn`, or `dependencies=[PUBLIC]`. Until then, admins only",
            ", ".join(undecided),
        )
    return not undecided
