"""dependency-injector's `Resource` with `Closing`, for a connection in each request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
import asyncpg
from dependency_injector import containers, providers
from dependency_injector.wiring import Closing, Provide, inject
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket

from benchmarks.traps.pattern import Work, run

TITLE = "dependency-injector `Resource` + `Closing`"
FORM = (
    "`connection=Depends(Closing[Provide[...]])`; deeper functions `@inject` it; "
    "the pool is a `Singleton`, which `Closing` leaves open"
)
DEEPER = "`@inject`"
PACKAGES = ("dependency-injector",)
CANNOT = {"survives_rollback": "the connection is one object of the container: there is no second one to ask for"}

Connection = Any  # asyncpg's, in its pool's wrapper
router = APIRouter()


async def open_connection(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as connection:
        yield connection


class Container(containers.DeclarativeContainer):
    config = providers.Configuration()
    pool = providers.Singleton(asyncpg.create_pool, config.dsn, min_size=1, max_size=config.size)
    connection = providers.Resource(open_connection, pool)


@router.get("/unit/{name}")
@inject
async def endpoint(
    name: str, tasks: BackgroundTasks, connection: Connection = Depends(Closing[Provide["connection"]])
) -> Any:
    return await run(name, connection, tasks)


@router.get("/thread/{name}")
@inject
def in_a_thread(name: str, connection: Connection = Depends(Closing[Provide["connection"]])) -> Any:
    return anyio.from_thread.run(run, name, connection, None)


@router.websocket("/socket/{name}")
@inject
async def socket(
    name: str, websocket: WebSocket, connection: Connection = Depends(Closing[Provide["connection"]])
) -> None:
    await run(name, connection, websocket)


@inject
async def in_a_script(work: Work, connection: Connection = Closing[Provide["connection"]]) -> Any:
    return await work(connection, None)


@inject
async def deeper(_: Connection, sql: str, connection: Connection = Provide["connection"]) -> Any:
    return await connection.fetchval(sql)


@asynccontextmanager
async def opened(dsn: str, size: int, kind: type[Container] = Container) -> AsyncIterator[None]:
    container = kind(config={"dsn": dsn, "size": size})
    container.wire(modules=[__name__])
    pool = await container.pool()
    try:
        yield
    finally:
        await pool.close()
        container.unwire()


def create_app(dsn: str, size: int, kind: type[Container] = Container) -> FastAPI:
    app = FastAPI(lifespan=lambda _: opened(dsn, size, kind))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work, kind: type[Container] = Container) -> Any:
    async with opened(dsn, size, kind):
        return await in_a_script(work)


async def value(connection: Connection, sql: str) -> Any:
    return await connection.fetchval(sql)


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[Connection]:
    async with connection.transaction():
        yield connection


async def independent(_: Connection, sql: str) -> Any:
    raise NotImplementedError(CANNOT["survives_rollback"])
