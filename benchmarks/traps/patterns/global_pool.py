"""A global pool that the first request opens, and `Depends(get_pool)` on every endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
import asyncpg
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket

from benchmarks.peers.global_pool import configure, get_pool, lifespan
from benchmarks.traps.pattern import Work, run

TITLE = "global pool"
FORM = "`pool=Depends(get_pool)`, opened at first use; a connection is acquired where it is needed"
DEEPER = "an argument"
PACKAGES = ()
CANNOT: dict[str, str] = {}

Pool = asyncpg.Pool
router = APIRouter()


@router.get("/unit/{name}")
async def endpoint(name: str, tasks: BackgroundTasks, pool: Pool = Depends(get_pool)) -> Any:
    return await run(name, pool, tasks)


@router.get("/thread/{name}")
def in_a_thread(name: str, pool: Pool = Depends(get_pool)) -> Any:
    return anyio.from_thread.run(run, name, pool, None)


@router.websocket("/socket/{name}")
async def socket(name: str, websocket: WebSocket, pool: Pool = Depends(get_pool)) -> None:
    await run(name, pool, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    configure(dsn, size)
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=size) as pool:
        return await work(pool, None)


async def value(pool: Any, sql: str) -> Any:
    return await pool.fetchval(sql)


async def deeper(connection: Any, sql: str) -> Any:
    return await connection.fetchval(sql)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Any]:
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def independent(_: Any, sql: str) -> Any:
    async with transaction(await get_pool()) as connection:
        return await connection.fetchval(sql)
