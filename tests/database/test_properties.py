"""Random actions in random order: leases, transactions, savepoints, cancellations and deaths, against a model.

Hypothesis writes programs for a few tasks; a real pool on a real server runs them. The model is plain: what a block that
ended normally wrote is there, what any other block wrote is not, and only a write whose answer was lost may be either.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st

from service.database import (
    CommitOutcomeUnknown,
    Database,
    DatabaseOptions,
    DatabaseUnavailable,
    ScopedConnection,
    TransactionAborted,
)
from service.database.lease import Lease
from tests.database.helpers import until, whole

EXAMPLES = 60
WHEN_SERVED: Literal["when served"] = "when served"

INSERT = "INSERT INTO written VALUES ($1)"
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'under test' ORDER BY pid"
IN_TRANSACTION = "SELECT FROM pg_stat_activity WHERE application_name = 'under test' AND state LIKE 'idle in%'"


class PlannedError(Exception):
    """Raised by the code in a block."""


FAILURES = (PlannedError, DatabaseUnavailable, CommitOutcomeUnknown, TransactionAborted, asyncpg.PostgresError)
"""What a step may raise; anything else fails the test."""
RAW_FAILURES = (asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError, OSError)
"""What asyncpg's own connection raises when it has been lost."""


@dataclass(frozen=True)
class Write:
    """One row."""


@dataclass(frozen=True)
class Fail:
    """A statement that the server refuses; the code goes on as if nothing was."""


@dataclass(frozen=True)
class Die:
    """The connection is ended by the server while it is in use."""


@dataclass(frozen=True)
class Pause:
    """The code does something else, for some milliseconds."""

    milliseconds: int


@dataclass(frozen=True)
class Transaction:
    """A transaction, or a savepoint inside another."""

    steps: "Steps"
    raises: bool


@dataclass(frozen=True)
class Session:
    """The connection itself, with a setting left behind."""

    steps: "Steps"


@dataclass(frozen=True)
class Together:
    """Child tasks in the same scope or block."""

    children: tuple["Steps", ...]


Step = Write | Fail | Die | Pause | Transaction | Session | Together
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Worker:
    """A task with its own scope, which may be cancelled."""

    steps: Steps
    cancelled: int | Literal["when served"] | None
    """After this number of milliseconds, or when a connection arrives for a waiter."""


def _sequences(step: st.SearchStrategy[Step]) -> st.SearchStrategy[Steps]:
    return st.lists(step, min_size=1, max_size=4).map(tuple)


_simple: st.SearchStrategy[Step] = st.one_of(
    st.just(Write()), st.just(Write()), st.builds(Pause, st.integers(0, 3)), st.just(Fail()), st.just(Die())
)
_steps = _sequences(
    st.recursive(
        _simple,
        lambda inner: st.one_of(
            st.builds(Transaction, _sequences(inner), st.booleans()),
            st.builds(Session, _sequences(inner)),
            st.builds(Together, st.lists(_sequences(inner), min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=12,
    )
)
_workers = st.lists(
    st.builds(Worker, _steps, st.none() | st.integers(0, 20) | st.just(WHEN_SERVED)), min_size=1, max_size=6
)
_deaths = st.lists(st.integers(0, 10), max_size=3)
"""After how many milliseconds, from one to the next, an idle or busy connection is ended from outside."""


@dataclass
class Model:
    """The expected state, from the tasks' point of view."""

    committed: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    """Written by a statement or a COMMIT without an answer."""
    users: set[int] = field(default_factory=set)
    """The backends that a block uses."""
    arrived: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    unlucky: list[asyncio.Task[None]] = field(default_factory=list)
    """Who is cancelled when the next one is served."""
    numbers: int = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers


class Run:
    """One program on one pool."""

    def __init__(self, database: Database, model: Model) -> None:
        self._database = database
        self._connection = ScopedConnection(database)
        self._model = model

    async def worker(self, worker: Worker) -> None:
        async with self._database.scope(str(worker.cancelled)):
            await self._all(worker.steps, None)

    async def _all(self, steps: Steps, written: set[int] | None) -> None:
        """`written`: what the transaction around these steps wrote; `None` outside any."""
        for step in steps:
            stats = self._database.stats()
            assert stats.leased <= stats.size <= self._database.options.max_size
            with suppress(*FAILURES):
                await self._one(step, written)

    async def _one(self, step: Step, written: set[int] | None) -> None:
        match step:
            case Write():
                await self._write(written)
            case Fail():
                await self._connection.fetchval("SELECT 1 / 0")
            case Die():
                await self._connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
            case Pause(milliseconds):
                await asyncio.sleep(milliseconds / 1000)
            case Transaction():
                await self._transaction(step, written)
            case Session(steps):
                async with self._connection.session() as raw:
                    with suppress(*RAW_FAILURES):
                        await raw.execute("SET work_mem = '1MB'")
                    await self._all(steps, written)
            case Together(children):
                await self._together(children, written)

    async def _write(self, written: set[int] | None) -> None:
        number = self._model.number()
        try:
            await self._connection.execute(INSERT, number)
        except (DatabaseUnavailable, asyncio.CancelledError):
            if written is None:
                self._model.unknown.add(number)
            raise
        (self._model.committed if written is None else written).add(number)

    async def _transaction(self, step: Transaction, outer: set[int] | None) -> None:
        written: set[int] = set()
        at_the_end = False
        try:
            async with self._connection.transaction():
                with _alone(self._model.users, await self._backend(), nested=outer is not None):
                    await self._all(step.steps, written)
                if step.raises:
                    raise PlannedError
                at_the_end = True
        except (CommitOutcomeUnknown, asyncio.CancelledError):
            if outer is None and at_the_end:
                self._model.unknown |= written
            raise
        (self._model.committed if outer is None else outer).update(written)

    async def _backend(self) -> int:
        pid: int = await self._connection.fetchval("SELECT pg_backend_pid()")
        return pid

    async def _together(self, children: tuple[Steps, ...], written: set[int] | None) -> None:
        tasks = [asyncio.create_task(self._all(steps, written)) for steps in children]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise


@contextmanager
def _alone(users: set[int], pid: int, *, nested: bool) -> Iterator[None]:
    """No other transaction uses this backend at the same time."""
    if nested:
        yield
        return
    assert pid not in users, "two users of one connection"
    users.add(pid)
    try:
        yield
    finally:
        users.discard(pid)


def _watch_the_queue(database: Database, model: Model) -> None:
    """Record waiters and served tasks, with a ticket for each, and check that no task bypasses the queue."""
    pool = database.pool()
    join_queue, leave_queue, acquire_now, serve = pool.join_queue, pool.leave_queue, pool.acquire_now, pool._queue.serve
    tickets = {}

    def now(holder: str) -> Lease | None:
        lease = acquire_now(holder)
        assert lease is None or not pool._queue, "a task was served before the waiters"
        return lease

    def joining() -> asyncio.Future[Lease]:
        waiter = join_queue()
        tickets[waiter] = str(model.number())
        model.arrived.append(tickets[waiter])
        if database.current_scope().name == WHEN_SERVED and (task := asyncio.current_task()):
            model.unlucky.append(task)
        return waiter

    def leaving(waiter: asyncio.Future[Lease], *, served: bool) -> None:
        ticket = tickets.pop(waiter)
        if served:
            model.served.append(ticket)
        leave_queue(waiter, served=served)

    def unluckily(item: Lease) -> bool:
        served = serve(item)
        while served and model.unlucky:
            model.unlucky.pop().cancel()
        return served

    pool.join_queue, pool.leave_queue, pool.acquire_now = joining, leaving, now  # type: ignore[method-assign]
    pool._queue.serve = unluckily  # type: ignore[method-assign]


async def _end_connections(dsn: str, deaths: list[int]) -> None:
    other = await asyncpg.connect(dsn)
    for number, milliseconds in enumerate(deaths):
        await asyncio.sleep(milliseconds / 1000)
        if backends := await other.fetch(BACKENDS):
            await other.execute("SELECT pg_terminate_backend($1)", backends[number % len(backends)]["pid"])
    await other.close()


async def _left_behind(database: Database, size: int) -> set[str]:
    """The setting that sessions change, on every connection."""
    connection = ScopedConnection(database)
    async with database.scope("after"):
        for _ in range(10):
            try:
                return set(await asyncio.gather(*(connection.fetchval("SHOW work_mem") for _ in range(size))))
            except DatabaseUnavailable:  # ended from outside a moment ago
                await asyncio.sleep(0.05)
    raise AssertionError("the pool does not come back")


async def _run(dsn: str, size: int, workers: list[Worker], deaths: list[int]) -> None:
    model = Model()
    other = await asyncpg.connect(dsn)
    await other.execute("TRUNCATE written")
    database = Database(DatabaseOptions(min_size=0, max_size=size, acquire_timeout=5, application_name="under test"))
    await database.open(dsn)
    _watch_the_queue(database, model)
    run = Run(database, model)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(_end_connections(dsn, deaths))
        for worker in workers:
            task = group.create_task(run.worker(worker))
            if isinstance(worker.cancelled, int):
                asyncio.get_running_loop().call_later(worker.cancelled / 1000, task.cancel)
    await until(lambda: whole(database))
    assert database.stats().size <= size
    assert len(await other.fetch(BACKENDS)) <= size + len(deaths)  # one that was ended may be seen for a moment
    assert await other.fetch(IN_TRANSACTION) == []
    assert await _left_behind(database, size) == {"4MB"}
    await database.close()
    rows = Counter(row["n"] for row in await other.fetch("SELECT n FROM written"))
    await other.close()
    assert max(rows.values(), default=1) == 1
    assert model.committed <= rows.keys() <= model.committed | model.unknown
    in_order = [ticket for ticket in model.arrived if ticket in set(model.served)]
    assert model.served == in_order, "first come was not first served"
    event(f"{'a task' if model.served else 'no task'} waited")
    event(f"{'some' if model.unknown else 'no'} outcome unknown")


@pytest.fixture(scope="module")
def dsn(server_dsn: str) -> Iterator[str]:
    """The DSN of a database for all programs."""

    async def execute(dsn: str, sql: str) -> None:
        connection = await asyncpg.connect(dsn)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(execute(server_dsn, "CREATE DATABASE properties"))
    own = server_dsn.replace("/postgres?", "/properties?")
    asyncio.run(execute(own, "CREATE TABLE written (n int NOT NULL)"))
    yield own
    asyncio.run(execute(server_dsn, "DROP DATABASE properties WITH (FORCE)"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),  # making a failing program smaller could take minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@given(size=st.integers(1, 3), workers=_workers, deaths=_deaths)
@example(size=1, workers=[Worker((Transaction((Write(), Die(), Write()), raises=False),), None)] * 3, deaths=[])
@example(size=1, workers=[Worker((Transaction((Write(), Fail()), raises=False), Write()), 2)] * 6, deaths=[0, 1, 1])
@example(
    size=1, workers=[Worker((Write(),), cancelled) for cancelled in (None, WHEN_SERVED, None, WHEN_SERVED)], deaths=[]
)
def test_any_program_leaves_the_pool_whole_and_the_rows_as_the_model_says(
    dsn: str, size: int, workers: list[Worker], deaths: list[int]
) -> None:
    """One user of a connection, no more than the maximum, FIFO, no leak, and the rows of the model."""
    asyncio.run(_run(dsn, size, workers, deaths))
