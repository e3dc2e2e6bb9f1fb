"""Measures how long 64 tasks wait for 8 connections, with the service's pool and with asyncpg's."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from time import perf_counter

import asyncpg
import uvloop

from service.database import Database, DatabaseOptions, ScopedConnection

TASKS = 64
CONNECTIONS = 8
READ = "SELECT id, name, email, city, amount, active, created_at FROM records WHERE id = 7"


def waits(dsn: str, rounds: int, seconds: float) -> dict[str, float]:
    """Return the 99th percentile of the wait in milliseconds, for `ours` and `asyncpg`: medians of the rounds."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_waits(dsn, rounds, seconds))


async def _waits(dsn: str, rounds: int, seconds: float) -> dict[str, float]:
    # asyncpg's pool has no time limit for a statement either, which would cost a timer for each
    options = DatabaseOptions(min_size=CONNECTIONS, max_size=CONNECTIONS, acquire_timeout=60, command_timeout=0)
    database = Database(options)
    connection = ScopedConnection(database)
    await database.open(dsn)
    seen: dict[str, list[float]] = {"ours": [], "asyncpg": []}
    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:

        async def ours() -> float:
            async with database.scope("wait") as scope:
                await connection.fetchrow(READ)
                return scope.wait_time

        async def asyncpgs_own() -> float:
            started = perf_counter()
            async with pool.acquire() as own:
                waited = perf_counter() - started
                await own.fetchrow(READ)
                return waited

        for _ in range(rounds):
            seen["ours"].append(await _ninety_ninth(ours, seconds))
            seen["asyncpg"].append(await _ninety_ninth(asyncpgs_own, seconds))
    await database.close()
    return {name: 1000 * median(values) for name, values in seen.items()}


async def _ninety_ninth(work: Callable[[], Awaitable[float]], seconds: float) -> float:
    end = perf_counter() + seconds
    waited: list[float] = []

    async def task() -> None:
        while perf_counter() < end:
            waited.append(await work())

    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(task())
    return quantiles(waited, n=100)[98]
