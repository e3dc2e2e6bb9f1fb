"""The scoped connection: asyncpg's methods and meanings, and a clean session for the next user."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

import asyncpg
import pytest

from service.database import Database, DatabaseUnavailable, ScopedConnection, TransactionClosed
from tests.database.helpers import opened, until, whole


async def test_the_methods_mean_what_asyncpgs_mean(database: Database, connection: ScopedConnection) -> None:
    """Rows, a row, a value, a status, many, and COPY."""
    async with database.scope("methods"):
        assert await connection.execute("CREATE TABLE t (n int, s text)") == "CREATE TABLE"
        assert await connection.execute("INSERT INTO t VALUES ($1, $2)", 1, "one") == "INSERT 0 1"
        await connection.executemany("INSERT INTO t VALUES ($1, $2)", [(2, "two"), (3, "three")])
        assert await connection.copy_records_to_table("t", records=[(4, "four")], columns=["n", "s"]) == "COPY 1"
        assert [tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY n")] == [
            (1, "one"), (2, "two"), (3, "three"), (4, "four"),
        ]  # fmt: skip
        row = await connection.fetchrow("SELECT * FROM t WHERE n = $1", 2)
        assert row is not None
        assert row["s"] == "two"
        assert await connection.fetchrow("SELECT * FROM t WHERE n = 9") is None
        assert await connection.fetchval("SELECT n, s FROM t WHERE n = 3", column=1) == "three"
        with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
            await connection.fetchval("SELECT $1::int")
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("SELEC 1")
    assert whole(database)


async def test_many_rows_fail_together(database: Database, connection: ScopedConnection) -> None:
    """`executemany` outside a transaction is all or nothing, as asyncpg's is."""
    async with database.scope("many"):
        await connection.execute("CREATE TABLE t (n int UNIQUE)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.executemany("INSERT INTO t VALUES ($1)", [(1,), (2,), (1,)])
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_a_cursor_gives_rows_in_portions(database: Database, connection: ScopedConnection) -> None:
    """Iterated or awaited, inside a transaction; other statements have their turn in between."""
    async with database.scope("cursor"), connection.transaction():
        rows = [row["n"] async for row in connection.cursor("SELECT generate_series(1, $1::int) AS n", 25, prefetch=10)]
        assert rows == list(range(1, 26))
        cursor = await connection.cursor("SELECT generate_series(1, 10) AS n")
        assert [row["n"] for row in await cursor.fetch(3)] == [1, 2, 3]
        assert await connection.fetchval("SELECT 'in between'") == "in between"
        assert await cursor.forward(2) == 2
        row = await cursor.fetchrow()
        assert row is not None
        assert row["n"] == 6
        assert len(await cursor.fetch(100)) == 4
        assert await cursor.fetchrow() is None


async def test_a_cursor_needs_a_transaction_and_ends_with_it(database: Database, connection: ScopedConnection) -> None:
    """Outside one it is asyncpg's error; after its end, `TransactionClosed`."""
    async with database.scope("cursor"):
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            connection.cursor("SELECT 1")
        async with connection.session():
            with pytest.raises(asyncpg.NoActiveSQLTransactionError):
                connection.cursor("SELECT 1")
        async with connection.transaction():
            cursor = await connection.cursor("SELECT 1")
        with pytest.raises(TransactionClosed):
            await cursor.fetch(1)


LEFTOVERS = """
    SELECT current_setting('work_mem'),
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
           (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),
           (SELECT count(*) FROM pg_listening_channels()),
           current_user
"""


@pytest.mark.parametrize(
    "statement",
    [
        "SET work_mem = '1MB'",
        "  /* why not */ set work_mem = '1MB'",
        "SELECT 1; SET work_mem = '1MB'",
        "SELECT set_config('work_mem', '1MB', false)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "CREATE TEMP TABLE scratch (n int)",
        "SELECT 1 AS n INTO TEMPORARY scratch",
        "LISTEN news",
        "SET ROLE other",
        "SET SESSION AUTHORIZATION other",
        "DO $$ BEGIN PERFORM set_config('work_mem', '1MB', false); END $$",
    ],
)
@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
async def test_what_a_statement_leaves_in_the_session_does_not_reach_the_next_user(
    clone_dsn: str, statement: str, in_transaction: bool
) -> None:
    """Settings, locks, temporary tables, listeners and roles are gone at the next lease."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("clean"):
            await connection.execute("DO $$ BEGIN CREATE ROLE other; EXCEPTION WHEN duplicate_object THEN END $$")
            before = await connection.fetchrow(LEFTOVERS)
        async with database.scope("leaves something"):
            if in_transaction:
                async with connection.transaction():
                    await connection.execute(statement)
            else:
                await connection.execute(statement)
        async with database.scope("next"):
            assert await connection.fetchrow(LEFTOVERS) == before
            assert database.stats().size == 1


async def test_ordinary_statements_cost_no_reset(database: Database, connection: ScopedConnection) -> None:
    """Returning a connection sends nothing."""
    async with database.scope("ordinary"):
        await connection.execute("CREATE TABLE t (n int)")
        await connection.execute("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING")
        await connection.execute("UPDATE t SET n = 2 WHERE n = 1")
        async with connection.transaction():
            await connection.execute("SET LOCAL work_mem = '1MB'")
            await connection.fetchval("SELECT set_config('work_mem', $1, true)", "2MB")
            await connection.fetchval("SELECT pg_advisory_xact_lock(1)")
        for _ in range(20):
            await connection.fetch("SELECT * FROM t")
    assert database.stats().totals.resets == 0


async def test_a_session_is_asyncpgs_connection_and_is_always_reset(clone_dsn: str) -> None:
    """Listeners, settings that a function hides and locks go; statements and repositories in the block share it."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("session"), connection.session() as raw:
            assert raw.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()")
            await raw.execute("SET work_mem = '1MB'")
            assert await connection.fetchval("SHOW work_mem") == "1MB"
            async with connection.transaction():
                assert await connection.fetchval("SHOW work_mem") == "1MB"
                assert database.stats().leased == 1
        async with database.scope("next"):
            assert await connection.fetchval("SHOW work_mem") == "4MB"
            assert await connection.fetchval("SELECT 1") == 1
        with pytest.raises(asyncpg.InterfaceError, match="released"):
            await raw.fetchval("SELECT 1")


async def test_a_session_inside_a_transaction_is_the_transactions_connection(clone_dsn: str) -> None:
    """No second connection, the same uncommitted rows, and a reset when the transaction is over."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("session"), connection.transaction():
            await connection.execute("CREATE TABLE mine ()")
            async with connection.session() as raw:
                assert await raw.fetchval("SELECT to_regclass('mine') IS NOT NULL")
                async with connection.transaction():
                    await connection.fetchval("SELECT 1")
            await connection.fetchval("SELECT 1")
        await until(lambda: whole(database))
        assert database.stats().totals.resets == 1


@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
async def test_the_source_of_a_copy_cannot_wait_for_the_copys_own_connection(
    clone_dsn: str, in_transaction: bool
) -> None:
    """It gets an error instead of waiting without an end; work in another scope is fine."""
    async with opened(clone_dsn, max_size=2) as (database, connection), database.scope("copy"):

        async def querying() -> AsyncIterator[tuple[int]]:
            yield (await connection.fetchval("SELECT 1"),)

        async def beginning() -> AsyncIterator[tuple[int]]:
            async with connection.transaction():
                yield (1,)

        async def independent() -> AsyncIterator[tuple[int]]:
            async with database.scope("source"):
                yield (await connection.fetchval("SELECT 2"),)

        await connection.execute("CREATE TABLE t (n int)")
        for source in (querying, beginning):
            with pytest.raises(asyncpg.InterfaceError, match="inside the records of copy_records_to_table"):
                async with asyncio.timeout(60), _block(connection, in_transaction):
                    await connection.copy_records_to_table("t", records=source())
        async with asyncio.timeout(60), _block(connection, in_transaction):
            assert await connection.copy_records_to_table("t", records=independent()) == "COPY 1"
        assert await connection.fetchval("SELECT n FROM t") == 2
    assert whole(database)


async def test_a_source_that_fails_by_itself_is_not_the_connections_fault(clone_dsn: str) -> None:
    """A missing file behind the rows is that, nothing is saved, and the connection serves the next statement."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("source"):
        await connection.execute("CREATE TABLE t (n int)")
        pid = await connection.fetchval("SELECT pg_backend_pid()")

        async def rows() -> AsyncIterator[tuple[int]]:
            yield (1,)
            raise FileNotFoundError("rows.csv")

        def arguments() -> Iterator[tuple[int]]:
            yield (1,)
            raise FileNotFoundError("rows.csv")

        with pytest.raises(FileNotFoundError):
            await connection.copy_records_to_table("t", records=rows())
        with pytest.raises(FileNotFoundError):
            await connection.executemany("INSERT INTO t VALUES ($1)", arguments())
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid


def _block(connection: ScopedConnection, in_transaction: bool) -> AbstractAsyncContextManager[object]:
    return connection.transaction() if in_transaction else nullcontext()


async def test_a_session_whose_connection_breaks_is_named(database: Database, connection: ScopedConnection) -> None:
    """`DatabaseUnavailable` leaves the block, with the driver's error as its cause; other exceptions leave as they are."""
    async with database.scope("broken"):
        with pytest.raises(DatabaseUnavailable) as caught:
            async with connection.session() as raw:
                await raw.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert isinstance(caught.value.__cause__, asyncpg.PostgresError)
        with pytest.raises(FileNotFoundError):
            async with connection.session():
                raise FileNotFoundError
        assert await connection.fetchval("SELECT 1") == 1
    await until(lambda: whole(database))


async def test_a_generator_that_is_left_in_the_middle_returns_its_connection(clone_dsn: str) -> None:
    """A streaming function ends its transaction when it is closed because its consumer has gone."""
    async with opened(clone_dsn, max_size=1) as (database, connection):

        async def numbers() -> AsyncIterator[int]:
            async with connection.transaction():
                async for row in connection.cursor("SELECT generate_series(1, 100000) AS n", prefetch=10):
                    yield row["n"]

        async with database.scope("stream"):
            stream = numbers()
            assert await anext(stream) == 1
            await stream.aclose()  # type: ignore[attr-defined]
            assert await connection.fetchval("SELECT 1") == 1
        await until(lambda: whole(database))


async def test_returning_a_connection_that_was_cancelled_in_mid_statement_is_safe(clone_dsn: str) -> None:
    """The next user gets its own answer, not that of the cancelled statement."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("cancel"):
        for number in range(10):
            slow = asyncio.create_task(connection.fetchval("SELECT pg_sleep(5)"))
            await asyncio.sleep(0.01)
            slow.cancel()
            assert await connection.fetchval("SELECT $1::int", number) == number
        assert database.stats().size == 1
