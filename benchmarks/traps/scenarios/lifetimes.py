"""How long a connection is held, and work that lasts longer than its request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import BackgroundTasks
from fastapi.responses import StreamingResponse

from benchmarks.traps.stage import Broke, Stage, ended, route


async def sleeping_handler(stage: Stage) -> None:
    """A handler that sleeps holds no connection."""
    asleep: list[None] = []
    morning = asyncio.Event()

    async def sleeper(db: Any, _: Any) -> int:
        await stage.pattern.value(db, "SELECT 1")
        asleep.append(None)
        await morning.wait()
        number: int = await stage.pattern.value(db, "SELECT 2")
        return number

    async with stage.serve(2):
        sleepers = asyncio.create_task(ended(stage.ask_all(sleeper, 10)))
        await until(lambda: len(asleep) == 10 or sleepers.done(), 0.5)  # noqa: PLR2004 - all of them
        try:
            await stage.others_are_served(f"{len(asleep)} of 10 sleep")
        finally:
            morning.set()
            outcome = await sleepers
        if isinstance(outcome, Exception):
            raise outcome


async def stream_and_background(stage: Stage) -> None:
    """A streaming body and a background task use the database, and hold no connection while idle."""
    troubles = []
    for trap in (_stream, _background):
        try:
            async with stage.serve(1):
                await trap(stage)
        except Broke as broke:
            troubles.append(str(broke))
    if troubles:
        raise Broke("; ".join(troubles))


async def _stream(stage: Stage) -> None:
    idle, resume = asyncio.Event(), asyncio.Event()

    async def stream(db: Any, _: Any) -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield f"{await stage.pattern.value(db, 'SELECT 1')}\n"
            idle.set()
            await resume.wait()
            yield f"{await stage.pattern.value(db, 'SELECT 2')}\n"

        return StreamingResponse(lines())

    stage.seen.clear()
    answer = asyncio.create_task(ended(stage.client.get(route(stream))))
    await until(lambda: idle.is_set() or answer.done(), 1)
    try:
        if idle.is_set():
            await stage.others_are_served("a stream is idle")
    finally:
        resume.set()
        outcome = await stage.in_time(answer, "a stream has no end")
    if isinstance(outcome, Exception) or outcome.text != "1\n2\n":
        raise stage.broke("a stream breaks off")


async def _background(stage: Stage) -> None:
    idle, resume = asyncio.Event(), asyncio.Event()
    outcomes: list[Any] = []

    async def background(db: Any, tasks: BackgroundTasks) -> str:
        async def later() -> int:
            await stage.pattern.value(db, "SELECT 1")
            idle.set()
            await resume.wait()
            number: int = await stage.pattern.value(db, "SELECT 2")
            return number

        async def watched() -> None:
            outcomes.append(await ended(later()))

        tasks.add_task(watched)
        return "answered"

    await stage.ask_all(background, 1)
    await until(lambda: idle.is_set() or outcomes, 1)
    try:
        if idle.is_set():
            await stage.others_are_served("a background task is idle")
    finally:
        resume.set()
        await until(lambda: outcomes, 1)
    if outcomes != [2]:
        stage.seen[:] = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        raise stage.broke("a background task fails")


async def task_outlives_request(stage: Stage) -> None:
    """A task that outlives its request works or gets an error; the pool is complete afterwards."""
    answered = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def start(db: Any, _: Any) -> str:
        async def late() -> Any:
            await answered.wait()
            return await stage.pattern.value(db, "SELECT 1")

        async def midway() -> Any:
            return await stage.pattern.value(db, "SELECT 1 FROM pg_sleep(0.2)")

        tasks.extend(asyncio.create_task(ended(work())) for work in (late, midway))
        await asyncio.sleep(0.05)
        return "answered"

    async with stage.serve(1):
        await stage.ask_all(start, 1)
        await asyncio.sleep(0.3)  # until the request has cleaned up
        answered.set()
        if stage.seen:
            raise stage.broke("the request's end fails")
        await stage.in_time(asyncio.wait(tasks), "the task is stuck")
        await stage.others_are_served("the task has ended")


async def until(condition: Any, seconds: float) -> None:
    """Wait until the condition is true, or until the time is over."""
    for _ in range(round(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
