"""The schema changes while connections keep statements and types of it: the work goes on, or says that it must be repeated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from service.database import CommitOutcomeUnknown, Database, SchemaChanged, ScopedConnection
from tests.database.helpers import opened, until, whole


@pytest.fixture
async def other(clone_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection outside the pool, which changes the schema."""
    connection = await asyncpg.connect(clone_dsn)
    yield connection
    await connection.close()


Pool = tuple[Database, ScopedConnection]


@pytest.fixture
async def two(clone_dsn: str) -> AsyncIterator[Pool]:
    """A pool of two connections."""
    async with opened(clone_dsn, min_size=2, max_size=2) as (database, connection):
        yield database, connection
        await until(lambda: whole(database))


async def on_both(two: Pool, query: str, *args: Any) -> list[Any]:
    """Run a statement on each of the two connections."""
    database, connection = two
    async with database.scope("one"), connection.transaction():
        first = await connection.fetch(query, *args)
        async with database.scope("other"), connection.transaction():
            return [first, await connection.fetch(query, *args)]


NEW_MOOD = """
    ALTER TABLE t ALTER m TYPE text; DROP TYPE mood; CREATE TYPE mood AS ENUM ('a', 'b', 'c');
    ALTER TABLE t ALTER m TYPE mood USING m::mood
"""
MOODS = "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (m mood); INSERT INTO t VALUES ('a')"
PAIRS = "CREATE TYPE pair AS (x int, y int); CREATE TABLE t (p pair); INSERT INTO t VALUES ((1, 2))"
NUMBERS = "CREATE TABLE t (n int); INSERT INTO t VALUES (1)"
BIGGER = "ALTER TABLE t ALTER n TYPE bigint"

CHANGES = pytest.mark.parametrize(
    ("setup", "query", "args", "change", "new_args"),
    [
        (NUMBERS, "SELECT * FROM t", (), "ALTER TABLE t ADD m int", ()),
        (NUMBERS, "SELECT * FROM t", (), "ALTER TABLE t ALTER n TYPE text", ()),
        (NUMBERS, "SELECT * FROM t", (), "DROP TABLE t; CREATE TABLE t (a text)", ()),
        (NUMBERS, "INSERT INTO t VALUES (5) RETURNING *", (), "ALTER TABLE t ADD m int", ()),
        (NUMBERS, "SELECT n FROM t WHERE n = $1", (1,), BIGGER, (2**40,)),
        (NUMBERS, "INSERT INTO t VALUES ($1)", (1,), BIGGER, (2**40,)),
        (NUMBERS, "INSERT INTO t VALUES ($1)", (1,), "ALTER TABLE t ALTER n TYPE text", ("one",)),
        (MOODS, "SELECT * FROM t", (), NEW_MOOD, ()),
        (MOODS, "SELECT 1 FROM t WHERE m = $1", ("a",), NEW_MOOD, ("c",)),
        (MOODS, "INSERT INTO t VALUES ($1)", ("a",), NEW_MOOD, ("c",)),
        (MOODS, "SELECT 1 FROM t WHERE m = ANY($1)", (["a"],), NEW_MOOD, (["c"],)),
        (MOODS, "SELECT $1::mood", ("a",), NEW_MOOD, ("c",)),
        (PAIRS, "SELECT * FROM t", (), "ALTER TYPE pair ADD ATTRIBUTE z int", ()),
        (PAIRS, "SELECT p FROM t", (), "ALTER TYPE pair DROP ATTRIBUTE y; ALTER TYPE pair ADD ATTRIBUTE y text", ()),
        (PAIRS, "INSERT INTO t VALUES ($1)", ((1, 2),), "ALTER TYPE pair ADD ATTRIBUTE z int", ((1, 2, 3),)),
        (
            PAIRS,
            "INSERT INTO t VALUES ($1)",
            ((1, 2),),
            "ALTER TYPE pair DROP ATTRIBUTE y; ALTER TYPE pair ADD ATTRIBUTE y bigint",
            ((1, 2),),
        ),
        (
            PAIRS,
            "INSERT INTO t VALUES ($1)",
            ((1, 2),),
            "DROP TABLE t; DROP TYPE pair; CREATE TYPE pair AS (x int, y int); CREATE TABLE t (p pair)",
            ((1, 2),),
        ),
    ],
)


@CHANGES
@pytest.mark.parametrize("block", ["alone", "transaction", "savepoint", "run_transaction"])
async def test_a_statement_goes_on_after_the_change(
    two: Pool,
    other: "asyncpg.Connection[asyncpg.Record]",
    block: str,
    setup: str,
    query: Any,
    args: tuple[Any, ...],
    change: str,
    new_args: tuple[Any, ...],
) -> None:
    """On each connection; in a transaction, where nothing was done in it yet."""
    database, connection = two
    await other.execute(setup)
    await on_both(two, query, *args)
    await other.execute(change)

    async def run() -> list[asyncpg.Record]:
        return await connection.fetch(query, *new_args)

    async def once() -> list[asyncpg.Record]:
        if block == "alone":
            return await run()
        if block == "run_transaction":
            return await connection.run_transaction(run)
        async with connection.transaction(isolation="repeatable_read"):
            if block == "transaction":
                return await run()
            async with connection.transaction():
                return await run()

    async with database.scope("after"):
        for _ in range(3):
            await once()
    await on_both(two, query, *new_args)


async def test_what_was_done_before_in_a_transaction_is_not_repeated(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The error names the change, nothing is saved, and `run_transaction` does all of it again."""
    database, connection = two
    await other.execute(NUMBERS)
    await on_both(two, "SELECT * FROM t")

    async def work() -> int:
        await connection.execute("INSERT INTO t VALUES (2)")
        return len(await connection.fetch("SELECT * FROM t"))

    async with database.scope("after"):
        await other.execute("ALTER TABLE t ADD m int")
        with pytest.raises(SchemaChanged) as seen:
            async with connection.transaction():
                await work()
        assert isinstance(seen.value.__cause__, asyncpg.InvalidCachedStatementError)
        assert await connection.fetchval("SELECT count(*) FROM t") == 1
        await on_both(two, "SELECT * FROM t")
        await other.execute("ALTER TABLE t ADD o int")
        assert await connection.run_transaction(work) == 2


async def test_a_made_anew_type_in_mid_transaction_is_named_too(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The server says `cache lookup failed for type`; the next attempt works, on any connection."""
    database, connection = two
    await other.execute(MOODS)
    await on_both(two, "SELECT $1::mood", "a")
    await other.execute(NEW_MOOD)
    async with database.scope("after"):
        with pytest.raises(SchemaChanged):
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (NULL)")
                await connection.fetchval("SELECT $1::mood", "c")
        assert await connection.fetchval("SELECT $1::mood", "c") == "c"
    await on_both(two, "SELECT $1::mood", "c")


async def test_a_block_is_fresh_only_until_something_was_done(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """After a savepoint that did something, or a raw connection, nothing is restarted behind the code's back."""
    database, connection = two
    await other.execute(NUMBERS)
    await on_both(two, "SELECT * FROM t")
    async with database.scope("after"):
        for number, before in enumerate((_savepoint, _session, _cursor)):
            await other.execute(f"ALTER TABLE t ADD c{number} int")
            with pytest.raises(SchemaChanged):
                async with connection.transaction():
                    await before(connection)
                    await connection.fetch("SELECT * FROM t")
            assert await connection.fetchval("SELECT count(*) FROM t") == 1
            await on_both(two, "SELECT * FROM t")


async def _savepoint(connection: ScopedConnection) -> None:
    async with connection.transaction():
        await connection.execute("INSERT INTO t (n) VALUES (2)")


async def _session(connection: ScopedConnection) -> None:
    async with connection.session() as raw:
        await raw.execute("INSERT INTO t (n) VALUES (2)")


async def _cursor(connection: ScopedConnection) -> None:
    assert [row async for row in connection.cursor("INSERT INTO t (n) VALUES (2) RETURNING n")]


async def test_a_write_that_was_done_is_not_done_twice(two: Pool, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Outside a transaction it was committed when its rows could not be read; inside, it is rolled back and done again."""
    database, connection = two
    insert = "INSERT INTO t SELECT p FROM t LIMIT 1 RETURNING p"
    await other.execute(PAIRS)
    await on_both(two, "SELECT p FROM t")
    async with database.scope("after"):
        await other.execute("ALTER TYPE pair ADD ATTRIBUTE z int")
        with pytest.raises(CommitOutcomeUnknown, match="was executed"):
            await connection.fetch(insert)
        assert await connection.fetchval("SELECT count(*) FROM t") == 2
        assert len(await connection.fetch(insert)) == 1
        await on_both(two, "SELECT p FROM t")
        await other.execute("ALTER TYPE pair ADD ATTRIBUTE a int")
        async with connection.transaction():
            assert len(await connection.fetch(insert)) == 1
        assert await connection.fetchval("SELECT count(*) FROM t") == 4


@pytest.mark.parametrize("block", [False, True], ids=["alone", "in a transaction"])
async def test_many_rows_go_on_where_they_can_be_given_again(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]", block: bool
) -> None:
    """A list can; an iterator is used up, and its rows are not lost in silence."""
    database, connection = two
    insert = "INSERT INTO t (n) VALUES ($1) RETURNING *"
    rows = [(number,) for number in range(3)]
    await other.execute("CREATE TABLE t (n int)")

    async def run(call: Callable[[], Awaitable[Any]]) -> Any:
        if not block:
            return await call()
        async with connection.transaction():
            return await call()

    async with database.scope("many"):
        await on_both(two, insert, 0)
        await other.execute("TRUNCATE t; ALTER TABLE t ADD a int")
        assert len(await run(lambda: connection.fetchmany(insert, rows))) == 3
        await on_both(two, insert, 0)
        await other.execute("TRUNCATE t; ALTER TABLE t ADD b int")
        with pytest.raises(SchemaChanged):
            await run(lambda: connection.fetchmany(insert, iter(rows)))
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
        assert len(await run(lambda: connection.fetchmany(insert, iter(rows)))) == 3
        await other.execute("TRUNCATE t; ALTER TABLE t ALTER n TYPE bigint")
        await run(lambda: connection.executemany(insert, [(2**40,), (2**41,)]))
        assert await connection.fetchval("SELECT count(*) FROM t") == 2


@pytest.mark.parametrize("block", [False, True], ids=["alone", "in a transaction"])
async def test_a_copy_goes_on_where_its_records_can_be_given_again(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]", block: bool
) -> None:
    """The layout of the table is what asyncpg keeps of it."""
    database, connection = two
    await other.execute("CREATE TABLE t (n int)")

    async def copy(records: Any) -> str:
        if not block:
            return await connection.copy_records_to_table("t", records=records)
        async with connection.transaction():
            return await connection.copy_records_to_table("t", records=records)

    async with database.scope("copy"):
        for _ in range(2):
            await copy([(1,)])
        await other.execute("ALTER TABLE t ALTER n TYPE bigint")
        assert await copy([(1,), (2**40,)]) == "COPY 2"
        await other.execute("ALTER TABLE t ADD m int")
        assert await copy([(1, 2)]) == "COPY 1"


@pytest.mark.parametrize("awaited", [False, True], ids=["iterated", "awaited"])
async def test_a_cursor_goes_on_where_it_comes_first(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]", awaited: bool
) -> None:
    """Else the error is named, and the next transaction works."""
    database, connection = two
    query = "SELECT * FROM t"
    await other.execute(NUMBERS)

    async def read() -> int:
        if awaited:
            return len(await (await connection.cursor(query)).fetch(10))
        return len([row async for row in connection.cursor(query)])

    async with database.scope("cursor"):
        await on_both(two, query)
        await other.execute("ALTER TABLE t ADD a int")
        async with connection.transaction():
            assert await read() == 1
        await on_both(two, query)
        await other.execute("ALTER TABLE t ADD b int")
        with pytest.raises(SchemaChanged):
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (2)")
                await read()
        async with connection.transaction():
            assert await read() == 1


async def test_a_prepared_statement_of_the_codes_own_is_named(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """It belongs to the code, which prepares it again."""
    database, connection = two
    await other.execute(NUMBERS)
    async with database.scope("prepared"):
        with pytest.raises(SchemaChanged):
            async with connection.session():
                statement = await connection.prepare("SELECT * FROM t")
                assert len(await statement.fetch()) == 1
                await other.execute("ALTER TABLE t ADD a int")
                await statement.fetch()


@pytest.mark.parametrize("query", ["DEALLOCATE ALL", "DISCARD ALL", "DISCARD PLANS"])
async def test_prepared_statements_that_the_server_has_forgotten_are_prepared_again(two: Pool, query: Any) -> None:
    """The driver goes on to ask for them by name."""
    database, connection = two
    for block in (False, True):
        await on_both(two, "SELECT 1 + 1")
        async with database.scope("forget"):
            await connection.execute(query)
        await until(lambda: whole(database))
        async with database.scope("after"):
            for _ in range(2):
                if block:
                    async with connection.transaction():
                        assert await connection.fetchval("SELECT 1 + 1") == 2
                else:
                    assert await connection.fetchval("SELECT 1 + 1") == 2


async def test_a_mistake_in_the_arguments_is_one_after_preparing_again_too(two: Pool) -> None:
    """The driver's own error, and nothing is restarted for it in a transaction."""
    database, connection = two
    async with database.scope("mistake"):
        await connection.execute("CREATE TYPE pair AS (x int, y int)")
        for query, value in (("SELECT $1::int", "one"), ("SELECT $1::pair", (1, 2, 3)), ("SELECT $1::int[]", ["one"])):
            for _ in range(2):
                with pytest.raises(asyncpg.DataError):
                    await connection.fetchval(query, value)
                async with connection.transaction():
                    with pytest.raises(asyncpg.DataError):
                        await connection.fetchval(query, value)
                    assert await connection.fetchval("SELECT 1") == 1


async def test_a_codec_for_a_type_made_anew_needs_a_new_connection(
    two: Pool, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A codec is then set for the new type too, because all connections are replaced once."""
    database, connection = two
    await other.execute(MOODS)
    await on_both(two, "SELECT $1::mood", "a")
    before = {row["pid"] for rows in await on_both(two, "SELECT pg_backend_pid() AS pid") for row in rows}
    await other.execute(NEW_MOOD)
    async with database.scope("after"):
        assert await connection.fetchval("SELECT $1::mood", "c") == "c"
    await until(lambda: database.stats().totals.closed >= 2 and database.stats().idle == 2)
    after = {row["pid"] for rows in await on_both(two, "SELECT pg_backend_pid() AS pid") for row in rows}
    assert not before & after


async def test_many_at_once_heal(two: Pool, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    """While the schema changes all the time, no statement fails for it."""
    database, connection = two
    await other.execute(NUMBERS)
    stop = asyncio.Event()

    async def work() -> int:
        done = 0
        async with database.scope("work"):
            while not stop.is_set():
                async with connection.transaction():
                    done += len(await connection.fetch("SELECT * FROM t"))
        return done

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(20):
        await other.execute(f"ALTER TABLE t ADD c{number} int")
    stop.set()
    assert min(await asyncio.gather(*workers)) > 0
