"""A `Database` class in `app.state`, opened in the lifespan."""

from typing import Any

import anyio.from_thread
from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, WebSocket

from benchmarks.peers.app_state import Database, lifespan_of
from benchmarks.traps.pattern import Work, run

TITLE = "`app.state` and a class"
FORM = "`request.app.state.database`, opened in the lifespan; its `transaction()` yields a connection"
DEEPER = "an argument"
PACKAGES = ()
CANNOT: dict[str, str] = {}

router = APIRouter()


@router.get("/unit/{name}")
async def endpoint(name: str, request: Request, tasks: BackgroundTasks) -> Any:
    return await run(name, request.app.state.database, tasks)


@router.get("/thread/{name}")
def in_a_thread(name: str, request: Request) -> Any:
    return anyio.from_thread.run(run, name, request.app.state.database, None)


@router.websocket("/socket/{name}")
async def socket(name: str, websocket: WebSocket) -> None:
    await run(name, websocket.app.state.database, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    app = FastAPI(lifespan=lifespan_of(Database(dsn, size)))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with Database(dsn, size) as database:
        return await work(database, None)


async def value(database: Any, sql: str) -> Any:
    return await database.fetchval(sql)


async def deeper(connection: Any, sql: str) -> Any:
    return await connection.fetchval(sql)


def transaction(database: Database) -> Any:
    return database.transaction()


async def independent(database: Database, sql: str) -> Any:
    async with database.transaction() as connection:
        return await connection.fetchval(sql)
