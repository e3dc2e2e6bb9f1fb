"""asyncpg's methods, on whatever connection the running code is entitled to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, LiteralString, TypeVar

import asyncpg

from service.database.cursor import Cursor
from service.database.database import Database
from service.database.held import Held
from service.database.modes import Isolation, modes
from service.database.session import Session
from service.database.transaction import Transaction

T = TypeVar("T")

_NO_OPTIONS: dict[str, Any] = {}
"""Of nearly all statements: nobody changes it."""
_BACKOFF = 0.01
"""Seconds: half of the longest wait before the second attempt; it doubles with each further one."""
_LONGEST_BACKOFF = 0.5
"""Seconds: where it stops doubling; without an end the tenth attempt would wait for up to ten seconds."""


class ScopedConnection:
    """The only thing that a repository needs to talk to PostgreSQL.

    It holds no state. Each call asks for the current scope: inside a transaction it runs there, otherwise on a
    connection that is leased for this one statement. Method names and meanings are asyncpg's; `timeout` is in seconds.

    Every method raises `NoActiveScope` or `PoolNotOpen` when there is nothing to run on, `PoolTimeout` when no connection
    becomes free, `DatabaseUnavailable` when PostgreSQL cannot be reached, and else what asyncpg raises.
    """

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(
        self,
        query: LiteralString,
        *args: Any,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> list[asyncpg.Record]:
        """All rows."""
        options = _options(timeout, record_class)
        rows: list[asyncpg.Record] = await self._database.frame().send("fetch", query, args, options)
        return rows

    async def fetchrow(
        self,
        query: LiteralString,
        *args: Any,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> asyncpg.Record | None:
        """The first row, or `None`."""
        options = _options(timeout, record_class)
        row: asyncpg.Record | None = await self._database.frame().send("fetchrow", query, args, options)
        return row

    async def fetchval(self, query: LiteralString, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or `None`."""
        return await self._database.frame().send("fetchval", query, args, {"column": column, "timeout": timeout})

    async def execute(self, query: LiteralString, *args: Any, timeout: float | None = None) -> str:
        """Run a statement, or a script without arguments; gives the status of the last, such as `INSERT 0 1`.

        A script that begins a transaction and ends it may run outside a block. Any other BEGIN, COMMIT or SAVEPOINT raises
        `asyncpg.InterfaceError`, here as in all methods: that is what `transaction()` is for, or `session()` by hand.
        """
        status: str = await self._database.frame().send("execute", query, args, {"timeout": timeout})
        return status

    async def executemany(
        self, command: LiteralString, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> None:
        """Run one statement for each sequence of arguments: all or nothing."""
        await self._database.frame().send("executemany", command, (args,), {"timeout": timeout})

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Any,
        columns: Sequence[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        where: str | None = None,
    ) -> str:
        """COPY an iterable or asynchronous iterable of tuples into a table; gives a status such as `COPY 3`.

        Raises `asyncpg.InterfaceError` when the iterable itself uses the scope's connection, which COPY keeps meanwhile.
        """
        options = {
            "records": records,
            "columns": columns,
            "schema_name": schema_name,
            "timeout": timeout,
            "where": where,
        }
        with self._database.copying() as frame:
            status: str = await frame.send("copy_records_to_table", table_name, (), options)
            return status

    def cursor(
        self,
        query: LiteralString,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> Cursor:
        """A server-side cursor, inside a transaction: `async for` it, or await it for one with `fetch`.

        Raises `asyncpg.NoActiveSQLTransactionError` outside a transaction.
        """
        frame = self._database.frame()
        if not (isinstance(frame, Held) and frame.lease.is_in_transaction()):
            raise asyncpg.NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")
        return Cursor(
            frame, self._database.frame, query, args, prefetch, {"timeout": timeout, "record_class": record_class}
        )

    def transaction(
        self, *, isolation: Isolation | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A block that commits on a normal exit and rolls back on any exception; nested, a savepoint.

        Each is entered once. A nested one may ask for what the outermost has, and raises `asyncpg.InterfaceError` when it
        asks for another isolation, or for `readonly` or `deferrable` where the outermost is not.

        Raises `ValueError` at once for an `isolation` that is none of the four.
        At its end it raises `TransactionAborted` when a swallowed error undid the work, and `CommitOutcomeUnknown` when
        the connection was lost during COMMIT.
        """
        return self._database.transaction(modes(isolation, readonly, deferrable))

    def session(self) -> Session:
        """A block with asyncpg's connection itself, exclusively; it is reset after."""
        return self._database.session()

    async def run_transaction(
        self, work: Callable[[], Awaitable[T]], *, isolation: Isolation | None = None, attempts: int = 5
    ) -> T:
        """Run `work` in a transaction, and all of it again on a serialization failure (40001) or a deadlock (40P01).

        `work` may run several times: what it does outside the database must bear that. Inside a transaction it runs
        once, as a savepoint, since only the outermost unit can be run again.

        Raises the last failure after `attempts` attempts, and what `transaction()` raises, `CommitOutcomeUnknown` without
        another attempt.
        """
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {attempts}")
        frame = self._database.frame()
        if isinstance(frame, Held) and frame.lease.is_in_transaction():
            async with self.transaction(isolation=isolation):
                return await work()
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction(isolation=isolation):
                    return await work()
            except BaseException as error:
                if attempt == attempts or not _can_be_run_again(error):
                    raise
            await asyncio.sleep(_backoff(attempt))
        raise AssertionError("unreachable")


def _options(timeout: float | None, record_class: type[asyncpg.Record] | None) -> dict[str, Any]:
    if timeout is None and record_class is None:
        return _NO_OPTIONS
    return {"timeout": timeout, "record_class": record_class}


def _can_be_run_again(error: BaseException) -> bool:
    """Whether it is a serialization failure or a deadlock, or a group in which nothing else failed by itself."""
    if isinstance(error, BaseExceptionGroup):
        return all(_can_be_run_again(each) for each in error.exceptions)
    return isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError))


def _backoff(attempt: int) -> float:
    """Seconds until the attempt after this one, at random so that those who collided do not meet again."""
    return random.uniform(0, min(_BACKOFF * 2 ** min(attempt, 10), _LONGEST_BACKOFF))  # noqa: S311 - jitter, not a secret
