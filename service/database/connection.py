"""The `ScopedConnection`: asyncpg's methods, on the connection of the current scope or block."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, LiteralString, NoReturn, TypeVar

import asyncpg

from service.database.block import Block
from service.database.copy import CopyMethods
from service.database.cursor import BlockAccess, CursorFactory
from service.database.database import Database
from service.database.errors import SchemaChanged
from service.database.prepared import PreparedStatement
from service.database.session import Session
from service.database.stale_statements import SinglePass
from service.database.transaction import Transaction
from service.database.transaction_modes import Isolation, modes

T = TypeVar("T")

_NO_OPTIONS: dict[str, Any] = {}
"""Shared by statements without options; never changed."""
_FIRST_BACKOFF_SECONDS = 0.01
"""Half of the maximum wait before the second attempt. It doubles with each further attempt."""
_MAX_BACKOFF_SECONDS = 0.5
"""Where it stops doubling: otherwise the tenth attempt would wait for up to ten seconds."""


class ScopedConnection(CopyMethods):
    """The only thing that a repository needs to talk to PostgreSQL.

    It holds no state. Each call asks for the current scope: inside a transaction it runs there, otherwise on a
    connection that is leased for this one statement. Method names and meanings are asyncpg's.

    `timeout` is in seconds, for the statement without its wait for a connection. When it expires, the statement is cancelled
    and raises `TimeoutError`. It takes precedence over the pool's `command_timeout` and `statement_timeout`; if it is longer
    than the latter, it costs two more round trips. A shorter `statement_timeout` that the transaction, the session or the
    server's configuration has set still applies.

    Every method raises `NoActiveScope` outside a scope, `PoolNotOpen` if the pool is not open, `PoolTimeout` if no connection
    becomes free, `DatabaseUnavailable` if PostgreSQL cannot be reached, and otherwise the errors of asyncpg.
    """

    __slots__ = ()

    def __init__(self, database: Database) -> None:
        self._database = database

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_") and hasattr(asyncpg.Connection, name):
                text += (
                    f": it belongs to a single connection, which this does not have. Write "
                    f"`async with connection.session() as raw:` and `raw.{name}`"
                )
            raise AttributeError(text, name=name, obj=self)

    async def fetch(
        self,
        query: LiteralString,
        *args: Any,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> list[asyncpg.Record]:
        """Return all rows."""
        options = _options(timeout, record_class)
        rows: list[asyncpg.Record] = await self._database.executor().send("fetch", query, args, options)
        return rows

    async def fetchrow(
        self,
        query: LiteralString,
        *args: Any,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> asyncpg.Record | None:
        """Return the first row, or `None`."""
        options = _options(timeout, record_class)
        row: asyncpg.Record | None = await self._database.executor().send("fetchrow", query, args, options)
        return row

    async def fetchval(self, query: LiteralString, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Return one value of the first row, or `None`. Raise `IndexError` for a `column` that does not exist."""
        options = _NO_OPTIONS if timeout is None and column == 0 else {"column": column, "timeout": timeout}
        return await self._database.executor().send("fetchval", query, args, options)

    async def fetchmany(
        self,
        query: LiteralString,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> list[asyncpg.Record]:
        """Run one statement for each sequence of arguments, all or nothing, and return all rows.

        For example, `INSERT ... RETURNING id` returns the ids of many rows in their order.
        """
        options = _options(timeout, record_class)
        rows: list[asyncpg.Record] = await self._database.executor().send(
            "fetchmany", query, (_repeatable(args),), options
        )
        return rows

    async def execute(self, query: LiteralString, *args: Any, timeout: float | None = None) -> str:
        """Run a statement, or a script without arguments, and return the last status, for example `INSERT 0 1`.

        A script that begins and ends a transaction may run outside a block. Any other BEGIN, COMMIT or SAVEPOINT raises
        `asyncpg.InterfaceError`, in all methods: use `transaction()`, or `session()` for transactions by hand.
        """
        status: str = await self._database.executor().send("execute", query, args, _timeout(timeout))
        return status

    async def executemany(
        self, command: LiteralString, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> None:
        """Run one statement for each sequence of arguments, all or nothing."""
        await self._database.executor().send("executemany", command, (_repeatable(args),), _timeout(timeout))

    async def prepare(
        self,
        query: LiteralString,
        *,
        name: str | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> PreparedStatement:
        """Return a prepared statement on the connection of the open block. It can be used until that block ends.

        It is not needed for speed: each connection keeps its latest statements prepared.

        Raises:
            asyncpg.InterfaceError: No block is open.
        """
        executor = self._database.executor_for("prepare")
        if not isinstance(executor, Block):
            raise asyncpg.InterfaceError(
                "prepare() needs a block that keeps its connection, `async with connection.transaction():` or "
                "`async with connection.session():`; outside one, each statement may have another connection"
            )
        if name is not None:  # the server may still have an unused statement with this name
            executor.pending_closes.append(executor.lease.raw._cleanup_stmts)  # type: ignore[attr-defined]  # noqa: SLF001
        options = {"name": name, "timeout": timeout, "record_class": record_class}
        statement = await executor.send("prepare", query, (), options)
        return PreparedStatement(statement, query, executor.outermost(), self._database)

    def cursor(
        self,
        query: LiteralString,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> CursorFactory:
        """Return a server-side cursor, inside a transaction: `async for` it, or await it for one with `fetch`.

        Args:
            query: The SQL.
            *args: Its arguments.
            prefetch: Rows per round trip of `async for`; 1000 by default.
            timeout: Seconds for each round trip.
            record_class: The class of the rows.

        Raises:
            asyncpg.NoActiveSQLTransactionError: No transaction is open.
            asyncpg.InterfaceError: `prefetch` is below 1, or was given to a cursor that is awaited.
        """

        def place() -> BlockAccess:
            block = self._block_in_transaction()
            block.record_statement(query)
            return BlockAccess(block, self._database.executor)

        def make(block: Block, prefetch: int | None) -> asyncpg.cursor.CursorFactory[asyncpg.Record]:
            options: dict[str, Any] = {"prefetch": prefetch, "timeout": timeout, "record_class": record_class}
            return block.lease.raw.cursor(query, *args, **options)

        self._block_in_transaction()  # fail here rather than at the first read
        return CursorFactory(place, make, prefetch, timeout)

    def _block_in_transaction(self) -> Block:
        executor = self._database.executor_for("cursor")
        if isinstance(executor, Block):
            executor.check_open()
        if not (isinstance(executor, Block) and executor.lease.is_in_transaction()):
            raise asyncpg.NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")
        return executor.cursor_block()

    def is_in_transaction(self) -> bool:
        """Return whether a transaction is open for the running code."""
        executor = self._database.executor()
        return isinstance(executor, Block) and executor.lease.is_in_transaction()

    def transaction(
        self, *, isolation: Isolation | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """Return a block that commits on a normal exit and rolls back on any exception; a nested one is a savepoint.

        Each is entered once. Entering a nested one raises `asyncpg.InterfaceError` if it asks for another isolation than the
        outermost, or for `readonly` or `deferrable` when the outermost is not. Leaving one raises `TransactionAborted` if a
        caught error undid the work, and `CommitOutcomeUnknown` if the connection was lost during COMMIT.

        Raises:
            ValueError: `isolation` is not one of the four.
        """
        return self._database.transaction(modes(isolation, readonly, deferrable))

    def session(self) -> Session:
        """Return a block with exclusive use of asyncpg's connection itself, which is reset after it."""
        return self._database.session()

    async def run_transaction(
        self, work: Callable[[], Awaitable[T]], *, isolation: Isolation | None = None, attempts: int = 5
    ) -> T:
        """Run `work` in a transaction, and repeat it on a serialization failure (40001), a deadlock (40P01) or `SchemaChanged`.

        `work` may run several times, so its effects outside the database must allow that. Inside a transaction it runs once,
        as a savepoint, because only the outermost unit can be repeated.

        Args:
            work: The whole unit of work.
            isolation: As in `transaction()`.
            attempts: How often to run `work` at most; then its last error is raised.

        Raises:
            ValueError: `attempts` is below 1.
            CommitOutcomeUnknown: The connection was lost during COMMIT. `work` is not repeated.
        """
        if attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {attempts}")
        if self.is_in_transaction():
            async with self.transaction(isolation=isolation):
                return await work()
        for attempt in range(1, attempts + 1):
            try:
                async with self.transaction(isolation=isolation):
                    return await work()
            except BaseException as error:
                if attempt == attempts or not _can_be_repeated(error):
                    raise
            await asyncio.sleep(_backoff(attempt))
        raise AssertionError("unreachable")


def _repeatable(args: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]]:
    return SinglePass(args) if isinstance(args, Iterator) else args


def _timeout(timeout: float | None) -> dict[str, Any]:
    return _NO_OPTIONS if timeout is None else {"timeout": timeout}


def _options(timeout: float | None, record_class: type[asyncpg.Record] | None) -> dict[str, Any]:
    if timeout is None and record_class is None:
        return _NO_OPTIONS
    return {"timeout": timeout, "record_class": record_class}


def _can_be_repeated(error: BaseException) -> bool:
    """Return whether the error, or each error of a group, is a collision with another transaction or a changed schema."""
    if isinstance(error, BaseExceptionGroup):
        return all(_can_be_repeated(each) for each in error.exceptions)
    return isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, SchemaChanged))


def _backoff(attempt: int) -> float:
    """Return the seconds until the next attempt; random, so that colliding transactions do not collide again."""
    return random.uniform(0, min(_FIRST_BACKOFF_SECONDS * 2 ** min(attempt, 10), _MAX_BACKOFF_SECONDS))  # noqa: S311 - jitter, not a secret
