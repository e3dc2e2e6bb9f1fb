"""The pool: opening, fairness, limits, closing, and its figures."""

import asyncio
import logging
from pathlib import Path
from time import monotonic

import asyncpg
import pytest

from service.database import (
    Database,
    DatabaseOptions,
    DatabaseUnavailable,
    NoActiveScope,
    PoolNotOpen,
    PoolTimeout,
    ScopedConnection,
    WrongEventLoop,
)
from tests.database.helpers import BACKEND, hold, opened, until, whole
from tests.support.sql import fetchval


async def test_use_before_opening_is_an_error_that_says_what_to_do() -> None:
    """Building a database does no I/O; a statement before `open` raises `PoolNotOpen`, in a scope or outside one."""
    database = Database()
    connection = ScopedConnection(database)
    with pytest.raises(PoolNotOpen, match="init_resources"):
        await connection.fetchval("SELECT 1")
    async with database.scope("early"):
        with pytest.raises(PoolNotOpen, match="init_resources"):
            await connection.fetchval("SELECT 1")
    assert database.stats().size == 0


async def test_use_after_closing_is_an_error(clone_dsn: str) -> None:
    """A closed pool refuses statements, and can be opened again."""
    database = Database(DatabaseOptions(min_size=1))
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    await database.close()
    await database.close()
    async with database.scope("late"):
        with pytest.raises(PoolNotOpen):
            await connection.fetchval("SELECT 1")
    await database.open(clone_dsn)
    with pytest.raises(RuntimeError, match="open already"):
        await database.open(clone_dsn)
    async with database.scope("again"):
        assert await connection.fetchval("SELECT 1") == 1
    await database.close()


async def test_there_are_never_more_than_max_size(clone_dsn: str) -> None:
    """Fifty statements at once share `max_size` connections, and all are answered."""
    async with opened(clone_dsn, max_size=3) as (database, connection), database.scope("many"):
        pids = await asyncio.gather(*(connection.fetchval(f"{BACKEND}, pg_sleep(0.01)") for _ in range(50)))
        assert len(set(pids)) == 3
        assert database.stats().size == 3


async def test_waiters_are_served_in_the_order_in_which_they_came(clone_dsn: str) -> None:
    """First come, first served."""
    served: list[int] = []
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("queue"):

        async def work(number: int) -> None:
            async with connection.transaction():
                served.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(work(number) for number in range(30)))
    assert served == list(range(30))


async def test_who_asks_is_told_once_when_nobody_waits_any_more(clone_dsn: str) -> None:
    """Not while a task waits; at once if no task waits; and also when the last one times out."""
    told: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("busy"):
        assert len(database.waiters) == 0
        database.when_nobody_waits(lambda: told.append("at once"))
        await asyncio.sleep(0)
        assert told == ["at once"]
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
        waiters = [asyncio.create_task(connection.fetchval("SELECT 1")) for _ in range(3)]
        await until(lambda: database.stats().waiting == 3)
        database.when_nobody_waits(lambda: told.append("served"))
        assert len(database.waiters) == 3
        waiters.pop().cancel()
        await asyncio.sleep(0.05)
        assert told == ["at once"]
        leave.set()
        await asyncio.gather(holder, *waiters)
        assert told == ["at once", "served"]
        await connection.fetchval("SELECT 1")
    assert told == ["at once", "served"]


async def test_who_asks_is_told_when_the_last_waiter_gives_up(clone_dsn: str) -> None:
    """By the acquire timeout or by a cancellation."""
    told: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()
    async with opened(clone_dsn, max_size=1, acquire_timeout=0.1) as (database, connection), database.scope("busy"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
        for name in ("timeout", "cancellation"):
            waiter = asyncio.create_task(connection.fetchval("SELECT 1"))
            await until(lambda: len(database.waiters) == 1)
            database.when_nobody_waits(lambda name=name: told.append(name))  # type: ignore[misc]
            if name == "cancellation":
                waiter.cancel()
            with pytest.raises((PoolTimeout, asyncio.CancelledError)):
                await waiter
            await asyncio.sleep(0)
            assert told[-1] == name
        leave.set()
        await holder


async def test_without_a_pool_nobody_waits_and_nobody_can_be_told() -> None:
    """As for all else before it is opened."""
    database = Database(DatabaseOptions())
    assert len(database.waiters) == 0
    with pytest.raises(PoolNotOpen):
        database.when_nobody_waits(lambda: None)


async def test_waiting_ends_with_pool_timeout(clone_dsn: str) -> None:
    """Past `acquire_timeout` a waiter gets `PoolTimeout`, and leaves no trace in the queue."""
    entered, leave = asyncio.Event(), asyncio.Event()
    async with opened(clone_dsn, max_size=1, acquire_timeout=0.1) as (database, connection), database.scope("slow"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
        started = monotonic()
        with pytest.raises(PoolTimeout, match=r"0\.1 s"):
            await connection.fetchval("SELECT 1")
        assert monotonic() - started > 0.09
        assert database.stats().waiting == 0
        leave.set()
        await holder
        assert await connection.fetchval("SELECT 1") == 1
        assert database.stats().totals.timeouts == 1


async def test_each_waits_for_its_own_time(clone_dsn: str) -> None:
    """Later waiters, and waiters that leave early, change nothing for others."""
    entered, leave = asyncio.Event(), asyncio.Event()
    async with opened(clone_dsn, max_size=1, acquire_timeout=0.2) as (database, connection), database.scope("slow"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()

        async def wait() -> float:
            started = monotonic()
            with pytest.raises(PoolTimeout):
                await connection.fetchval("SELECT 1")
            return monotonic() - started

        for _ in range(2):  # the second time, after the queue was empty
            waiters = []
            for _ in range(5):
                waiters.append(asyncio.create_task(wait()))
                await asyncio.sleep(0.03)
            impatient = waiters.pop(0)
            impatient.cancel()
            assert all(waited > 0.19 for waited in await asyncio.gather(*waiters))
            assert impatient.cancelled()
        leave.set()
        await holder
        assert await connection.fetchval("SELECT 1") == 1


async def test_past_max_waiting_the_next_is_refused_at_once(clone_dsn: str) -> None:
    """When `max_waiting` others wait already, `PoolTimeout` comes without a wait."""
    entered, leave = asyncio.Event(), asyncio.Event()
    async with opened(clone_dsn, max_size=1, max_waiting=2) as (database, connection), database.scope("crowd"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
        waiting = [asyncio.create_task(connection.fetchval("SELECT 1")) for _ in range(2)]
        await until(lambda: database.stats().waiting == 2)
        with pytest.raises(PoolTimeout, match="max_waiting"):
            await connection.fetchval("SELECT 1")
        leave.set()
        assert await asyncio.gather(*waiting) == [1, 1]
        await holder


async def test_a_cancelled_waiter_does_not_swallow_a_connection(clone_dsn: str) -> None:
    """A waiter that is cancelled in the moment in which its connection comes passes it on."""
    async with opened(clone_dsn, max_size=1) as (database, connection), database.scope("cancel"):
        for _ in range(20):
            entered, leave = asyncio.Event(), asyncio.Event()
            holder = asyncio.create_task(hold(connection, entered, leave))
            await entered.wait()
            waiter = asyncio.create_task(connection.fetchval("SELECT 1"))
            await until(lambda: database.stats().waiting == 1)
            leave.set()
            await holder
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)
            await until(lambda: whole(database))
        assert await connection.fetchval("SELECT 1") == 1


async def test_closing_waits_for_work_in_hand(clone_dsn: str) -> None:
    """A transaction that is under way at the start of closing commits."""
    database = Database(DatabaseOptions(min_size=1, max_size=1))
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.scope("writer"), connection.transaction():
            await connection.execute("CREATE TABLE kept ()")
            entered.set()
            await leave.wait()
            await connection.execute("CREATE TABLE kept_too ()")

    writer = asyncio.create_task(write())
    await entered.wait()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    leave.set()
    await asyncio.gather(writer, closing)
    assert await fetchval(clone_dsn, "SELECT to_regclass('kept_too') IS NOT NULL")


async def test_closing_is_bounded_and_names_who_holds_on(clone_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """After `shutdown_timeout` the scopes that still hold a connection are named, and cut off."""
    database = Database(DatabaseOptions(min_size=1, shutdown_timeout=0.1))
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def linger() -> None:
        async with database.scope("the lingerer"):
            await hold(connection, entered, leave)

    lingerer = asyncio.create_task(linger())
    await entered.wait()
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(60):
            await database.close()
    assert "the lingerer" in caplog.text
    leave.set()
    with pytest.raises(DatabaseUnavailable, match="nothing was saved"):
        await lingerer
    async with asyncio.timeout(60):
        while await fetchval(clone_dsn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poolkeeper'"):
            await asyncio.sleep(0.02)


async def test_those_who_still_wait_when_the_pool_is_closed_are_told(clone_dsn: str) -> None:
    """A waiter that closing cannot serve gets `PoolNotOpen`, and new work is refused at once."""
    database = Database(DatabaseOptions(min_size=1, max_size=1, shutdown_timeout=0.2))
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    entered, leave = asyncio.Event(), asyncio.Event()
    async with database.scope("two"):
        holder = asyncio.create_task(hold(connection, entered, leave))
        await entered.wait()
        waiter = asyncio.create_task(connection.fetchval("SELECT 1"))
        await until(lambda: database.stats().waiting == 1)
        closing = asyncio.create_task(database.close())
        await until(lambda: database.is_closing)
        with pytest.raises(PoolNotOpen, match="closing"):
            await connection.fetchval("SELECT 1")
        await closing
        with pytest.raises(PoolNotOpen, match="closed while this waited"):
            await waiter
        leave.set()
        with pytest.raises(DatabaseUnavailable):
            await holder


async def test_those_who_wait_when_closing_starts_are_served_if_time_allows(clone_dsn: str) -> None:
    """Closing waits until the queue is empty."""
    database = Database(DatabaseOptions(min_size=1, max_size=1))
    connection = ScopedConnection(database)
    await database.open(clone_dsn)
    async with database.scope("queue"):
        waiting = [asyncio.create_task(connection.fetchval("SELECT pg_sleep(0.01), 1", column=1)) for _ in range(10)]
        await until(lambda: database.stats().waiting > 0)
        await database.close()
        assert await asyncio.gather(*waiting) == [1] * 10


async def test_closing_does_not_wait_for_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is still being opened is given up."""

    async def connect(*_: object, **__: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(asyncpg, "connect", connect)
    options = {"shutdown_timeout": 0.1, "connect_timeout": 0.1, "acquire_timeout": 60}
    database = Database(DatabaseOptions(min_size=0, **options))  # type: ignore[arg-type]
    await database.open("postgresql://h/d")
    async with database.scope("hopeful"):
        waiter = asyncio.create_task(ScopedConnection(database).fetchval("SELECT 1"))
        await until(lambda: database.stats().waiting == 1)
        async with asyncio.timeout(30):
            await database.close()
        with pytest.raises(PoolNotOpen):
            await waiter


async def test_an_opening_that_is_cancelled_leaves_nothing_open(server_dsn: str) -> None:
    """Cancelling `open` leaves no connection and no task behind."""
    for delay in (0, 0.001, 0.003):
        database = Database(DatabaseOptions(min_size=4))
        opening = asyncio.create_task(database.open(server_dsn))
        await asyncio.sleep(delay)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert not database.is_open or opening.done()
        await database.close()
    assert [task.get_name() for task in asyncio.all_tasks() if "pool" in task.get_name()] == []


async def test_the_death_of_a_task_of_the_pool_is_logged(
    clone_dsn: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the pool's own work does not pass in silence."""
    async with opened(clone_dsn) as (database, _):

        def broken() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(database.pool(), "_check_idle", broken)
        await until(lambda: "keeper failed" in caplog.text)


async def test_another_event_loop_is_refused_in_words(database: Database, connection: ScopedConnection) -> None:
    """The error in a thread with another loop says to use the pool's."""
    async with database.scope("thread"):

        def in_thread() -> None:
            asyncio.run(connection.fetchval("SELECT 1"))

        with pytest.raises(WrongEventLoop, match="from_thread"):
            await asyncio.to_thread(in_thread)


async def test_the_pool_can_be_looked_at(database: Database, connection: ScopedConnection) -> None:
    """`stats` counts connections and waits; a scope knows its statements, its wait and its hold time."""
    async with database.scope("look") as scope:
        await asyncio.gather(*(connection.fetchval("SELECT pg_sleep(0.05)") for _ in range(8)))
        async with connection.transaction():
            assert database.stats().leased == 1
            await connection.fetchval("SELECT 1")
    assert scope.statements == 9
    assert scope.wait_time > 0.05
    assert scope.hold_time > 0.4
    stats = database.stats()
    assert (stats.size, stats.leased, stats.waiting) == (4, 0, 0)
    assert stats.totals.leases == 9
    assert stats.totals.opened == 4
    assert stats.totals.wait_time == pytest.approx(scope.wait_time)
    assert stats.totals.hold_time == pytest.approx(scope.hold_time)


async def test_a_long_lease_is_logged_once_with_scope_and_line(
    clone_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """While it is still held, so that one that never ends is seen too; with the line of code that took it."""
    async with opened(clone_dsn, slow_lease=0.05) as (database, connection), database.scope("the slow one"):
        async with connection.transaction():  # this line
            await until(lambda: "the slow one has held a connection" in caplog.text)
        await connection.fetchval("SELECT 1")
    assert caplog.text.count("has held a connection") == 1
    taken_at = next(number for number, line in enumerate(_own_lines(), 1) if line.endswith("# this line"))
    where = f"taken at {__file__}:{taken_at} in test_a_long_lease_is_logged_once_with_scope_and_line"
    assert where in caplog.text


async def test_a_statement_that_is_a_task_of_its_own_is_logged_without_a_line(
    clone_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No line of code waits for it."""
    async with opened(clone_dsn, slow_lease=0.01) as (database, connection), database.scope("the slow one"):
        await asyncio.gather(connection.fetchval("SELECT pg_sleep(0.05)"))
    assert "the slow one has held a connection" in caplog.text
    assert "taken at" not in caplog.text


async def test_slow_leases_need_not_be_logged(clone_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """With `slow_lease` 0 nothing is noted and nothing is said."""
    async with opened(clone_dsn, slow_lease=0) as (database, connection), database.scope("the slow one"):
        await connection.fetchval("SELECT pg_sleep(0.05)")
    assert caplog.text == ""


def _own_lines() -> list[str]:
    return Path(__file__).read_text().splitlines()


async def test_options_that_contradict_each_other_are_refused() -> None:
    """`min_size` cannot be larger than `max_size`."""
    with pytest.raises(ValueError, match=r"min_size \(5\) is larger than max_size \(2\)"):
        DatabaseOptions(min_size=5, max_size=2)


async def test_outside_a_scope_the_error_says_what_to_write(database: Database, connection: ScopedConnection) -> None:
    """`NoActiveScope` shows the line that is missing."""
    with pytest.raises(NoActiveScope, match=r"async with database\.scope\("):
        await connection.fetchval("SELECT 1")
    with pytest.raises(NoActiveScope, match=r"async with database\.scope\("):
        database.current_scope()
    with pytest.raises(NoActiveScope, match="has not begun"):
        _ = connection.transaction().scope
