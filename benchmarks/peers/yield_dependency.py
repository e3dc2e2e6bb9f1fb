"""One connection for each request, by a dependency that yields it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

Connection = Any  # asyncpg's, in its pool's wrapper
pool: asyncpg.Pool


@asynccontextmanager
async def opened(dsn: str, size: int, min_size: int = 1) -> AsyncIterator[None]:
    global pool
    async with asyncpg.create_pool(dsn, min_size=min_size, max_size=size) as pool:
        yield


async def get_connection() -> AsyncIterator[Connection]:
    async with pool.acquire() as connection:
        yield connection
