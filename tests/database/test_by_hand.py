"""BEGIN, COMMIT and similar statements: refused if they would reach another connection or end a block."""

import asyncpg
import pytest

from service.database import Database, ScopedConnection
from tests.database.helpers import opened, until, whole

ALL = ["BEGIN", "COMMIT", "ROLLBACK", "SELECT 1; /* so */ START TRANSACTION", "PREPARE TRANSACTION 'x'"]


@pytest.mark.parametrize("query", [*ALL, "SAVEPOINT a", "RELEASE a", "ROLLBACK TO a"])
@pytest.mark.parametrize("method", ["execute", "fetch", "fetchval", "fetchrow"])
async def test_outside_a_block_they_are_refused(
    database: Database, connection: ScopedConnection, method: str, query: str
) -> None:
    """The next statement may run on another connection: the error says what to write instead."""
    async with database.scope("by hand"):
        with pytest.raises(asyncpg.InterfaceError, match=r"connection\.transaction\(\)"):
            await getattr(connection, method)(query)
        with pytest.raises(asyncpg.InterfaceError, match=r"connection\.transaction\(\)"):
            await connection.executemany(query, [()])
    assert whole(database)
    assert database.stats().totals.resets == 0


@pytest.mark.parametrize("query", [*ALL, "BEGIN; SELECT 1; COMMIT"])
async def test_inside_a_transaction_what_would_end_it_is_refused(
    database: Database, connection: ScopedConnection, query: str
) -> None:
    """The transaction goes on, and commits at its end."""
    async with database.scope("by hand"):
        await connection.execute("CREATE TABLE t (n int)")
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(asyncpg.InterfaceError, match="it would end the block"):
                await connection.execute(query)
        assert await connection.fetchval("SELECT count(*) FROM t") == 1


async def test_inside_a_transaction_savepoints_by_hand_work(database: Database, connection: ScopedConnection) -> None:
    """They end nothing but themselves."""
    async with database.scope("by hand"):
        await connection.execute("CREATE TABLE t (n int)")
        async with connection.transaction():
            await connection.execute("SAVEPOINT a")
            await connection.execute("INSERT INTO t VALUES (1)")
            await connection.execute("ROLLBACK TO a")
            await connection.execute("INSERT INTO t VALUES (2)")
            await connection.execute("RELEASE a")
        assert await connection.fetchval("SELECT array_agg(n) FROM t") == [2]


async def test_a_script_may_hold_a_whole_transaction(clone_dsn: str) -> None:
    """Outside a block. When it fails halfway, nothing of it stays, and the connection comes back clean."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("script"):
            await connection.execute("CREATE TABLE t (n int)")
            await connection.execute("BEGIN; INSERT INTO t VALUES (1); COMMIT;")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("BEGIN; INSERT INTO t VALUES (2); SELECT 1 / 0; COMMIT;")
            await connection.execute("INSERT INTO t VALUES (3)")
        async with database.scope("look"):
            assert await connection.fetchval("SELECT array_agg(n ORDER BY n) FROM t") == [1, 3]
        await until(lambda: whole(database))


async def test_a_session_has_transactions_by_hand(clone_dsn: str) -> None:
    """On asyncpg's connection and by the scope's; a transaction that is open at its end is rolled back."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("by hand"):
            await connection.execute("CREATE TABLE t (n int)")
            async with connection.session() as raw:
                await raw.execute("BEGIN")
                await connection.execute("INSERT INTO t VALUES (1)")
                await connection.execute("COMMIT")
                async with connection.transaction():
                    with pytest.raises(asyncpg.InterfaceError, match="it would end the block"):
                        await connection.execute("COMMIT")
                await connection.execute("BEGIN")
                await connection.execute("INSERT INTO t VALUES (2)")
        async with database.scope("look"):
            assert await connection.fetchval("SELECT array_agg(n) FROM t") == [1]
        await until(lambda: whole(database))


async def test_a_session_that_ends_the_transaction_around_it_says_so(clone_dsn: str) -> None:
    """What the block does afterwards would be committed one by one."""
    async with opened(clone_dsn, max_size=1) as (database, connection):
        async with database.scope("by hand"):
            with pytest.raises(asyncpg.InterfaceError, match="ended by hand"):
                async with connection.transaction():
                    async with connection.session() as raw:
                        with pytest.raises(asyncpg.InterfaceError, match="it would end the block"):
                            await connection.execute("COMMIT")
                        await raw.execute("COMMIT")
                    raise AssertionError("it goes no further")
            assert await connection.fetchval("SELECT 1") == 1
        await until(lambda: whole(database))


async def test_tables_may_be_called_like_commands(database: Database, connection: ScopedConnection) -> None:
    """What COPY is given is a table's name, and no statement."""
    async with database.scope("names"):
        await connection.execute('CREATE TABLE "commit" (n int)')
        assert await connection.copy_records_to_table("commit", records=[(1,), (2,)]) == "COPY 2"
        assert await connection.fetchval('SELECT sum(n) FROM "commit"') == 3
    assert database.stats().totals.resets == 0
