"""SQLAlchemy's asynchronous session, by a dependency that yields it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

sessions: async_sessionmaker[AsyncSession]


@asynccontextmanager
async def opened(dsn: str, size: int, **options: Any) -> AsyncIterator[None]:
    global sessions
    url = dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, pool_size=size, max_overflow=0, **options)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    try:
        yield
    finally:
        await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
