"""Tasks that use a block after its connection may have gone to another scope, and the waits between tasks."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database import Database, PoolTimeout, ScopedConnection, TransactionClosed
from tests.database.helpers import opened, until, whole


@pytest.mark.parametrize("queued", [1, 3, 5, 12])
async def test_a_late_commit_does_not_reach_the_next_user(clone_dsn: str, queued: int) -> None:
    """A child's block inside a session that has ended sends nothing into the later work on the connection."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("table"):
            await connection.execute("CREATE TABLE t (n int)")
        inside = asyncio.Event()

        async def child() -> None:
            async with connection.transaction():
                slow = [asyncio.create_task(connection.fetchval("SELECT pg_sleep(0.02)")) for _ in range(queued)]
                await asyncio.sleep(0)
                inside.set()
            await asyncio.gather(*slow, return_exceptions=True)

        async with database.scope("first"):
            async with connection.session():
                task = asyncio.create_task(child())
                await inside.wait()
            await _fail_after_writing(database, connection)
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(outcome, TransactionClosed)
        async with database.scope("after"):
            assert await connection.fetchval("SELECT count(*) FROM t") == 0
        await until(lambda: whole(database))


async def _fail_after_writing(database: Database, connection: ScopedConnection) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.scope("next user"), connection.transaction():
            for number in range(8):
                await connection.execute("INSERT INTO t VALUES ($1)", number)
                await asyncio.sleep(0.01)
            raise ZeroDivisionError


async def test_a_late_rollback_does_not_disturb_the_next_user(clone_dsn: str) -> None:
    """A savepoint is not released after its outer transaction has ended, on a connection that is busy for another scope."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        tasks: list[asyncio.Task[None]] = []

        async def inner() -> None:
            async with connection.transaction():
                tasks.append(asyncio.create_task(connection.fetchval("SELECT pg_sleep(0.2)")))
                await asyncio.sleep(0.05)

        async def outer() -> None:
            async with database.scope("outer"), connection.transaction():
                tasks.append(asyncio.create_task(inner()))
                await asyncio.sleep(0.1)
                raise ZeroDivisionError

        failing = asyncio.create_task(outer())
        await asyncio.sleep(0.15)
        async with database.scope("next user"):
            for _ in range(5):
                await connection.fetchval("SELECT pg_sleep(0.1)")
        await asyncio.gather(failing, *tasks, return_exceptions=True)
        await until(lambda: whole(database))


async def test_a_commit_does_not_wait_for_ever_for_a_childs_block(clone_dsn: str) -> None:
    """A child that waits for what its parent does afterwards costs the transaction, and not the connection."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=0.2) as (database, connection), database.scope("knot"):
        entered, leave = asyncio.Event(), asyncio.Event()

        async def child() -> None:
            async with connection.transaction():
                entered.set()
                await leave.wait()

        with pytest.raises(PoolTimeout, match="still open"):
            async with asyncio.timeout(60), connection.transaction():
                task = asyncio.create_task(child())
                await entered.wait()
        leave.set()
        with pytest.raises(TransactionClosed):
            await task
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_block_that_was_queued_first_is_not_waited_for_for_ever(clone_dsn: str) -> None:
    """The limit holds also for who came when the block was only in line."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=1) as (database, connection), database.scope("knot"):

        async def block() -> None:
            async with connection.transaction():
                await late

        async with asyncio.timeout(60), connection.transaction():
            busy = asyncio.create_task(connection.fetchval("SELECT pg_sleep(0.1)"))
            await asyncio.sleep(0.01)
            late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            blocking = asyncio.create_task(block())
            await asyncio.sleep(0.01)
            with pytest.raises(PoolTimeout):
                await connection.fetchval("SELECT 1")
            late.set_result(None)
            await asyncio.gather(busy, blocking)
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_long_queue_of_statements_is_no_reason_to_give_up(clone_dsn: str) -> None:
    """Tasks that wait for statements, and not for a block, wait without a limit."""
    async with opened(clone_dsn, acquire_timeout=0.1) as (database, connection), database.scope("queue"):
        async with connection.transaction():
            await asyncio.gather(*(connection.fetchval("SELECT pg_sleep(0.02)") for _ in range(20)))


async def test_a_transaction_inside_the_raw_connections_own_is_a_savepoint(clone_dsn: str) -> None:
    """It does not commit a transaction that was begun by hand."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("by hand"):
        await connection.execute("CREATE TABLE t (n int)")
        with pytest.raises(ZeroDivisionError):
            async with connection.session() as raw, raw.transaction():
                await raw.execute("INSERT INTO t VALUES (1)")
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (2)")
                with pytest.raises(asyncpg.InterfaceError, match="savepoint"):
                    async with connection.transaction(isolation="serializable"):
                        pass
                with pytest.raises(FileNotFoundError):
                    async with connection.transaction():
                        raise FileNotFoundError
                assert await raw.fetchval("SELECT count(*) FROM t") == 2
                raise ZeroDivisionError
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_a_generator_that_is_given_up_does_not_spoil_the_rest(clone_dsn: str) -> None:
    """After `break` out of a generator with a transaction inside, the same task's statements work."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("stream"):

        async def rows() -> AsyncIterator[int]:
            async with connection.transaction():
                async for row in connection.cursor("SELECT generate_series(1, 10) AS n"):
                    yield row["n"]

        async def in_own_scope() -> AsyncIterator[int]:
            async with database.scope("inner"):
                yield 1

        for generator in (rows, in_own_scope):
            async for _ in generator():
                break
            await asyncio.sleep(0.05)
            for _ in range(3):
                assert await connection.fetchval("SELECT 1") == 1
    await until(lambda: whole(database))


async def test_an_outer_cursor_goes_on_inside_a_savepoint(database: Database, connection: ScopedConnection) -> None:
    """As with asyncpg: the rows are those of the outer transaction."""
    async with database.scope("cursor"), connection.transaction():
        cursor = await connection.cursor("SELECT generate_series(1, 10) AS n")
        async with connection.transaction():
            assert [row["n"] for row in await cursor.fetch(2)] == [1, 2]
        assert [row["n"] for row in await cursor.fetch(2)] == [3, 4]


async def test_blocks_made_beforehand_nest_when_they_are_entered(clone_dsn: str) -> None:
    """Two transactions made side by side and entered one inside the other share the connection."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("beforehand"):
        first, second = connection.transaction(), connection.transaction()
        async with first, second:
            assert database.stats().leased == 1
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_failure_in_a_task_group_is_run_again(database: Database, connection: ScopedConnection) -> None:
    """A group in which nothing but serialization failures happened counts as one; any other error does not."""
    runs = 0

    async def failing(error: str) -> None:
        await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{error}'; END $$")

    async def work() -> None:
        nonlocal runs
        runs += 1
        async with asyncio.TaskGroup() as group:
            if runs < 3:
                group.create_task(failing("40001"))

    async def other() -> None:
        nonlocal runs
        runs += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(failing("22012"))

    async with database.scope("group"):
        await connection.run_transaction(work)
        assert runs == 3
        with pytest.raises(ExceptionGroup):
            await connection.run_transaction(other)
        assert runs == 4


async def test_a_dead_connection_in_a_refused_block_does_not_keep_the_turn(clone_dsn: str) -> None:
    """A nested block with other modes on a lost connection leaves the outer one able to end."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("dead"):
        with pytest.raises(Exception, match=r"nothing was saved|connection"):
            async with asyncio.timeout(60), connection.transaction():
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                killer = await asyncpg.connect(clone_dsn)
                await killer.execute("SELECT pg_terminate_backend($1)", pid)
                await killer.close()
                await asyncio.sleep(0.1)
                with pytest.raises(asyncpg.InterfaceError):
                    async with connection.transaction(isolation="serializable"):
                        pass
        assert await connection.fetchval("SELECT 1") == 1


async def test_opening_twice_at_once_is_refused(clone_dsn: str) -> None:
    """The second `open` raises, and nothing is left open by it."""
    database = Database()
    outcomes = await asyncio.gather(database.open(clone_dsn), database.open(clone_dsn), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), RuntimeError]
    await database.close()
    assert database.stats().size == 0
