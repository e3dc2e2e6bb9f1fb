"""One connection for each request, by a dependency that yields it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket

from benchmarks.peers.yield_dependency import Connection, get_connection, opened
from benchmarks.traps.pattern import Work, run

TITLE = "yield dependency"
FORM = "`connection=Depends(get_connection)`, and `async with connection.transaction()` in the endpoint"
DEEPER = "an argument"
PACKAGES = ()
CANNOT: dict[str, str] = {}

router = APIRouter()


@router.get("/unit/{name}")
async def endpoint(name: str, tasks: BackgroundTasks, connection: Connection = Depends(get_connection)) -> Any:
    return await run(name, connection, tasks)


@router.get("/thread/{name}")
def in_a_thread(name: str, connection: Connection = Depends(get_connection)) -> Any:
    return anyio.from_thread.run(run, name, connection, None)


@router.websocket("/socket/{name}")
async def socket(name: str, websocket: WebSocket, connection: Connection = Depends(get_connection)) -> None:
    await run(name, connection, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    app = FastAPI(lifespan=lambda _: opened(dsn, size))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with opened(dsn, size), asynccontextmanager(get_connection)() as connection:
        return await work(connection, None)


async def value(connection: Connection, sql: str) -> Any:
    return await connection.fetchval(sql)


deeper = value


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[Connection]:
    async with connection.transaction():
        yield connection


async def independent(_: Connection, sql: str) -> Any:
    async with asynccontextmanager(get_connection)() as other, other.transaction():
        return await other.fetchval(sql)
