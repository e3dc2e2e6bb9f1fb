"""A global pool that the first request opens, and `Depends(get_pool)` on every endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI

settings: dict[str, Any] = {}
pool: asyncpg.Pool | None = None


async def get_pool() -> asyncpg.Pool:
    global pool
    if pool is None:
        pool = await asyncpg.create_pool(**settings)
    return pool


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    if pool is not None:
        await pool.close()


def configure(dsn: str, size: int, min_size: int = 1) -> None:
    global pool
    pool = None
    settings.update(dsn=dsn, min_size=min_size, max_size=size)
