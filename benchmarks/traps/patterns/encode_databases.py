"""The package `databases`: a global `Database` keeps one connection for each task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
from databases import Database
from fastapi import APIRouter, BackgroundTasks, FastAPI, WebSocket

from benchmarks.traps.pattern import Work, run

TITLE = "databases"
FORM = "a global `Database`, connected in the lifespan, and `async with database.transaction()`"
DEEPER = "the global"
PACKAGES = ("databases",)
CANNOT: dict[str, str] = {}

database: Database
router = APIRouter()


@router.get("/unit/{name}")
async def endpoint(name: str, tasks: BackgroundTasks) -> Any:
    return await run(name, database, tasks)


@router.get("/thread/{name}")
def in_a_thread(name: str) -> Any:
    return anyio.from_thread.run(run, name, database, None)


@router.websocket("/socket/{name}")
async def socket(name: str, websocket: WebSocket) -> None:
    await run(name, database, websocket)


@asynccontextmanager
async def opened(dsn: str, size: int) -> AsyncIterator[None]:
    global database
    async with Database(dsn, min_size=1, max_size=size) as database:
        yield


def create_app(dsn: str, size: int) -> FastAPI:
    app = FastAPI(lifespan=lambda _: opened(dsn, size))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with opened(dsn, size):
        return await work(database, None)


async def value(_: Database, sql: str) -> Any:
    return await database.fetch_val(sql)


deeper = value


@asynccontextmanager
async def transaction(_: Database) -> AsyncIterator[Database]:
    async with database.transaction():
        yield database


async def independent(_: Database, sql: str) -> Any:
    async def work() -> Any:
        async with database.transaction():
            return await database.fetch_val(sql)

    return await asyncio.create_task(work())  # another task has another connection
