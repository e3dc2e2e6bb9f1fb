"""`timeout=` of a call, next to `command_timeout` and `statement_timeout` of the pool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO

import asyncpg
import pytest

from service.database import Database, DatabaseUnavailable, ScopedConnection
from tests.database.helpers import opened, whole

SLOW = "SELECT 'done' FROM pg_sleep(1.5)"
LIMITS = {"statement_timeout": 0.5, "command_timeout": 1}
LIMIT = "SHOW statement_timeout"


@pytest.fixture
async def limited(clone_dsn: str) -> AsyncIterator[ScopedConnection]:
    """A pool of one; its statements have half a second on the server and one here, and a scope."""
    async with opened(clone_dsn, max_size=1, **LIMITS) as (database, connection):
        async with database.scope("limits"):
            await connection.execute("CREATE TABLE t (v text)", timeout=30)
            yield connection
        assert whole(database)


async def _fetched_by_cursor(connection: ScopedConnection) -> object:
    async with connection.transaction():
        cursor = await connection.cursor(SLOW)
        return (await cursor.fetch(1, timeout=30))[0][0]


async def _iterated(connection: ScopedConnection) -> object:
    async with connection.transaction():
        async for row in connection.cursor(SLOW, timeout=30):
            return row[0]
    return None


async def _executed(connection: ScopedConnection) -> object:
    return await connection.execute(SLOW, timeout=30)


async def _prepared(connection: ScopedConnection) -> object:
    async with connection.session():
        return await (await connection.prepare(SLOW)).fetchval(timeout=30)


async def _many(connection: ScopedConnection) -> object:
    return (await connection.fetchmany("SELECT $1::text FROM pg_sleep(0.5)", [("done",)], timeout=30))[0][0]


async def _copied(connection: ScopedConnection) -> object:
    output = BytesIO()
    await connection.copy_from_query(SLOW, output=output, timeout=30)
    return output.getvalue().decode().strip()


CALLS = {
    _executed: "SELECT 1",
    _many: "done",
    _copied: "done",
    _prepared: "done",
    _fetched_by_cursor: "done",
    _iterated: "done",
}


@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
async def test_a_longer_timeout_of_the_call_holds(clone_dsn: str, in_transaction: bool) -> None:
    """Longer than both limits of the pool, which are as before for the next statement on each connection."""

    async def inside(call: Callable[[ScopedConnection], Awaitable[object]]) -> object:
        async with connection.transaction():
            result = await call(connection)
            assert await connection.fetchval(LIMIT) == "500ms"
            return result

    async with opened(clone_dsn, max_size=len(CALLS), **LIMITS) as (database, connection), database.scope("limits"):
        results = await asyncio.gather(*(inside(call) if in_transaction else call(connection) for call in CALLS))
        assert results == list(CALLS.values())
        assert await asyncio.gather(*(connection.fetchval(LIMIT) for _ in CALLS)) == ["500ms"] * len(CALLS)
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetchval("SELECT pg_sleep(30)")


async def test_a_limit_of_the_transactions_own_is_not_lifted(limited: ScopedConnection) -> None:
    """What its author has said holds, and is there for the next statement too."""
    with pytest.raises(asyncpg.QueryCanceledError):
        async with limited.transaction():
            await limited.execute("SET LOCAL statement_timeout = '400ms'")
            await limited.fetchval("SELECT pg_sleep(30)", timeout=60)
    async with limited.transaction():
        await limited.execute("SET LOCAL statement_timeout = 0")
        assert await limited.fetchval(SLOW, timeout=30) == "done"
        assert await limited.fetchval(LIMIT) == "0"
    assert await limited.fetchval(LIMIT) == "500ms"


async def test_a_timeout_that_is_over_leaves_the_limits_as_they_were(clone_dsn: str) -> None:
    """It is `TimeoutError`, not the server's error, and the connection serves the next statement with its own limits."""

    async def late(connection: ScopedConnection, timeout: float) -> None:
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(30)", timeout=timeout)

    async def late_inside(connection: ScopedConnection, timeout: float) -> None:
        with pytest.raises(TimeoutError):
            async with connection.transaction():
                await connection.fetchval("SELECT pg_sleep(30)", timeout=timeout)

    async with opened(clone_dsn, max_size=4, statement_timeout=2) as (database, connection), database.scope("late"):
        await asyncio.gather(*(call(connection, timeout) for call in (late, late_inside) for timeout in (0.1, 2.1)))
        assert await asyncio.gather(*(connection.fetchval(LIMIT) for _ in range(4))) == ["2s"] * 4


async def test_a_failing_statement_with_a_longer_timeout_leaves_the_limits_as_they_were(
    limited: ScopedConnection,
) -> None:
    """One that PostgreSQL refuses, one that asyncpg refuses, and one that is cancelled."""
    with pytest.raises(asyncpg.DivisionByZeroError):
        await limited.fetchval("SELECT 1/0", timeout=30)
    assert await limited.fetchval(LIMIT) == "500ms"
    with pytest.raises(asyncpg.DataError):
        await limited.fetchval("SELECT $1::int", "no number", timeout=30)
    assert await limited.fetchval(LIMIT) == "500ms"
    async with limited.transaction():
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with limited.transaction():
                await limited.fetchval("SELECT 1/0", timeout=30)
        assert await limited.fetchval(LIMIT) == "500ms"
    task = asyncio.create_task(limited.fetchval("SELECT pg_sleep(30)", timeout=60))
    await asyncio.sleep(0.1)  # wherever it is by then
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await limited.fetchval(LIMIT) == "500ms"


async def test_a_timeout_of_nothing_is_over_at_once(limited: ScopedConnection) -> None:
    """As in asyncpg, by each method; a value that is not a number is refused."""
    for timeout in (0, -1, -0.5):
        for call in (limited.fetch, limited.fetchrow, limited.fetchval, limited.execute):
            with pytest.raises(TimeoutError):
                await call("SELECT 1", timeout=timeout)
        with pytest.raises(TimeoutError):
            await limited.executemany("INSERT INTO t VALUES ($1)", [("a",)], timeout=timeout)
        with pytest.raises(TimeoutError):
            await limited.copy_records_to_table("t", records=[("a",)], timeout=timeout)
    with pytest.raises(ValueError, match="invalid timeout"):
        await limited.execute("SELECT 1", timeout="soon")  # type: ignore[arg-type]
    assert await limited.fetchval("SELECT count(*) FROM t") == 0


async def test_an_endless_timeout_is_one(limited: ScopedConnection) -> None:
    """Longer than PostgreSQL can count."""
    assert await limited.fetchval(SLOW, timeout=10**9) == "done"


async def test_command_timeout_holds_where_the_call_names_none(clone_dsn: str) -> None:
    """`DatabaseUnavailable`, as the server did not answer; where the cancelled statement ends, the connection is kept."""
    async with opened(clone_dsn, max_size=1, command_timeout=1) as (database, connection), database.scope("command"):
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(TimeoutError):
            await connection.fetchval("SELECT pg_sleep(30)", timeout=0.1)
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid
        with pytest.raises(DatabaseUnavailable):
            await connection.fetchval("SELECT pg_sleep(30)")
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid


@pytest.mark.parametrize("limit", ["statement_timeout=500", "options=-c%20statement_timeout%3D500ms"])
async def test_the_dsns_limit_is_the_pools(clone_dsn: str, limit: str) -> None:
    """It is lifted and set back as one that the options name."""
    async with opened(f"{clone_dsn}&{limit}", max_size=1) as (database, connection), database.scope("dsn"):
        assert await connection.fetchval("SELECT 1 FROM pg_sleep(0.7)", timeout=10) == 1
        assert await connection.fetchval(LIMIT) == "500ms"


async def test_the_servers_own_limit_holds_where_the_pool_has_none(clone_dsn: str) -> None:
    """It is not the pool's to lift."""
    async with opened(clone_dsn) as (database, connection), database.scope("alter"):
        await connection.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 100', current_database()); END $$"
        )
    async with opened(clone_dsn, statement_timeout=0) as (database, connection), database.scope("limited"):
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetchval("SELECT pg_sleep(30)", timeout=60)


async def test_a_timeout_that_is_not_longer_costs_no_round_trip(
    database: Database, connection: ScopedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what asks for more than `statement_timeout` is lifted and set back."""
    sent: list[str] = []
    async with database.scope("count"), connection.session() as raw:
        raw.add_query_logger(lambda record: sent.append(record.query))
        await connection.fetchval("SELECT 1", timeout=20)
        await connection.fetchval("SELECT 2", timeout=21)
        await asyncio.sleep(0)
    assert [text.split()[0] + " " + text.split()[1] for text in sent] == [
        "SELECT 1", "SELECT set_config('statement_timeout',", "SELECT 2", "RESET statement_timeout",
    ]  # fmt: skip
