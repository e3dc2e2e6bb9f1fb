"""Concurrent requests, and the connections that they get."""

import asyncio
import random
from typing import Any

from fastapi import HTTPException
from httpx import ASGITransport, AsyncClient, codes

from benchmarks.traps.stage import Broke, Stage, ended, route

BACKEND = "SELECT pg_backend_pid()"
OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


async def own_connections(stage: Stage) -> None:
    """Ten concurrent requests each get their own connection."""
    all_meet = asyncio.Barrier(10)

    async def work(db: Any, _: Any) -> list[int]:
        async with stage.pattern.transaction(db) as unit:
            before = await stage.pattern.value(unit, BACKEND)
            await all_meet.wait()
            return [before, await stage.pattern.value(unit, BACKEND)]

    async with stage.serve(10):
        answers = await stage.ask_all(work, 10)
        if (count := len({backend for answer in answers for backend in answer})) != len(answers):
            raise Broke(f"{count} connections for 10 requests")


async def no_deadlock(stage: Stage) -> None:
    """A pool of 1, twenty requests that each touch the database twice: no deadlock."""

    async def work(db: Any, _: Any) -> int:
        await stage.pattern.value(db, "SELECT 1")
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "SELECT 1")
            number: int = await stage.pattern.deeper(unit, "SELECT 2")
            return number

    async with stage.serve(1):
        await stage.ask_all(work, 20)


async def gather(stage: Stage) -> None:
    """`gather` inside a request, outside a transaction and inside one."""

    async def outside(db: Any, _: Any) -> list[int]:
        selects = (f"SELECT {n} FROM pg_sleep(0.01)" for n in range(5))
        return list(await asyncio.gather(*(stage.pattern.value(db, select) for select in selects)))

    async def inside(db: Any, _: Any) -> None:
        async with stage.pattern.transaction(db) as unit:
            inserts = (f"INSERT INTO marks SELECT {n} FROM pg_sleep(0.01)" for n in range(3))
            await asyncio.gather(*(stage.pattern.deeper(unit, insert) for insert in inserts))
            raise HTTPException(codes.CONFLICT)

    async with stage.serve(5):
        await stage.ask_all(outside, 1)
        answer = await stage.ask(inside)
        if answer.status_code != codes.CONFLICT:
            raise stage.broke(f"outside a transaction it works, inside one it is a {answer.status_code}")
        if rows := await stage.saved():
            raise Broke(f"outside a transaction it works, inside one {rows} of 3 rows survive the rollback")


async def cancellation(stage: Stage) -> None:
    """Cancelled at a random await, a thousand times: the pool is complete afterwards."""
    size, clients, times = 5, 20, 1000
    seed = random.Random(1)  # noqa: S311 - moments, not secrets
    all_meet = asyncio.Barrier(size)
    cancelled = met = 0

    async def pair(db: Any, _: Any) -> None:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "INSERT INTO pairs VALUES (1)")
            await stage.pattern.deeper(unit, "INSERT INTO pairs VALUES (2)")

    async def impatient(client: AsyncClient) -> None:
        nonlocal cancelled
        while cancelled < times and not stage.seen:
            request = asyncio.create_task(client.get(route(pair)))
            await asyncio.sleep(seed.uniform(0, 0.03))
            cancelled += request.cancel()
            await asyncio.wait([request])

    async def meet(db: Any, _: Any) -> None:
        nonlocal met
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "SELECT 1")
            met += 1
            await all_meet.wait()

    async with stage.serve(size):
        transport = ASGITransport(stage.app, raise_app_exceptions=False)  # over a socket, endpoints are not cancelled
        async with AsyncClient(transport=transport, base_url=stage.url) as client:
            await asyncio.gather(*(impatient(client) for _ in range(clients)))
        if stage.seen:
            raise stage.broke(f"after {cancelled} cancellations")
        try:
            await stage.ask_all(meet, size)
        except Broke as broke:
            raise Broke(f"after it, {met} of {size} connections can be had: {broke}") from None
        if await stage.look("SELECT count(*) % 2 FROM pairs"):
            raise Broke("half a transaction was saved")


async def clean_sessions(stage: Stage) -> None:
    """`SET`, `LISTEN` and an advisory lock do not reach the next user."""

    async def change(db: Any, _: Any) -> None:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "SET statement_timeout = '77s'")
            await stage.pattern.value(unit, "LISTEN news")
            await stage.pattern.value(unit, "SELECT pg_advisory_lock(7)")

    async def next_user(db: Any, _: Any) -> dict[str, bool]:
        async with stage.pattern.transaction(db) as unit:
            return {
                "SET": await stage.pattern.value(unit, "SELECT current_setting('statement_timeout') = '77s'"),
                "LISTEN": await stage.pattern.value(unit, "SELECT EXISTS (SELECT pg_listening_channels())"),
                "the lock": await stage.pattern.value(unit, HAS_LOCK),
            }

    async with stage.serve(1):
        await stage.ask_all(change, 1)
        found = (await stage.ask_all(next_user, 1))[0]
        if any(found.values()):
            raise Broke(f"the next request has {', '.join(what for what, there in found.items() if there)}")


HAS_LOCK = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"


async def first_use(stage: Stage) -> None:
    """First use by fifty requests at once opens one pool."""

    async def work(db: Any, _: Any) -> int:
        number: int = await stage.pattern.value(db, "SELECT 1 FROM pg_sleep(0.01)")
        return number

    async with stage.serve(2):
        asking = asyncio.create_task(ended(stage.ask_all(work, 50)))
        most = 0
        while not asking.done():
            most = max(most, await stage.look(OTHERS))
            await asyncio.sleep(0.02)
        most = max(most, await stage.look(OTHERS))
        if most > 2:  # noqa: PLR2004 - the size above
            raise Broke(f"{most} connections for a pool of 2")
        if isinstance(outcome := asking.result(), Exception):
            raise outcome
