"""The application: routers, middleware, errors and lifetime around a container."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from dependency_injector.containers import Container
from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse

from service.database import Database
from service.diagnostics.router import router as diagnostics_router
from service.diagnostics.timing import ServerTiming
from service.drain import Drain
from service.health.router import router as health_router
from service.injection import refuse_visible_injections
from service.items.router import router as items_router
from service.middleware import BodyLimits, Edge, Failures, ReadableStart, ScopeMiddleware
from service.problems import Problem, install_problems
from service.settings import Settings
from service.startup import opened
from service.users.router import router as users_router

ROUTERS: tuple[APIRouter, ...] = (users_router, items_router, health_router)
DIAGNOSTICS: tuple[APIRouter, ...] = (diagnostics_router,)


def create_app(container: Container) -> FastAPI:
    """The application that serves a container. Its resources are opened at the server's start and closed at its end.

    Raises `ConfigurationError` for settings that are not valid, and `NotWired` for an injected name without a provider.
    """
    settings: Settings = container.providers["settings"]()
    database: Database = container.providers["database"]()
    drain: Drain = container.providers["drain"]()
    routers = ROUTERS + (DIAGNOSTICS if settings.diagnostics.enabled else ())
    _wire(container, {call for router in routers for call in _calls(router)})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with opened(container):
            with drain.on_sigterm():
                yield

    app = FastAPI(
        title="Poolkeeper",
        summary="Users and items, on scoped connections",
        version="0.1.0",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    for router in routers:
        app.include_router(router)
    install_problems(app)
    _document_problems(app)
    _add_middleware(app, settings, database, drain)
    app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
    return app


def _add_middleware(app: FastAPI, settings: Settings, database: Database, drain: Drain) -> None:
    """Each goes around those before it."""
    if settings.diagnostics.enabled:
        app.add_middleware(ServerTiming, database=database)
    app.add_middleware(BodyLimits, max_bytes=settings.http.max_body_bytes, seconds=settings.http.body_seconds)
    app.add_middleware(ScopeMiddleware, database=database)
    app.add_middleware(Failures)
    if settings.http.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http.allowed_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"),
            expose_headers=("ETag", "Link", "Location", "Retry-After", "X-Request-ID"),
        )
    app.add_middleware(Edge, drain=drain, allowed_hosts=settings.allowed_hosts, hsts_seconds=settings.http.hsts_seconds)
    app.add_middleware(ReadableStart)


def _wire(container: Container, calls: set[Callable[..., Any]]) -> None:
    for call in calls:
        refuse_visible_injections(call)
    container.wire(modules=sorted({call.__module__ for call in calls if call.__module__ in sys.modules}))


def _calls(router: APIRouter) -> Iterator[Callable[..., Any]]:
    """All that FastAPI calls for a router's requests: endpoints, websockets and dependencies, of nested routers too."""
    yield from (depends.dependency for depends in router.dependencies if depends.dependency is not None)
    for route in router.routes:
        if (nested := getattr(route, "original_router", None)) is not None:
            yield from _calls(nested)
        elif (dependant := getattr(route, "dependant", None)) is not None:  # pragma: no branch - mounted applications
            yield from _calls_of(dependant)


def _calls_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:  # pragma: no branch - FastAPI's type allows what it never makes
        yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls_of(dependency)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _document_problems(app: FastAPI) -> None:
    """Put the schema of problems into OpenAPI, in the place of FastAPI's own validation error."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["Problem"] = problem
        return document

    app.openapi = openapi  # type: ignore[method-assign]
