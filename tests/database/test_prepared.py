"""Prepared statements, in the block that keeps their connection."""

import asyncio
from inspect import Parameter, signature, unwrap
from types import FunctionType

import asyncpg
import pytest

from service.database import Cursor, Database, PreparedStatement, ScopedConnection, TransactionClosed
from tests.database.helpers import opened, tuples, whole


async def test_a_prepared_statement_has_asyncpgs_methods(database: Database, connection: ScopedConnection) -> None:
    """Rows, a row, a value, many, a cursor, a plan, and its description."""
    async with database.scope("prepare"), connection.transaction():
        await connection.execute("CREATE TABLE t (id serial, v text)")
        insert = await connection.prepare("INSERT INTO t (v) VALUES ($1) RETURNING id")
        assert insert.get_statusmsg() is None
        assert tuples(await insert.fetch("a")) == [(1,)]
        assert insert.get_statusmsg() == "INSERT 0 1"
        assert tuples(await insert.fetchmany([("b",), ("c",)])) == [(2,), (3,)]
        await insert.executemany((letter,) for letter in "de")
        assert [parameter.name for parameter in insert.get_parameters()] == ["text"]
        assert [attribute.name for attribute in insert.get_attributes()] == ["id"]
        select = await connection.prepare("SELECT v FROM t WHERE id > $1 ORDER BY id", name="after")
        assert select.get_name() == "after"
        assert select.get_query().startswith("SELECT v")
        assert tuples(await select.fetch(3)) == [("d",), ("e",)]
        row = await select.fetchrow(4)
        assert row is not None
        assert row["v"] == "e"
        assert await select.fetchrow(5) is None
        assert [row["v"] async for row in select.cursor(2, prefetch=2)] == ["c", "d", "e"]
        assert tuples(await (await select.cursor(0)).fetch(2)) == [("a",), ("b",)]
        assert "Plan" in (await select.explain(0))[0]
        assert "Execution Time" in (await insert.explain("gone", analyze=True))[0]
        assert await connection.fetchval("SELECT count(*) FROM t") == 5
    assert whole(database)


async def test_prepare_outside_a_block_says_what_to_write(database: Database, connection: ScopedConnection) -> None:
    """Each statement may have another connection there."""
    async with database.scope("prepare"):
        with pytest.raises(asyncpg.InterfaceError, match=r"connection\.transaction\(\)"):
            await connection.prepare("SELECT 1")
    assert whole(database)


async def test_a_prepared_statement_takes_turns_with_others(database: Database, connection: ScopedConnection) -> None:
    """Never "another operation is in progress"; inside a savepoint it belongs to that."""
    async with database.scope("prepare"), connection.transaction():
        slow = await connection.prepare("SELECT $1::int FROM pg_sleep(0.01)")
        calls = [
            slow.fetchval(number) if number % 2 else connection.fetchval("SELECT $1::int", number)
            for number in range(20)
        ]
        assert await asyncio.gather(*calls) == list(range(20))
        await connection.execute("CREATE TABLE t (n int)")
        insert = await connection.prepare("INSERT INTO t VALUES ($1)")
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await insert.fetch(1)
                raise ZeroDivisionError
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_a_prepared_statement_ends_with_the_block_that_leased_the_connection(clone_dsn: str) -> None:
    """`TransactionClosed` after it, on the same connection too; it outlives a savepoint, and a transaction of a session."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("prepare"):
        async with connection.transaction():
            async with connection.transaction():
                statement = await connection.prepare("SELECT 1")
            assert await statement.fetchval() == 1
        for call in (statement.fetch, statement.fetchval, statement.fetchrow, statement.explain):
            with pytest.raises(TransactionClosed):
                await call()
        async with connection.transaction():
            with pytest.raises(TransactionClosed):
                await statement.fetchval()
            with pytest.raises(TransactionClosed):
                aiter(statement.cursor())
            assert await connection.fetchval("SELECT 1") == 1
        async with connection.session():
            async with connection.transaction():
                statement = await connection.prepare("SELECT 2")
            assert await statement.fetchval() == 2
            assert "Execution Time" in (await statement.explain(analyze=True))[0]
            with pytest.raises(asyncpg.NoActiveSQLTransactionError):
                await statement.cursor()


async def test_a_name_can_be_given_again_by_the_next_user_of_the_connection(clone_dsn: str) -> None:
    """An unreferenced statement is closed first."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("name"):
        for number in range(3):
            async with connection.transaction():
                statement = await connection.prepare("SELECT $1::int + 1", name="next")
                assert await statement.fetchval(number) == number + 1
                del statement
        assert database.stats().totals.opened == 1


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (ScopedConnection, asyncpg.Connection),
        (PreparedStatement, asyncpg.prepared_stmt.PreparedStatement),
        (Cursor, asyncpg.cursor.Cursor),
    ],
)
def test_methods_take_what_asyncpgs_take(mine: type, theirs: type) -> None:
    """Each method that asyncpg's class has too has the same parameters: their names, kinds, order and defaults."""
    shared = [name for name in dir(mine) if not name.startswith("_") and hasattr(theirs, name)]
    assert len(shared) >= 3

    def parameters(owner: type, name: str) -> list[tuple[str, object, object]]:
        function = unwrap(getattr(owner, name))
        bare = FunctionType(function.__code__, {}, argdefs=function.__defaults__)  # asyncpg's annotations fail on 3.14
        bare.__kwdefaults__ = function.__kwdefaults__
        found = signature(bare).parameters.values()
        return [(each.name, each.kind, each.default) for each in found if each.kind is not Parameter.VAR_KEYWORD]

    assert {name: parameters(mine, name) for name in shared} == {name: parameters(theirs, name) for name in shared}


def test_what_belongs_to_one_connection_is_named_with_the_way_to_it(connection: ScopedConnection) -> None:
    """A method of asyncpg's connection that is not there says `session()`; any other name is an ordinary `AttributeError`."""
    with pytest.raises(AttributeError, match=r"connection\.session\(\) as raw.* and `raw\.add_listener`"):
        connection.add_listener  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'fetchh'\Z"):
        connection.fetchh  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(connection, "_protocol")


async def test_a_connection_says_whether_it_is_in_a_transaction(
    database: Database, connection: ScopedConnection
) -> None:
    """That of the running code."""
    async with database.scope("where"):
        assert not connection.is_in_transaction()
        async with connection.transaction():
            assert connection.is_in_transaction()
            async with database.scope("elsewhere"):
                assert not connection.is_in_transaction()
        async with connection.session() as raw:
            assert not connection.is_in_transaction()
            async with raw.transaction():
                assert connection.is_in_transaction()
