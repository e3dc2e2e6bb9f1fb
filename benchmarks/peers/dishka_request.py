"""dishka: a pool in the application's scope, and a connection from a generator in the request's scope."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from dishka import Provider, Scope, provide
from fastapi import FastAPI

Connection = asyncpg.pool.PoolConnectionProxy


class Connections(Provider):
    def __init__(self, dsn: str, size: int, min_size: int = 1) -> None:
        super().__init__()
        self._dsn = dsn
        self._size = size
        self._min_size = min_size

    @provide(scope=Scope.APP)
    async def pool(self) -> AsyncIterable[asyncpg.Pool]:
        async with asyncpg.create_pool(self._dsn, min_size=self._min_size, max_size=self._size) as pool:
            yield pool

    @provide(scope=Scope.REQUEST)
    async def connection(self, pool: asyncpg.Pool) -> AsyncIterable[Connection]:
        async with pool.acquire() as connection:
            yield connection


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.dishka_container.close()
