"""SQLAlchemy's asynchronous session, by a dependency that yields it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio.from_thread
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.peers import sqlalchemy_session as peer
from benchmarks.peers.sqlalchemy_session import get_session, opened
from benchmarks.traps.pattern import Work, run

TITLE = "SQLAlchemy session"
FORM = "`session=Depends(get_session)`, and `async with session.begin()` around each unit of work"
DEEPER = "an argument"
PACKAGES = ("sqlalchemy",)
CANNOT: dict[str, str] = {}

router = APIRouter()


@router.get("/unit/{name}")
async def endpoint(name: str, tasks: BackgroundTasks, session: AsyncSession = Depends(get_session)) -> Any:
    return await run(name, session, tasks)


@router.get("/thread/{name}")
def in_a_thread(name: str, session: AsyncSession = Depends(get_session)) -> Any:
    return anyio.from_thread.run(run, name, session, None)


@router.websocket("/socket/{name}")
async def socket(name: str, websocket: WebSocket, session: AsyncSession = Depends(get_session)) -> None:
    await run(name, session, websocket)


def create_app(dsn: str, size: int) -> FastAPI:
    app = FastAPI(lifespan=lambda _: opened(dsn, size))
    app.include_router(router)
    return app


async def script(dsn: str, size: int, work: Work) -> Any:
    async with opened(dsn, size), peer.sessions() as session:
        return await work(session, None)


async def value(session: AsyncSession, sql: str) -> Any:
    if session.in_transaction():
        return await deeper(session, sql)
    async with session.begin():
        return await deeper(session, sql)


async def deeper(session: AsyncSession, sql: str) -> Any:
    result = cast("CursorResult[Any]", await session.execute(text(sql)))
    return result.scalar() if result.returns_rows else None


@asynccontextmanager
async def transaction(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    async with session.begin():
        yield session


async def independent(_: AsyncSession, sql: str) -> Any:
    async with peer.sessions.begin() as session:
        return await session.scalar(text(sql))
