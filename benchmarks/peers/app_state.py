"""A `Database` class on `app.state`, opened in the lifespan."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import asyncpg
from fastapi import FastAPI


class Database:
    def __init__(self, dsn: str, size: int, min_size: int = 1) -> None:
        self._dsn = dsn
        self._size = size
        self._min_size = min_size
        self._pool: asyncpg.Pool

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(self._dsn, min_size=self._min_size, max_size=self._size)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        async with self._pool.acquire() as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        async with self._pool.acquire() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        async with self._pool.acquire() as connection:
            return await connection.fetchval(sql, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection


def lifespan_of(database: Database) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database as app.state.database:
            yield

    return lifespan
