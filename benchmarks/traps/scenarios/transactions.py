"""Rows of one unit of work are saved together or not at all, and the response says which."""

from contextlib import suppress
from typing import Any

from fastapi import HTTPException
from httpx import codes

from benchmarks.traps.stage import Broke, Stage

TRANSACTION = "SELECT pg_current_xact_id()::text"


async def one_transaction(stage: Stage) -> None:
    """Two functions at different depths of one request see one transaction."""

    async def work(db: Any, _: Any) -> list[str]:
        async with stage.pattern.transaction(db) as unit:
            here = await stage.pattern.value(unit, TRANSACTION)
            return [here, await stage.pattern.deeper(unit, TRANSACTION)]

    async with stage.serve(4):
        for here, deeper in await stage.ask_all(work, 3):
            if here != deeper:
                raise Broke("two transactions")


async def commit_before_response(stage: Stage) -> None:
    """The commit is over before the response: one that fails is not a 200."""

    async def work(db: Any, _: Any) -> str:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "INSERT INTO marks VALUES (1), (1)")  # refused at COMMIT
        return "saved"

    async with stage.serve(2):
        answer = await stage.ask(work)
        if answer.status_code == codes.OK:
            raise Broke(f"a 200, and {await stage.saved()} of 2 rows saved")


async def conflict_rolls_back(stage: Stage) -> None:
    """An error that becomes a 409 rolls back."""

    async def work(db: Any, _: Any) -> None:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "INSERT INTO marks VALUES (1)")
            raise HTTPException(codes.CONFLICT)

    async with stage.serve(2):
        answer = await stage.ask(work)
        if answer.status_code != codes.CONFLICT:
            raise stage.broke(f"a {answer.status_code}")
        if rows := await stage.saved():
            raise Broke(f"a 409, and {rows} row saved")


async def swallowed_error(stage: Stage) -> None:
    """A statement error that the code swallows is not reported as success."""

    async def work(db: Any, _: Any) -> str:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "INSERT INTO marks VALUES (1)")
            with suppress(Exception):
                await stage.pattern.value(unit, "SELECT 1 / 0")
        return "saved"

    async with stage.serve(2):
        answer = await stage.ask(work)
        rows = await stage.saved()
        if answer.status_code == codes.OK and not rows:
            raise Broke("a 200, and 0 of 1 rows saved")


async def survives_rollback(stage: Stage) -> None:
    """Nested work that must survive the outer rollback."""

    async def work(db: Any, _: Any) -> None:
        async with stage.pattern.transaction(db) as unit:
            await stage.pattern.value(unit, "INSERT INTO marks VALUES (1)")
            await stage.pattern.independent(db, "INSERT INTO marks VALUES (2) RETURNING n")
            raise HTTPException(codes.CONFLICT)

    async with stage.serve(2):
        answer = await stage.ask(work)
        if answer.status_code != codes.CONFLICT:
            raise stage.broke(f"a {answer.status_code}")
        if (rows := await stage.look("SELECT array_agg(n ORDER BY n) FROM marks")) != [2]:
            raise Broke(f"saved: {rows}, instead of [2]")
