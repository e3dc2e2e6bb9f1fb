"""Transactions with several tasks: turns, cancellation, and retries of units that collide."""

import asyncio
import random

import asyncpg
import pytest

from service.database import (
    Database,
    PoolTimeout,
    ScopedConnection,
    TransactionClosed,
)
from tests.database.helpers import INSERT, create_numbers, numbers, opened, until, whole


@pytest.fixture(autouse=True)
async def _table(database: Database, connection: ScopedConnection) -> None:
    await create_numbers(database, connection)


async def test_gathered_statements_outside_a_transaction_are_parallel(clone_dsn: str) -> None:
    """Each has another connection."""
    async with opened(clone_dsn, min_size=4, max_size=4) as (database, connection), database.scope("gather"):
        pids = await asyncio.gather(*(connection.fetchval("SELECT pg_backend_pid(), pg_sleep(0.1)") for _ in range(4)))
        assert len(set(pids)) == 4


async def test_gathered_statements_inside_a_transaction_take_turns(
    database: Database, connection: ScopedConnection
) -> None:
    """Never "another operation is in progress": one connection, one after the other, also in nested blocks."""

    async def nested(n: int) -> None:
        async with connection.transaction():
            await connection.execute(INSERT, n)
            await asyncio.sleep(0.001)

    async with database.scope("gather"), connection.transaction():
        await asyncio.gather(*(connection.execute(INSERT, n) for n in range(10)), *(nested(n) for n in range(10, 20)))
        assert database.stats().leased == 1
    assert await numbers(database, connection) == list(range(20))


async def test_a_sibling_does_not_slip_into_a_savepoint(database: Database, connection: ScopedConnection) -> None:
    """A statement of the outer transaction waits for an open savepoint, so that its rollback does not undo it."""
    inside, written = asyncio.Event(), asyncio.Event()

    async def sibling() -> None:
        await inside.wait()
        await connection.execute(INSERT, 2)
        written.set()

    async with database.scope("siblings"), connection.transaction():
        task = asyncio.create_task(sibling())
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute(INSERT, 1)
                inside.set()
                await asyncio.sleep(0.05)
                assert not written.is_set()
                raise ZeroDivisionError
        await task
    assert await numbers(database, connection) == [2]


async def test_a_block_that_waits_for_its_own_sibling_is_not_stuck_for_ever(clone_dsn: str) -> None:
    """The sibling's wait for its turn ends with `PoolTimeout`."""
    async with opened(clone_dsn, acquire_timeout=0.2) as (database, connection):
        async with database.scope("knot"), connection.transaction():
            inside = asyncio.Event()

            async def sibling() -> None:
                await inside.wait()
                await connection.fetchval("SELECT 1")

            task = asyncio.create_task(sibling())
            async with connection.transaction():
                inside.set()
                with pytest.raises(PoolTimeout, match="still open"):
                    await task
        assert whole(database)


async def test_a_failing_block_does_not_wait_for_its_siblings_block(
    database: Database, connection: ScopedConnection
) -> None:
    """When `gather` fails, the transaction is rolled back although another task's savepoint is open; that task gets an error."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def lingering() -> None:
        async with connection.transaction():
            await connection.execute(INSERT, 1)
            entered.set()
            await leave.wait()

    async def failing() -> None:
        await entered.wait()
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def waiting() -> None:
        await entered.wait()
        await connection.execute(INSERT, 2)

    async with database.scope("gather"):
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                tasks = [asyncio.create_task(lingering()), asyncio.create_task(waiting())]
                await asyncio.gather(*tasks, failing())
        assert database.stats().leased == 0
        leave.set()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, TransactionClosed)
    assert await numbers(database, connection) == []


async def test_a_savepoint_whose_making_is_cancelled_undoes_nothing_else(
    database: Database, connection: ScopedConnection
) -> None:
    """At whichever await the cancellation comes, the outer transaction commits the work outside the savepoint."""
    random.seed(11)
    for number in range(50):
        async with database.scope("cancelled savepoint"), connection.transaction():
            await connection.execute(INSERT, number)

            async def nested() -> None:
                async with connection.transaction():
                    await connection.execute(INSERT, 1000)
                    await asyncio.sleep(1)

            task = asyncio.create_task(nested())
            await asyncio.sleep(random.random() / 2000)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert await numbers(database, connection) == list(range(50))


async def test_serialization_failures_are_run_again_in_full(database: Database, connection: ScopedConnection) -> None:
    """Ten increments at once, each reading and writing: all succeed, and none is lost."""
    async with database.scope("counter"):
        await connection.execute("CREATE TABLE counter AS SELECT 0 AS n")
    runs = 0

    async def increment() -> int:
        nonlocal runs
        runs += 1
        n: int = await connection.fetchval("SELECT n FROM counter")
        await asyncio.sleep(0.001)
        await connection.execute("UPDATE counter SET n = $1", n + 1)
        return n + 1

    async def job() -> int:
        async with database.scope("increment"):
            return await connection.run_transaction(increment, isolation="serializable", attempts=50)

    assert sorted(await asyncio.gather(*(job() for _ in range(10)))) == list(range(1, 11))
    assert runs > 10


async def test_deadlocks_are_run_again(database: Database, connection: ScopedConnection) -> None:
    """Two units that lock two rows in opposite order both get through."""
    async with database.scope("rows"):
        await connection.execute("INSERT INTO numbers VALUES (1), (2); SET deadlock_timeout = '50ms'")
    first_locked = [asyncio.Event(), asyncio.Event()]

    async def job(index: int) -> None:
        async def work() -> None:
            await connection.execute("SELECT FROM numbers WHERE n = $1 FOR UPDATE", index + 1)
            first_locked[index].set()
            await first_locked[1 - index].wait()
            await connection.execute("SELECT FROM numbers WHERE n = $1 FOR UPDATE", 2 - index)

        async with database.scope(f"job {index}"):
            await connection.run_transaction(work)

    await asyncio.gather(job(0), job(1))


async def test_the_last_attempts_error_is_raised(database: Database, connection: ScopedConnection) -> None:
    """After `attempts` attempts the caller gets the serialization failure itself; other errors are not retried at all."""
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    async def other_error() -> None:
        nonlocal runs
        runs += 1
        raise ZeroDivisionError

    async with database.scope("hopeless"):
        with pytest.raises(asyncpg.SerializationError):
            await connection.run_transaction(work, attempts=3)
        assert runs == 3
        with pytest.raises(ZeroDivisionError):
            await connection.run_transaction(other_error)
        assert runs == 4
        with pytest.raises(ValueError, match="attempts"):
            await connection.run_transaction(work, attempts=0)


async def test_inside_a_transaction_only_the_outermost_is_run_again(
    database: Database, connection: ScopedConnection
) -> None:
    """A nested `run_transaction` runs once, as a savepoint; the failure goes to the unit that can be repeated."""
    runs: list[str] = []

    async def inner() -> None:
        runs.append("inner")
        if len(runs) < 4:
            await connection.execute("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    async def outer() -> None:
        runs.append("outer")
        await connection.run_transaction(inner)

    async with database.scope("nested"):
        await connection.run_transaction(outer)
    assert runs == ["outer", "inner", "outer", "inner"]


async def test_a_thousand_cancellations_leak_nothing(clone_dsn: str) -> None:
    """Cancelled at random awaits, in statements, transactions, savepoints and sessions, the pool is whole again."""
    random.seed(7)
    async with opened(clone_dsn, min_size=2, max_size=4) as (database, connection):

        async def work() -> None:
            async with database.scope("victim"):
                await connection.fetchval("SELECT 1")
                async with connection.transaction():
                    await connection.execute(INSERT, random.randint(1, 10**9))
                    async with connection.transaction():
                        await connection.fetch("SELECT generate_series(1, 50)")
                    async with connection.session() as raw:
                        await raw.execute("SET work_mem = '1MB'")
                    await connection.fetchval("SELECT pg_sleep(0.001)")

        for _ in range(100):
            victims = [asyncio.create_task(work()) for _ in range(10)]
            for victim in victims:
                await asyncio.sleep(random.random() / 500)
                victim.cancel()
            for outcome in await asyncio.gather(*victims, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        await until(lambda: whole(database))
        assert 1 <= database.stats().size <= 4
        async with database.scope("after"):
            assert await connection.fetchval("SHOW work_mem") == "4MB"
            open_transactions = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            assert await connection.fetchval(open_transactions) == 0
