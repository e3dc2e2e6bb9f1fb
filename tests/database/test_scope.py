"""Scopes: which code sees them, what they hold, and which error a task gets that outlives one."""

import asyncio

import anyio.from_thread
import anyio.to_thread
import pytest

from service.database import Database, ScopeClosed, ScopedConnection, TransactionClosed
from tests.database.helpers import opened, until, whole


async def test_opening_a_scope_takes_no_connection(clone_dsn: str) -> None:
    """A thousand open scopes on a pool of one hold no connection."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=30) as (database, connection):

        async def idle(number: int) -> object:
            async with database.scope(f"idle {number}"):
                await asyncio.sleep(0.1)
                assert database.stats().leased <= 1
                return await connection.fetchval("SELECT $1::int", number)

        assert await asyncio.gather(*(idle(number) for number in range(1000))) == list(range(1000))
        assert whole(database)


async def test_a_function_at_any_depth_sees_the_scope(database: Database, connection: ScopedConnection) -> None:
    """Without passing anything on, the innermost function finds the scope, in child tasks too."""

    async def deep(levels: int) -> object:
        return await connection.fetchval("SELECT 1") if levels == 0 else await deep(levels - 1)

    async with database.scope("depth") as scope:
        assert await deep(5) == 1
        assert await asyncio.create_task(deep(5)) == 1
        assert scope.statements == 2


async def test_a_worker_thread_sees_the_scope(database: Database, connection: ScopedConnection) -> None:
    """Code in a thread reaches the pool's loop and finds its scope there, as `def` endpoints need."""

    def in_thread() -> object:
        return anyio.from_thread.run(connection.fetchval, "SELECT 1")

    async with database.scope("thread") as scope:
        assert await anyio.to_thread.run_sync(in_thread) == 1
    assert scope.statements == 1


async def test_concurrent_scopes_have_connections_of_their_own(
    database: Database, connection: ScopedConnection
) -> None:
    """Each of several transactions at once sees its own writes only."""

    async def work(number: int) -> list[int]:
        async with database.scope(f"work {number}"), connection.transaction():
            await connection.execute("CREATE TEMP TABLE mine (n int) ON COMMIT DROP")
            await connection.execute("INSERT INTO mine VALUES ($1)", number)
            await asyncio.sleep(0.01)
            return [row["n"] for row in await connection.fetch("SELECT n FROM mine")]

    assert await asyncio.gather(*(work(number) for number in range(12))) == [[number] for number in range(12)]


async def test_a_nested_scope_survives_the_outer_rollback(database: Database, connection: ScopedConnection) -> None:
    """Work in a separate scope is kept when the transaction around it is undone."""
    with pytest.raises(ZeroDivisionError):
        async with database.scope("outer"), connection.transaction():
            await connection.execute("CREATE TABLE undone ()")
            async with database.scope("audit"):
                await connection.execute("CREATE TABLE kept ()")
            raise ZeroDivisionError
    async with database.scope("after"):
        assert await connection.fetchval("SELECT to_regclass('kept') IS NOT NULL")
        assert await connection.fetchval("SELECT to_regclass('undone') IS NULL")


async def test_twenty_scopes_that_use_the_database_twice_on_a_pool_of_one(clone_dsn: str) -> None:
    """No hold-and-wait: a statement, a transaction and nested calls in each scope, and no deadlock."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=5) as (database, connection):

        async def work() -> None:
            async with database.scope("twice"):
                await connection.fetchval("SELECT 1")
                async with connection.transaction():
                    await connection.fetchval("SELECT 2")
                    async with connection.session() as raw:
                        await raw.fetchval("SELECT 3")
                        await connection.fetchval("SELECT 4")

        await asyncio.gather(*(work() for _ in range(20)))
        await until(lambda: whole(database))


async def test_a_task_that_outlives_its_scope_is_told(database: Database, connection: ScopedConnection) -> None:
    """It gets `ScopeClosed`, with the scope's name and what to do instead."""
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        await connection.fetchval("SELECT 1")

    async with database.scope("request 7"):
        task = asyncio.create_task(late())
    ended.set()
    with pytest.raises(ScopeClosed, match="'request 7' has ended"):
        await task


async def test_a_task_that_waits_for_a_connection_when_its_scope_ends_is_told(clone_dsn: str) -> None:
    """The connection that comes too late goes back to the pool."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("holder"), connection.transaction():
            async with database.scope("short"):
                task = asyncio.create_task(connection.fetchval("SELECT 1"))
                await until(lambda: database.stats().waiting == 1)
        with pytest.raises(ScopeClosed):
            await task
        await until(lambda: whole(database))


async def test_a_transaction_that_outlives_its_scope_is_rolled_back(
    database: Database, connection: ScopedConnection
) -> None:
    """A child task's block that ends after its scope raises `ScopeClosed`, saves nothing, and returns the connection."""
    entered, ended = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with connection.transaction():
            await connection.execute("CREATE TABLE too_late ()")
            entered.set()
            await ended.wait()

    async with database.scope("short"):
        task = asyncio.create_task(late())
        await entered.wait()
    ended.set()
    with pytest.raises(ScopeClosed):
        await task
    await until(lambda: whole(database))
    async with database.scope("after"):
        assert await connection.fetchval("SELECT to_regclass('too_late') IS NULL")


async def test_a_task_that_outlives_the_transaction_is_told(database: Database, connection: ScopedConnection) -> None:
    """It gets `TransactionClosed`, also from a cursor or a block that it had open."""
    ended = asyncio.Event()

    async def late_statement() -> None:
        await ended.wait()
        await connection.fetchval("SELECT 1")

    async def late_block() -> None:
        async with connection.transaction():
            await ended.wait()
            await connection.fetchval("SELECT 1")

    async with database.scope("request 8"):
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                tasks = [asyncio.create_task(late_statement()), asyncio.create_task(late_block())]
                await asyncio.sleep(0.02)
                raise ZeroDivisionError
        ended.set()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, TransactionClosed)
            assert "'request 8'" in str(outcome)
        assert await connection.fetchval("SELECT 1") == 1
    await until(lambda: whole(database))


async def test_two_databases_have_scopes_of_their_own(clone_dsn: str, empty_dsn: str) -> None:
    """A connection finds the scope of its database, also inside a scope of another one."""
    async with opened(clone_dsn) as (first, one), opened(empty_dsn) as (second, two):
        async with first.scope("first"), second.scope("second"):
            assert await one.fetchval("SELECT to_regclass('users') IS NOT NULL")
            assert await two.fetchval("SELECT to_regclass('users') IS NULL")
