"""The application around a container: assembly only, in the order of a request."""

from dependency_injector.containers import Container
from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from service.auth.access import access_of, identify, require_admin, says_who_may_call
from service.auth.router import router as auth_router
from service.database import Database
from service.items.router import router as items_router
from service.operations.diagnostics.router import router as diagnostics_router
from service.operations.diagnostics.timing import ServerTiming
from service.operations.documentation.router import router as documentation_router
from service.operations.health.router import router as health_router
from service.settings import Settings
from service.startup.lifespan import lifespan_of
from service.users.router import router as users_router
from service.web.dispatch import Dispatch
from service.web.middleware import BodyLimits, RequestScope, cors_layers, edge_layer
from service.web.openapi import document, operation_id
from service.web.prepared import PreparedRoutes, application
from service.web.problems import install_problems
from service.web.routes import calls_of_routers, calls_of_routes, wire_calls
from service.web.server.admission import Admission

# The place for a new feature's router.
ROUTERS: tuple[APIRouter, ...] = (users_router, items_router, auth_router, health_router)
DIAGNOSTICS: tuple[APIRouter, ...] = (diagnostics_router,)
DOCUMENTATION: tuple[APIRouter, ...] = (documentation_router,)


def create_app(container: Container) -> FastAPI:
    """Return the application that serves a container. The server's start opens the container's resources, its end closes them.

    Raises:
        ConfigurationError: A setting is not valid.
        NotWired: An injected name has no provider.
    """
    settings: Settings = container.providers["settings"]()
    settings.require_for_serving()
    is_open = settings.auth_mode == "open"
    app = application(
        prepared=settings.performance.prepared_routes,
        title="Poolkeeper",
        summary="Users and items, on scoped connections",
        version="0.1.0",
        lifespan=lifespan_of(container),
        openapi_url="/openapi.json" if settings.documentation_enabled else None,
        docs_url=None,  # FastAPI's own page is blank without the internet
        redoc_url=None,
        generate_unique_id_function=operation_id,
    )
    app.user_middleware.extend(_middleware(app, container, settings))
    app.router.middleware_stack = Dispatch(app.router, says_who_may_call, require_admin)
    routers = ROUTERS + (DIAGNOSTICS if settings.diagnostics.enabled else ())
    routers += DOCUMENTATION if settings.documentation_enabled else ()
    for router in routers:
        app.include_router(router, dependencies=access_of(router))
    wire_calls(container, [identify, *calls_of_routers(routers), *calls_of_routes(app.routes)])
    install_problems(app)
    document(app, token_is_optional=is_open)
    return app


def _middleware(app: FastAPI, container: Container, settings: Settings) -> list[Middleware]:
    """Return the middleware from outside in: each is around those after it."""
    database: Database = container.providers["database"]()
    http, performance, is_open = settings.http, settings.performance, settings.auth_mode == "open"
    limits = BodyLimits(http.max_body_bytes, http.body_seconds)
    admission = Admission(database) if performance.batched_admission else None
    layers = [
        edge_layer(http, container.providers["drain"](), allowed_hosts=settings.allowed_hosts, loopback_only=is_open),
        *cors_layers(http.allowed_origins),
        Middleware(RequestScope, database=database, body_limits=limits, admission=admission, container=container),
    ]
    if settings.diagnostics.enabled:
        layers.append(Middleware(ServerTiming, database=database))
    if performance.prepared_routes:
        layers.append(Middleware(PreparedRoutes, api=app, admits=says_who_may_call))
    return layers
