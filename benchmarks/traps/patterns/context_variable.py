"""One connection for each request in a ContextVar, set by a dependency in the route's decorator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket

from benchmarks.peers.context_variable import current, open_connection, opened
from benchmarks.traps.pattern import Work, run

TITLE = "ContextVar by decorator"
FORM = "`@router.get(..., dependencies=[Depends(open_connection)])`; every function reads the variable"
DEEPER = "the variable"
PACKAGES = ()
CANNOT: dict[str, str] = {}

router = APIRouter()


@router.get("/unit/{name}", dependencies=[Depends(open_connection)])
async def endpoint(name: str, tasks: BackgroundTasks) -> Any:
    return await run(name, None, tasks)


@router.get("/thread/{name}", dependencies=[Depends(open_connection)])
def in_a_thread(name: str) -> Any:
    return anyio.from_thread.run(run, name, None, None)


@router.websocket("/socket/{name}", dependencies=[Depends(open_connection)])
async def socket(name: str, websocket: WebSocket) -> None:
    await run(name, None, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    app = FastAPI(lifespan=lambda _: opened(dsn, size))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with opened(dsn, size), asynccontextmanager(open_connection)():
        return await work(None, None)


async def value(_: None, sql: str) -> Any:
    return await current.get().fetchval(sql)


deeper = value


@asynccontextmanager
async def transaction(_: None) -> AsyncIterator[None]:
    async with current.get().transaction():
        yield


async def independent(_: None, sql: str) -> Any:
    async with asynccontextmanager(open_connection)(), current.get().transaction():
        return await current.get().fetchval(sql)
