"""What the tests of the database package share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import asyncpg

from service.database import Database, DatabaseOptions, ScopedConnection
from tests.support.sql import fetchval

BACKEND = "SELECT pg_backend_pid()"
INSERT = "INSERT INTO numbers VALUES ($1)"
PATIENCE = 60.0
"""Seconds after which what a test waits for has not happened: far more than a busy machine takes."""


@asynccontextmanager
async def opened(dsn: str, **options: Any) -> AsyncIterator[tuple[Database, ScopedConnection]]:
    """An open database with these options, and its scoped connection."""
    database = Database(DatabaseOptions(**{"min_size": 0, "acquire_timeout": 30, **options}))
    await database.open(dsn)
    try:
        yield database, ScopedConnection(database)
    finally:
        await database.close()


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until the condition holds; fail after `seconds`."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)


def whole(database: Database) -> bool:
    """Whether every connection of the pool is back."""
    stats = database.stats()
    return stats.leased == 0 and stats.waiting == 0 and stats.idle == stats.size


def tuples(rows: Iterable[asyncpg.Record]) -> list[tuple[Any, ...]]:
    """Rows as plain tuples."""
    return [tuple(row) for row in rows]


async def hold(connection: ScopedConnection, entered: asyncio.Event, leave: asyncio.Event) -> None:
    """Keep a connection, in a transaction, until `leave` is set."""
    async with connection.transaction():
        entered.set()
        await leave.wait()


async def terminate(dsn: str, pid: int) -> None:
    """End a server process from another connection."""
    await fetchval(dsn, f"SELECT pg_terminate_backend({pid})")


async def create_numbers(database: Database, connection: ScopedConnection) -> None:
    """Create the table `numbers`, with a constraint that can be deferred."""
    async with database.scope("table"):
        await connection.execute(
            "CREATE TABLE numbers (n int CONSTRAINT numbers_n_key UNIQUE DEFERRABLE INITIALLY IMMEDIATE)"
        )


async def numbers(database: Database, connection: ScopedConnection) -> list[int]:
    """Return the committed rows of `numbers`, in order."""
    async with database.scope("read"):
        return [row["n"] for row in await connection.fetch("SELECT n FROM numbers ORDER BY n")]
