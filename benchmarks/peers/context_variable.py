"""One connection for each request in a ContextVar, set by a dependency."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import asyncpg

Connection = Any  # asyncpg's, in its pool's wrapper
pool: asyncpg.Pool
current: ContextVar[Connection] = ContextVar("current_connection")


@asynccontextmanager
async def opened(dsn: str, size: int, min_size: int = 1) -> AsyncIterator[None]:
    global pool
    async with asyncpg.create_pool(dsn, min_size=min_size, max_size=size) as pool:
        yield


async def open_connection() -> AsyncIterator[None]:
    async with pool.acquire() as connection:
        token = current.set(connection)
        try:
            yield
        finally:
            current.reset(token)
