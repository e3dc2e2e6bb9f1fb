"""Cursors: asyncpg's meanings, and none that stays open behind its reader's back."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database import Database, ScopedConnection, TransactionClosed
from tests.database.helpers import opened, tuples, whole

NUMBERS = "SELECT n FROM generate_series(1, $1::int) AS n"
OPEN = "SELECT count(*) FROM pg_cursors WHERE name LIKE '%portal%'"


class Row(asyncpg.Record):
    """A row with attributes."""

    def __getattr__(self, name: str) -> object:
        return self[name]


@pytest.fixture
async def transaction(database: Database, connection: ScopedConnection) -> AsyncIterator[None]:
    """A table `t` of ten rows, and a transaction around the test."""
    async with database.scope("cursor"):
        await connection.execute("CREATE TABLE t AS SELECT generate_series(1, 10) AS n")
        async with connection.transaction():
            yield
    assert whole(database)


@pytest.mark.usefixtures("transaction")
@pytest.mark.parametrize("prefetch", [None, 1, 3, 10, 11])
async def test_a_cursor_that_is_read_to_its_end_is_closed(connection: ScopedConnection, prefetch: int | None) -> None:
    """So its table can be altered, emptied and dropped in the same transaction."""
    async for _ in connection.cursor("SELECT * FROM t", prefetch=prefetch):
        pass
    await connection.execute("ALTER TABLE t ADD COLUMN more int; TRUNCATE t; DROP TABLE t")
    assert await connection.fetchval(OPEN) == 0


@pytest.mark.usefixtures("transaction")
async def test_a_cursor_that_is_left_by_break_is_closed_before_the_next_statement(connection: ScopedConnection) -> None:
    """By an exception as well, and inside a savepoint; a reader that has not begun has nothing to close."""
    async for row in connection.cursor("SELECT * FROM t", prefetch=2):
        assert row["n"] == 1
        break
    with pytest.raises(ZeroDivisionError):
        async for _ in connection.cursor("SELECT * FROM t", prefetch=2):
            raise ZeroDivisionError
    async with connection.transaction():
        async for _ in connection.cursor("SELECT * FROM t", prefetch=2):
            break
    aiter(connection.cursor("SELECT * FROM t"))
    await connection.execute("DROP TABLE t")
    assert await connection.fetchval(OPEN) == 0


@pytest.mark.usefixtures("transaction")
async def test_an_awaited_cursor_is_closed_at_its_end_or_when_nobody_has_it(connection: ScopedConnection) -> None:
    """At the end each further call reports the end; the portal is gone by the next statement."""
    cursor = await connection.cursor("SELECT * FROM t")
    assert len(await cursor.fetch(4)) == 4
    assert await connection.fetchval(OPEN) == 1
    assert len(await cursor.fetch(100)) == 6
    assert await connection.fetchval(OPEN) == 0
    assert await cursor.fetch(1) == []
    assert await cursor.fetchrow() is None
    assert await cursor.forward(3) == 0
    skipped, ended, dropped = [await connection.cursor("SELECT * FROM t") for _ in range(3)]
    assert await skipped.forward(11) == 10
    assert [await ended.fetchrow() for _ in range(11)][-1] is None
    assert await dropped.fetchrow() is not None
    del dropped
    await connection.execute("DROP TABLE t")


@pytest.mark.usefixtures("transaction")
async def test_a_cursor_gives_its_rows_anew_to_each_loop(connection: ScopedConnection) -> None:
    """Also to two at once, and to each `await`."""
    numbers = connection.cursor(NUMBERS, 3, prefetch=2)
    assert [row["n"] async for row in numbers] == [row["n"] async for row in numbers] == [1, 2, 3]
    pairs = [(one["n"], other["n"]) async for one in numbers async for other in numbers]
    assert pairs == [(one, other) for one in (1, 2, 3) for other in (1, 2, 3)]
    factory = connection.cursor(NUMBERS, 3)
    first, second = await factory, await factory
    assert tuples(await first.fetch(2) + await second.fetch(3)) == [(1,), (2,), (1,), (2,), (3,)]


@pytest.mark.usefixtures("transaction")
async def test_a_cursor_refuses_what_asyncpgs_does(connection: ScopedConnection) -> None:
    """With asyncpg's own words; a `prefetch` is for iterating alone."""
    for prefetch in (0, -1):
        with pytest.raises(asyncpg.InterfaceError, match="prefetch argument must be greater than zero"):
            aiter(connection.cursor(NUMBERS, 3, prefetch=prefetch))
    with pytest.raises(asyncpg.InterfaceError, match="only be specified for iterable cursor"):
        await connection.cursor(NUMBERS, 3, prefetch=2)
    cursor = await connection.cursor(NUMBERS, 3)
    for count in (0, -1):
        with pytest.raises(asyncpg.InterfaceError, match="n must be greater than zero"):
            await cursor.fetch(count)
        with pytest.raises(asyncpg.InterfaceError, match="n must be greater than zero"):
            await cursor.forward(count)
    assert len(await cursor.fetch(9)) == 3
    with pytest.raises(asyncpg.InterfaceError, match="n must be greater than zero"):
        await cursor.forward(0)


@pytest.mark.usefixtures("transaction")
async def test_a_cursor_gives_rows_of_the_class_that_is_asked_for(connection: ScopedConnection) -> None:
    """Iterated or awaited."""
    rows = [row async for row in connection.cursor(NUMBERS, 2, record_class=Row)]
    rows += await (await connection.cursor(NUMBERS, 2, record_class=Row)).fetch(2)
    assert [row.n for row in rows if isinstance(row, Row)] == [1, 2, 1, 2]


async def test_a_cursors_timeout_is_heard(database: Database, connection: ScopedConnection) -> None:
    """That of the factory for each round trip of a loop, that of `fetch` and its like for one call."""
    slow = "SELECT pg_sleep(30)"

    async def loop() -> None:
        async for _ in connection.cursor(slow, timeout=0.05):
            pass

    async def fetch() -> None:
        await (await connection.cursor(slow)).fetch(1, timeout=0.05)

    async def fetchrow() -> None:
        await (await connection.cursor(slow)).fetchrow(timeout=0.05)

    async def forward() -> None:
        await (await connection.cursor(slow)).forward(1, timeout=0.05)

    async with database.scope("timeout"), asyncio.timeout(60):
        for call in (loop, fetch, fetchrow, forward):
            with pytest.raises(TimeoutError):
                async with connection.transaction():
                    await call()
            assert await connection.fetchval("SELECT 1") == 1
    assert database.stats().size <= 2


async def test_a_cursor_ends_with_its_transaction_though_the_connection_goes_on(clone_dsn: str) -> None:
    """In the next transaction on the same connection it raises `TransactionClosed`, and spoils nothing there."""
    async with opened(clone_dsn, max_size=1) as (_, connection), _.scope("cursor"):
        async with connection.transaction():
            cursor = await connection.cursor(NUMBERS, 5)
            rows = aiter(connection.cursor(NUMBERS, 5, prefetch=2))
            assert (await anext(rows))["n"] == 1
            assert (await anext(rows))["n"] == 2
        async with connection.transaction():
            with pytest.raises(TransactionClosed):
                await cursor.fetch(1)
            with pytest.raises(TransactionClosed):
                await anext(rows)
            assert await connection.fetchval("SELECT 1") == 1
        async with connection.session():
            async with connection.transaction():
                cursor = await connection.cursor(NUMBERS, 5)
            async with connection.transaction():
                with pytest.raises(TransactionClosed):
                    await cursor.fetch(1)
                assert await connection.fetchval("SELECT 1") == 1


async def test_a_cursor_made_in_a_savepoint_goes_on_after_it(database: Database, connection: ScopedConnection) -> None:
    """Where the savepoint was released; after its rollback PostgreSQL says that it is gone."""
    async with database.scope("cursor"):
        async with connection.transaction():
            async with connection.transaction():
                cursor = await connection.cursor(NUMBERS, 3)
                assert tuples(await cursor.fetch(1)) == [(1,)]
            assert tuples(await cursor.fetch(5)) == [(2,), (3,)]
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    cursor = await connection.cursor(NUMBERS, 3)
                    raise ZeroDivisionError
            with pytest.raises(asyncpg.InvalidCursorNameError):
                async with connection.transaction():
                    await cursor.fetch(1)
            del cursor
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_cursor_in_a_transaction_begun_on_the_session(database: Database, connection: ScopedConnection) -> None:
    """As long as that transaction lasts."""
    async with database.scope("cursor"), connection.session() as raw:
        async with raw.transaction():
            cursor = await connection.cursor(NUMBERS, 3)
            assert tuples(await cursor.fetch(1)) == [(1,)]
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            await cursor.fetch(1)


async def test_a_task_that_outlives_the_transaction_gets_no_cursor(clone_dsn: str) -> None:
    """`TransactionClosed`, although the next transaction on the same connection is open."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("late"):
        ended = asyncio.Event()

        async def late() -> None:
            await ended.wait()
            with pytest.raises(TransactionClosed):
                connection.cursor("SELECT 1")

        async with connection.transaction():
            task = asyncio.create_task(late())
        async with connection.transaction():
            ended.set()
            await task


async def test_a_factory_made_in_a_transaction_is_of_no_use_after_it(
    database: Database, connection: ScopedConnection
) -> None:
    """It asks for the transaction that is open when it is read."""
    async with database.scope("cursor"):
        async with connection.transaction():
            numbers = connection.cursor(NUMBERS, 3)
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            aiter(numbers)
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            await numbers
        async with connection.transaction():
            assert [row["n"] async for row in numbers] == [1, 2, 3]


async def test_a_loop_that_is_cancelled_leaves_a_clean_connection(clone_dsn: str) -> None:
    """In the middle of a portion; the transaction is rolled back."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("cancel"):
        began = asyncio.Event()

        async def read() -> None:
            async with connection.transaction():
                async for row in connection.cursor(
                    "SELECT n, CASE WHEN n > 2 THEN pg_sleep(30) END FROM generate_series(1, 9) AS n", prefetch=2
                ):
                    if row["n"] == 2:
                        began.set()

        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("SELECT 1") == 1
    assert whole(database)


async def test_a_cursor_that_changes_the_session_does_so_for_its_transaction_alone(clone_dsn: str) -> None:
    """Its SQL is looked at as that of any other statement."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("lock"), connection.transaction():
            assert len([row async for row in connection.cursor("SELECT pg_advisory_lock(7)")]) == 1
        async with database.scope("next"):
            assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
