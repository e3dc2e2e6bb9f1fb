"""Transactions: commit, rollback, savepoints, modes and their errors."""

import asyncio
from typing import Any

import asyncpg
import pytest

from service.database import (
    CommitOutcomeUnknown,
    Database,
    DatabaseUnavailable,
    ScopedConnection,
    TransactionAborted,
    TransactionClosed,
)
from tests.database.helpers import INSERT, create_numbers, numbers, opened, until, whole


@pytest.fixture(autouse=True)
async def _table(database: Database, connection: ScopedConnection) -> None:
    await create_numbers(database, connection)


async def test_a_normal_exit_commits(database: Database, connection: ScopedConnection) -> None:
    """Others see nothing before the block ends, and all of it after."""
    async with database.scope("write"), connection.transaction():
        await connection.execute(INSERT, 1)
        assert await numbers(database, connection) == []
    assert await numbers(database, connection) == [1]


async def test_a_transaction_costs_no_reset(database: Database, connection: ScopedConnection) -> None:
    """BEGIN, savepoints and COMMIT leave nothing behind that would have to be reset: no round trip is spent on it."""
    async with database.scope("write"):
        async with connection.transaction():
            async with connection.transaction():
                await connection.execute(INSERT, 1)
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                raise ZeroDivisionError
    assert database.stats().totals.resets == 0
    assert whole(database)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError])
async def test_any_exception_rolls_back(
    database: Database, connection: ScopedConnection, error: type[BaseException]
) -> None:
    """Also one that is not an `Exception`."""
    with pytest.raises(error):
        async with database.scope("write"), connection.transaction():
            await connection.execute(INSERT, 1)
            raise error
    assert await numbers(database, connection) == []
    await until(lambda: whole(database))


async def test_a_nested_transaction_is_a_savepoint(database: Database, connection: ScopedConnection) -> None:
    """What fails inside is undone alone, and the code around it goes on."""
    async with database.scope("write"), connection.transaction():
        await connection.execute(INSERT, 1)
        with pytest.raises(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute(INSERT, 2)
                await connection.execute(INSERT, 1)
        async with connection.transaction():
            await connection.execute(INSERT, 3)
    assert await numbers(database, connection) == [1, 3]


async def test_a_timeout_around_a_nested_transaction_undoes_only_that(
    database: Database, connection: ScopedConnection
) -> None:
    """A cancelled savepoint is rolled back before the outer transaction goes on."""
    async with database.scope("write"), connection.transaction():
        await connection.execute(INSERT, 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), connection.transaction():
                await connection.execute(INSERT, 2)
                await connection.fetchval("SELECT pg_sleep(5)")
        await connection.execute(INSERT, 3)
    assert await numbers(database, connection) == [1, 3]
    await until(lambda: whole(database))


async def test_modes_reach_the_server(database: Database, connection: ScopedConnection) -> None:
    """Isolation, read-only and deferrable are those of the real transaction."""
    modes = "SELECT current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')"
    deferrable = "SHOW transaction_deferrable"
    async with database.scope("modes"):
        async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
            assert await connection.fetchval(modes) == "serializable on"
            assert await connection.fetchval(deferrable) == "on"
        async with connection.transaction(isolation="repeatable_read"):
            assert await connection.fetchval(modes) == "repeatable read off"
            async with connection.transaction(isolation="repeatable_read"):
                assert await connection.fetchval("SELECT 1") == 1
            with pytest.raises(asyncpg.InterfaceError, match="savepoint"):
                async with connection.transaction(isolation="serializable"):
                    pass
            assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({}, {"isolation": "read_committed"}),
        ({"isolation": "serializable", "readonly": True}, {"isolation": "serializable"}),
        ({"isolation": "serializable", "readonly": True, "deferrable": True}, {"readonly": True}),
        ({"readonly": True}, {"isolation": "read_committed", "readonly": True}),
    ],
)
async def test_a_nested_transaction_may_ask_for_what_the_outer_one_has(
    database: Database, connection: ScopedConnection, outer: dict[str, Any], inner: dict[str, Any]
) -> None:
    """Compared by meaning: the server's default isolation is one, too."""
    async with database.scope("nested"), connection.transaction(**outer), connection.transaction(**inner):
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    ("outer", "inner", "said"),
    [
        ({}, {"isolation": "serializable"}, "different isolation level"),
        ({"isolation": "serializable"}, {"isolation": "read_committed"}, "different isolation level"),
        ({"isolation": "serializable"}, {"isolation": "serializable", "readonly": True}, "not read-only"),
        ({}, {"deferrable": True}, "not deferrable"),
    ],
)
async def test_a_nested_transaction_cannot_ask_for_what_the_outer_one_has_not(
    database: Database, connection: ScopedConnection, outer: dict[str, Any], inner: dict[str, Any], said: str
) -> None:
    """The isolation has to be the same, as with asyncpg; the outer transaction goes on."""
    async with database.scope("nested"), connection.transaction(**outer):
        with pytest.raises(asyncpg.InterfaceError, match=said):
            async with connection.transaction(**inner):
                pass
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    "isolation", ["nonsense", "READ_COMMITTED", "read committed", "", "serializable; DROP TABLE numbers"]
)
async def test_an_isolation_that_is_none_is_refused_where_it_is_given(
    database: Database, connection: ScopedConnection, isolation: Any
) -> None:
    """At the call, before any block; and nothing of it reaches the server."""
    with pytest.raises(ValueError, match="isolation must be one of"):
        connection.transaction(isolation=isolation)
    async with database.scope("work"):
        with pytest.raises(ValueError, match="isolation must be one of"):
            await connection.run_transaction(_nothing, isolation=isolation)
    assert await numbers(database, connection) == []


async def _nothing() -> None:
    raise AssertionError("it is never run")


async def test_a_swallowed_error_is_not_reported_as_success(database: Database, connection: ScopedConnection) -> None:
    """PostgreSQL answers the COMMIT with ROLLBACK, and the block raises `TransactionAborted`."""
    async with database.scope("write"):
        with pytest.raises(TransactionAborted, match="nothing was saved"):
            async with connection.transaction():
                await connection.execute(INSERT, 1)
                with pytest.raises(asyncpg.UniqueViolationError):
                    await connection.execute(INSERT, 1)
        assert await connection.fetchval("SELECT 1") == 1
    assert await numbers(database, connection) == []


async def test_a_swallowed_error_in_a_savepoint_undoes_it_and_says_so(
    database: Database, connection: ScopedConnection
) -> None:
    """The inner block raises `TransactionAborted`; the outer one can still commit."""
    async with database.scope("write"), connection.transaction():
        await connection.execute(INSERT, 1)
        with pytest.raises(TransactionAborted):
            async with connection.transaction():
                await connection.execute(INSERT, 2)
                with pytest.raises(asyncpg.UniqueViolationError):
                    await connection.execute(INSERT, 2)
        await connection.execute(INSERT, 3)
    assert await numbers(database, connection) == [1, 3]


@pytest.mark.parametrize("readonly", [True, False])
async def test_a_write_where_the_code_itself_asked_to_read_is_the_servers_own_error(
    database: Database, connection: ScopedConnection, readonly: bool
) -> None:
    """That is a mistake of the code, and not the server's state: the connection is kept."""
    async with database.scope("read"):
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.session(), connection.transaction(readonly=readonly):
                await connection.execute("SET transaction_read_only = on")
                await connection.execute(INSERT, 1)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.transaction(readonly=True):
                await connection.execute(INSERT, 1)
    await until(lambda: whole(database))
    assert database.stats().totals.closed == 0


async def test_a_write_that_the_server_refuses_as_a_standby_does_drops_the_connection(
    clone_dsn: str, database: Database, connection: ScopedConnection
) -> None:
    """Without `readonly`: `DatabaseUnavailable`, and the next connection may find the new primary."""
    async with database.scope("name"):
        name = await connection.fetchval("SELECT current_database()")
    async with opened(clone_dsn, max_size=1) as (demoted, through_demoted):
        async with database.scope("demote"):
            await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        async with demoted.scope("write"):
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable) as caught:
                    await through_demoted.execute(INSERT, 1)
                assert isinstance(caught.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
                with pytest.raises(DatabaseUnavailable):
                    async with through_demoted.transaction():
                        await through_demoted.execute(INSERT, 1)
            async with database.scope("promote"):
                await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await through_demoted.execute(INSERT, 1)
        await until(lambda: whole(demoted))
    assert await numbers(database, connection) == [1]


async def test_a_savepoint_in_an_aborted_transaction_is_refused_as_by_asyncpg(
    database: Database, connection: ScopedConnection
) -> None:
    """Nothing is sent that would end the outer transaction another way than its own."""
    async with database.scope("write"):
        with pytest.raises(TransactionAborted):
            async with connection.transaction():
                with pytest.raises(asyncpg.UndefinedTableError):
                    await connection.execute("SELECT * FROM missing")
                with pytest.raises(asyncpg.InFailedSQLTransactionError):
                    async with connection.transaction():
                        pass
    await until(lambda: whole(database))


async def test_an_error_at_commit_is_the_servers_own(database: Database, connection: ScopedConnection) -> None:
    """A deferred constraint that fails at COMMIT raises its violation, and nothing is saved."""
    async with database.scope("write"):
        with pytest.raises(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute("SET CONSTRAINTS numbers_n_key DEFERRED")
                await connection.execute(INSERT, 1)
                await connection.execute(INSERT, 1)
    assert await numbers(database, connection) == []
    await until(lambda: whole(database))


async def test_a_commit_whose_connection_breaks_has_an_unknown_outcome(clone_dsn: str) -> None:
    """`CommitOutcomeUnknown`, with the driver's error as its cause, and never another attempt."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("commit"):
        await connection.execute("""
            CREATE TABLE slow (n int);
            CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(20); RETURN NULL; END';
            CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION dawdle()
        """)
        attempts = 0

        async def work() -> None:
            nonlocal attempts
            attempts += 1
            await connection.execute("INSERT INTO slow VALUES (1)")

        task = asyncio.create_task(connection.run_transaction(work, attempts=3))
        terminated = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"
        )
        async with asyncio.timeout(60):
            other = await asyncpg.connect(clone_dsn)
            while not await other.fetchval(terminated):
                await asyncio.sleep(0.01)
            await other.close()
        with pytest.raises(CommitOutcomeUnknown) as caught:
            await task
        assert isinstance(caught.value.__cause__, asyncpg.PostgresError)
        assert attempts == 1
        await until(lambda: whole(database))


async def test_a_connection_lost_before_commit_is_plainly_unavailable(
    database: Database, connection: ScopedConnection
) -> None:
    """Nothing was sent, so nothing was saved: `DatabaseUnavailable`."""
    async with database.scope("lost"):
        block = connection.transaction()
        with pytest.raises(DatabaseUnavailable, match="nothing was saved"):
            async with block:
                await connection.execute(INSERT, 1)
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                async with database.scope("killer"):
                    await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
                await until(block.lease.raw.is_closed)
    assert await numbers(database, connection) == []
    await until(lambda: whole(database))


async def test_a_connection_that_dies_before_the_rollback_is_dropped(
    database: Database, connection: ScopedConnection
) -> None:
    """The block's own exception is what the caller sees, and the pool is whole."""
    async with database.scope("dying"):
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                async with database.scope("killer"):
                    await connection.fetchval("SELECT pg_terminate_backend($1)", pid)
                raise ZeroDivisionError
    await until(lambda: whole(database))


async def test_a_block_has_no_connection_before_it_begins(database: Database, connection: ScopedConnection) -> None:
    """Using the object instead of the block raises an error with the remedy."""
    async with database.scope("too early"):
        with pytest.raises(TransactionClosed, match="write `async with`"):
            _ = connection.transaction().lease
