"""A statement that is cancelled ends in PostgreSQL too, even if the first cancel request is lost."""

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import monotonic

import asyncpg
import pytest

from service.database import Database, DatabaseOptions, DatabaseUnavailable, ScopedConnection
from tests.database.helpers import BACKEND, opened, until, whole

RUNNING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def ignoring(cancels: int) -> str:
    """A statement that ignores this many cancel requests, as if they had come too early."""
    return f"""
        DO $$
        DECLARE seen int := 0;
        BEGIN
            WHILE seen <= {cancels} LOOP
                BEGIN PERFORM pg_sleep(60);
                EXCEPTION WHEN query_canceled THEN seen := seen + 1; END;
            END LOOP;
            RAISE query_canceled;
        END $$
    """


FEW, ALL = ignoring(2), ignoring(1_000_000)


@pytest.fixture
async def one(clone_dsn: str) -> AsyncIterator[tuple[Database, ScopedConnection]]:
    """A pool of one connection; its next user must not wait."""
    async with opened(clone_dsn, max_size=1, acquire_timeout=10, statement_timeout=0) as (database, connection):
        yield database, connection
        await until(lambda: whole(database))


@pytest.fixture
async def other(clone_dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection outside the pool, to look with."""
    connection = await asyncpg.connect(clone_dsn)
    yield connection
    await connection.close()


One = tuple[Database, ScopedConnection]
Other = "asyncpg.Connection[asyncpg.Record]"


async def runs(other: "asyncpg.Connection[asyncpg.Record]", pid: int) -> None:
    """Wait until the process runs a statement."""
    async with asyncio.timeout(60):
        while not await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", pid
        ):
            await asyncio.sleep(0.005)


async def test_a_statement_is_cancelled_again_until_it_ends(
    one: One, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The connection is kept, and the next statement finds it idle."""
    database, connection = one
    async with database.scope("cancelled"):
        pid = await connection.fetchval(BACKEND)
        slow = asyncio.create_task(connection.execute(FEW))
        await runs(other, pid)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert await connection.fetchval(BACKEND) == pid


async def test_a_statement_that_does_not_end_loses_its_server_process(
    one: One, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The pool opens another connection, which ends the process of the first: there is one again."""
    database, connection = one
    async with database.scope("cancelled"):
        pid = await connection.fetchval(BACKEND)
        slow = asyncio.create_task(connection.execute(ALL))
        await runs(other, pid)
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        successor = await connection.fetchval(BACKEND)
    assert successor != pid
    await _only(other, {successor})


async def _only(other: "asyncpg.Connection[asyncpg.Record]", pids: set[int]) -> None:
    async with asyncio.timeout(60):
        while {row["pid"] for row in await other.fetch(RUNNING)} != pids:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("statement", [FEW, ALL], ids=["few", "all"])
async def test_a_timeout_of_the_callers_is_a_cancel_too(
    one: One, other: "asyncpg.Connection[asyncpg.Record]", statement: str
) -> None:
    """`TimeoutError` at once; then as with a cancelled task."""
    database, connection = one
    async with database.scope("late"):
        pid = await connection.fetchval(BACKEND)
        with pytest.raises(TimeoutError):
            await connection.execute(statement, timeout=0.2)
        successor = await connection.fetchval(BACKEND)
    assert (successor == pid) is (statement is FEW)
    await _only(other, {successor})


async def test_the_command_timeout_is_a_cancel_too(clone_dsn: str, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    """What the client gave up on does not go on in the server; where it ends, even the connection is kept."""
    options = {"max_size": 1, "acquire_timeout": 10, "statement_timeout": 0, "command_timeout": 0.3}
    async with opened(clone_dsn, **options) as (database, connection), database.scope("late"):
        pid = await connection.fetchval(BACKEND)
        with pytest.raises(DatabaseUnavailable, match="in time"):
            await connection.execute(FEW)
        assert await connection.fetchval(BACKEND) == pid
        with pytest.raises(DatabaseUnavailable, match="in time"):
            await connection.execute(ALL)
        successor = await connection.fetchval(BACKEND)
        assert successor != pid
        await _only(other, {successor})


@pytest.mark.parametrize("statement", [FEW, ALL], ids=["few", "all"])
@pytest.mark.parametrize("nested", [False, True], ids=["transaction", "savepoint"])
async def test_a_transaction_whose_statement_goes_on_is_rolled_back(
    one: One, other: "asyncpg.Connection[asyncpg.Record]", statement: str, nested: bool
) -> None:
    """A savepoint too if the statement can be ended; if not, the whole transaction is lost, and its error says that."""
    database, connection = one
    async with database.scope("setup"):
        await connection.execute("CREATE TABLE t (n int)")
    seen: object = None
    async with database.scope("cancelled"):
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES (1)")
                if nested:
                    with pytest.raises(TimeoutError):
                        async with connection.transaction():
                            await connection.execute(statement, timeout=0.2)
                    await connection.execute("INSERT INTO t VALUES (2)")
                else:
                    await connection.execute(statement, timeout=0.2)
        except Exception as error:  # noqa: BLE001 - looked at below
            seen = type(error)
        rows = await connection.fetchval("SELECT array_agg(n ORDER BY n) FROM t")
        pid = await connection.fetchval(BACKEND)
    kept = nested and statement is FEW
    assert seen is (None if kept else DatabaseUnavailable if nested else TimeoutError)
    assert rows == ([1, 2] if kept else None)
    await _only(other, {pid})


async def test_a_statement_after_a_caught_timeout_waits_for_the_end_of_the_first(one: One) -> None:
    """In one transaction; no cancel request that is late hits it."""
    database, connection = one
    async with database.scope("caught"), connection.transaction():
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with connection.transaction():
                    with pytest.raises(TimeoutError):
                        await connection.execute(FEW, timeout=0.05)
                    with pytest.raises(asyncpg.InFailedSQLTransactionError):
                        await connection.fetchval("SELECT 1")
                    raise TimeoutError
            assert await connection.fetchval("SELECT 1") == 1


async def test_what_a_session_leaves_running_is_ended(one: One, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    """On asyncpg's connection the pool has seen nothing of the statement."""
    database, connection = one
    async with database.scope("session"):
        async with connection.session() as raw:
            with pytest.raises(TimeoutError):
                await raw.execute(ALL, timeout=0.2)
        pid = await connection.fetchval(BACKEND)
    await _only(other, {pid})


async def test_a_process_that_has_ended_by_itself_is_no_matter(
    one: One, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Only the server process of the pool's own connection is ended, and no other client's."""
    database, connection = one
    async with database.scope("gone"):
        pid = await connection.fetchval(BACKEND)
        async with connection.session():
            await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        await until(lambda: database.stats().size == 0 or database.stats().idle)
        assert await connection.fetchval("SELECT 1") == 1
    assert await other.fetchval("SELECT 1") == 1


async def test_what_is_cut_off_when_the_pool_closes_ends_in_postgresql(
    clone_dsn: str, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """No task waits for it any more, and no connection is left to end it with."""
    async with opened(clone_dsn, shutdown_timeout=0.1, statement_timeout=0) as (database, connection):

        async def lingers() -> None:
            async with database.scope("lingers"), connection.transaction():
                await connection.execute("SELECT pg_sleep(60)")

        lingering = asyncio.create_task(lingers())
        async with asyncio.timeout(60):
            while not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                await asyncio.sleep(0.005)
    with pytest.raises(DatabaseUnavailable):
        await lingering
    await _only(other, set())


async def test_a_process_is_ended_in_another_role_than_the_one_that_logged_in(
    clone_dsn: str, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """As with Vault's `ALTER ROLE ... SET role`: the role of the statements may not end processes."""
    await other.execute("""
        DO $$ BEGIN
            IF to_regrole('login_for_a_day') IS NULL THEN
                CREATE ROLE owner_of_all; CREATE ROLE login_for_a_day LOGIN; GRANT owner_of_all TO login_for_a_day;
                ALTER ROLE login_for_a_day SET role TO owner_of_all;
            END IF;
        END $$
    """)
    dsn = clone_dsn.replace("postgres:@", "login_for_a_day:@")
    async with opened(dsn, max_size=1, acquire_timeout=10, statement_timeout=0) as (database, connection):
        async with database.scope("other role"):
            assert await connection.fetchval("SELECT current_user") == "owner_of_all"
            pid = await connection.fetchval(BACKEND)
            with pytest.raises(TimeoutError):
                await connection.execute(ALL, timeout=0.2)
            successor = await connection.fetchval(BACKEND)
            assert successor != pid
            await _only(other, {successor})
            assert await connection.fetchval("SELECT current_user") == "owner_of_all"


async def test_while_no_connection_can_be_opened_a_stray_is_tried_once_a_second(
    clone_dsn: str, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Not at once again and again; and when one can be opened, the process is ended."""
    attempts: list[float] = []
    shut = False

    async def prepare() -> None:
        if shut:
            attempts.append(monotonic())
            raise ConnectionRefusedError

    database = Database(DatabaseOptions(min_size=0, max_size=1, statement_timeout=0))
    connection = ScopedConnection(database)
    await database.open(clone_dsn, prepare=prepare)
    async with database.scope("cancelled"):
        await connection.fetchval(BACKEND)
        shut = True
        with pytest.raises(TimeoutError):
            await connection.execute(ALL, timeout=0.2)
        await until(lambda: len(attempts) >= 3, seconds=20)
        assert attempts[2] - attempts[1] > 0.5
        shut = False
        await until(lambda: database.stats().idle, seconds=20)
        await _only(other, {await connection.fetchval(BACKEND)})
    await database.close()


def _burn() -> None:
    while True:
        sum(range(10_000))


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """This number of other processes that compute all the time."""
    others = [multiprocessing.get_context("spawn").Process(target=_burn, daemon=True) for _ in range(processes)]
    for each in others:
        each.start()
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.join()


@pytest.mark.alone
async def test_on_a_busy_machine_the_next_user_does_not_wait(one: One) -> None:
    """Statements are cancelled at any moment; each next one is answered long before the cancelled one would have ended."""
    database, connection = one
    with busy(4):
        async with database.scope("busy"):
            for number in range(60):
                slow = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
                await asyncio.sleep(random.random() * 0.01)
                slow.cancel()
                await asyncio.gather(slow, return_exceptions=True)
                assert await connection.fetchval("SELECT $1::int", number) == number
