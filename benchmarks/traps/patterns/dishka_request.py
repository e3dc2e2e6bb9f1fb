"""dishka, with a generator in the request's scope."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
from dishka import AsyncContainer, FromDishka, make_async_container
from dishka.integrations.fastapi import inject, setup_dishka
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket

from benchmarks.peers.dishka_request import Connection, Connections, lifespan
from benchmarks.traps.pattern import Work, run

TITLE = "dishka"
FORM = (
    "a generator in `Scope.REQUEST`, `FromDishka` on the endpoint, and `async with connection.transaction()` in it; "
    "each message of a websocket enters the scope for itself"
)
DEEPER = "its constructor"
PACKAGES = ("dishka",)
CANNOT: dict[str, str] = {}

container: AsyncContainer
router = APIRouter()


@router.get("/unit/{name}")
@inject
async def endpoint(name: str, tasks: BackgroundTasks, connection: FromDishka[Connection]) -> Any:
    return await run(name, connection, tasks)


@router.get("/thread/{name}")
@inject
def in_a_thread(name: str, connection: FromDishka[Connection]) -> Any:
    return anyio.from_thread.run(run, name, connection, None)


@router.websocket("/socket/{name}")
@inject
async def socket(name: str, websocket: WebSocket, session: FromDishka[AsyncContainer]) -> None:
    await run(name, session, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    global container
    container = make_async_container(Connections(dsn, size))
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    setup_dishka(container, app)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    container = make_async_container(Connections(dsn, size))
    try:
        async with container() as request:
            return await work(await request.get(Connection), None)
    finally:
        await container.close()


async def value(connection: Connection, sql: str) -> Any:
    return await connection.fetchval(sql)


deeper = value


@asynccontextmanager
async def transaction(db: Connection | AsyncContainer) -> AsyncIterator[Connection]:
    if isinstance(db, AsyncContainer):  # a websocket's session: each message enters a request scope
        async with db() as request, transaction(await request.get(Connection)) as connection:
            yield connection
    else:
        async with db.transaction():
            yield db


async def independent(_: Connection, sql: str) -> Any:
    async with container() as request:
        other = await request.get(Connection)
        async with other.transaction():
            return await other.fetchval(sql)
