"""Poolkeeper: the service's own application, with its container and middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
from dependency_injector import providers
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket

from benchmarks.traps.pattern import Work, run
from containers import Container
from service.app import create_app as create_service
from service.database import Database, ScopedConnection
from service.injection import Provide, inject
from service.settings import Settings

TITLE = "Poolkeeper"
FORM = "`connection: ScopedConnection = Provide[...]` wherever it is needed"
DEEPER = "`@inject`"
PACKAGES = ("dependency-injector",)
CANNOT: dict[str, str] = {}

router = APIRouter()


@router.get("/unit/{name}")
@inject
async def endpoint(name: str, tasks: BackgroundTasks, connection: ScopedConnection = Provide["connection"]) -> Any:
    return await run(name, connection, tasks)


@router.get("/thread/{name}")
@inject
def in_a_thread(name: str, connection: ScopedConnection = Provide["connection"]) -> Any:
    return anyio.from_thread.run(run, name, connection, None)


@router.websocket("/socket/{name}")
@inject
async def socket(name: str, websocket: WebSocket, connection: ScopedConnection = Provide["connection"]) -> None:
    await run(name, connection, websocket)


@inject
async def deeper(_: ScopedConnection, sql: Any, connection: ScopedConnection = Provide["connection"]) -> Any:
    return await connection.fetchval(sql)


@inject
async def independent(
    _: ScopedConnection,
    sql: Any,
    database: Database = Provide["database"],
    connection: ScopedConnection = Provide["connection"],
) -> Any:
    async with database.scope("audit"):
        return await connection.fetchval(sql)


def create_container(dsn: str, size: int) -> Container:
    settings = Settings(database={"dsn": dsn, "min_size": 1, "max_size": size, "migrate_on_start": False})
    container = Container(settings=providers.Object(settings))
    container.wire(modules=[__name__])
    return container


def create_app(dsn: str, size: int) -> FastAPI:
    app = create_service(create_container(dsn, size))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    container = create_container(dsn, size)
    await container.init_resources()  # type: ignore[misc]
    try:
        async with container.database().scope("script"):
            return await work(container.connection(), None)
    finally:
        await container.shutdown_resources()  # type: ignore[misc]


async def value(connection: ScopedConnection, sql: Any) -> Any:
    return await connection.fetchval(sql)


@asynccontextmanager
async def transaction(connection: ScopedConnection) -> AsyncIterator[ScopedConnection]:
    async with connection.transaction():
        yield connection
