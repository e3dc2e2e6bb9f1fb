"""asyncpg's methods, on whatever connection the running code is entitled to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, LiteralString, NoReturn, TypeVar

import asyncpg

from service.database.block import Block
from service.database.copy import CopyMethods
from service.database.cursor import CursorFactory, Portal
from service.database.database import Database
from service.database.errors import SchemaChanged
from service.database.modes import Isolation, modes
from service.database.prepared import PreparedStatement
from service.database.scope import CopyInProgress
from service.database.session import Session
from service.database.stale import Once
from service.database.transaction import Transaction

T = TypeVar("T")

_NO_OPTIONS: dict[str, Any] = {}
"""Of nearly all statements: nobody changes it."""
_BACKOFF = 0.01
"""Seconds: half of the longest wait before the second attempt; it doubles with each further one."""
_LONGEST_BACKOFF = 0.5
"""Seconds: where it stops doubling; without an end the tenth attempt would wait for up to ten seconds."""


class ScopedConnection(CopyMethods):
    """The only thing that a repository needs to talk to PostgreSQL.

    It holds no state. Each call asks for the current scope: inside a transaction it runs there, otherwise on a
    connection that is leased for this one statement. Method names and meanings are asyncpg's.

    `timeout` is in seconds, for the statement without its wait for a connection. Past it, `TimeoutError` is raised and the
    statement is cancelled. It takes precedence over the pool's `command_timeout` and `statement_timeout`; where it is longer
    than the latter, it costs two more round trips. A shorter `statement_timeout` that the transaction, the session or the
    server's own configuration has set still holds.

    Every method raises `NoActiveScope` or `PoolNotOpen` when there is nothing to run on, `PoolTimeout` when no connection
    becomes free, `DatabaseUnavailable` when PostgreSQL cannot be reached, and else what asyncpg raises.
    """

    __slots__ = ()

    def __init__(self, database: Database) -> None:
        self._database = database

    if not TYPE_CHECKING:  # a type checker would take any name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_") and hasattr(asyncpg.Connection, name):
                text += (
                    f": it belongs to one connection, and this has none of its own. Write "
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
        """One value of the first row, or `None`. Raises `IndexError` for a `column` that is not there."""
        options = _NO_OPTIONS if timeout is None and column == 0 else {"column": column, "timeout": timeout}
        return await self._database.frame().send("fetchval", query, args, options)

    async def fetchmany(
        self,
        query: LiteralString,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> list[asyncpg.Record]:
        """All rows of one statement that is run for each sequence of arguments: all or nothing.

        So `INSERT ... RETURNING id` gives the ids of many rows in their order.
        """
        options = _options(timeout, record_class)
        rows: list[asyncpg.Record] = await self._database.frame().send(
            "fetchmany", query, (_repeatable(args),), options
        )
        return rows

    async def execute(self, query: LiteralString, *args: Any, timeout: float | None = None) -> str:
        """Run a statement, or a script without arguments; gives the status of the last, such as `INSERT 0 1`.

        A script that begins a transaction and ends it may run outside a block. Any other BEGIN, COMMIT or SAVEPOINT raises
        `asyncpg.InterfaceError`, here as in all methods: that is what `transaction()` is for, or `session()` by hand.
        """
        status: str = await self._database.frame().send("execute", query, args, _timeout(timeout))
        return status

    async def executemany(
        self, command: LiteralString, args: Iterable[Sequence[Any]], *, timeout: float | None = None
    ) -> None:
        """Run one statement for each sequence of arguments: all or nothing."""
        await self._database.frame().send("executemany", command, (_repeatable(args),), _timeout(timeout))

    async def prepare(
        self,
        query: LiteralString,
        *,
        name: str | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> PreparedStatement:
        """A prepared statement on the connection of the block that is open, to be run until that block has ended.

        For speed alone it is not needed: each connection keeps its latest statements prepared.

        Raises `asyncpg.InterfaceError` outside a block.
        """
        frame = self._database.frame()
        if isinstance(frame, CopyInProgress):
            raise frame.refusal("prepare")
        if not isinstance(frame, Block):
            raise asyncpg.InterfaceError(
                "prepare() needs a block that keeps its connection, `async with connection.transaction():` or "
                "`async with connection.session():`; outside one, each statement may have another connection"
            )
        if name is not None:  # the name may be that of a statement which nobody has any more, and which is still there
            frame.leftovers.append(frame.lease.raw._cleanup_stmts)  # type: ignore[attr-defined]  # noqa: SLF001
        options = {"name": name, "timeout": timeout, "record_class": record_class}
        statement = await frame.send("prepare", query, (), options)
        return PreparedStatement(statement, query, frame.outermost(), self._database)

    def cursor(
        self,
        query: LiteralString,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[asyncpg.Record] | None = None,
    ) -> CursorFactory:
        """A server-side cursor, inside a transaction: `async for` it, or await it for one with `fetch`.

        `prefetch`: rows per round trip of `async for`, 1000 unless given. `timeout`: for each round trip.

        Raises `asyncpg.NoActiveSQLTransactionError` outside a transaction, `asyncpg.InterfaceError` for a `prefetch` below
        1, or for any when it is awaited.
        """

        def place() -> Portal:
            block = self._block_in_transaction()
            block.lease.note(query, by_hand=block.by_hand)
            block.scope.statements += 1
            return Portal(block, self._database.frame)

        def make(block: Block, prefetch: int | None) -> asyncpg.cursor.CursorFactory[asyncpg.Record]:
            options: dict[str, Any] = {"prefetch": prefetch, "timeout": timeout, "record_class": record_class}
            return block.lease.raw.cursor(query, *args, **options)

        self._block_in_transaction()  # rather here than where it is read
        return CursorFactory(place, make, prefetch, timeout)

    def _block_in_transaction(self) -> Block:
        frame = self._database.frame()
        if isinstance(frame, CopyInProgress):
            raise frame.refusal("cursor")
        if isinstance(frame, Block):
            frame.check_open()
        if not (isinstance(frame, Block) and frame.lease.is_in_transaction()):
            raise asyncpg.NoActiveSQLTransactionError("cursor cannot be created outside of a transaction")
        return frame.home()

    def is_in_transaction(self) -> bool:
        """Whether the running code is inside a transaction block."""
        frame = self._database.frame()
        return isinstance(frame, Block) and frame.lease.is_in_transaction()

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

        So too after `SchemaChanged`.
        `work` may run several times: what it does outside the database must bear that. Inside a transaction it runs
        once, as a savepoint, since only the outermost unit can be run again.

        Raises the last failure after `attempts` attempts, and what `transaction()` raises, `CommitOutcomeUnknown` without
        another attempt.
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
                if attempt == attempts or not _can_be_run_again(error):
                    raise
            await asyncio.sleep(_backoff(attempt))
        raise AssertionError("unreachable")


def _repeatable(args: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]]:
    return Once(args) if isinstance(args, Iterator) else args


def _timeout(timeout: float | None) -> dict[str, Any]:
    return _NO_OPTIONS if timeout is None else {"timeout": timeout}


def _options(timeout: float | None, record_class: type[asyncpg.Record] | None) -> dict[str, Any]:
    if timeout is None and record_class is None:
        return _NO_OPTIONS
    return {"timeout": timeout, "record_class": record_class}


def _can_be_run_again(error: BaseException) -> bool:
    """Whether it is a collision, or a group in which nothing else failed by itself."""
    if isinstance(error, BaseExceptionGroup):
        return all(_can_be_run_again(each) for each in error.exceptions)
    return isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, SchemaChanged))


def _backoff(attempt: int) -> float:
    """Seconds until the attempt after this one, at random so that those who collided do not meet again."""
    return random.uniform(0, min(_BACKOFF * 2 ** min(attempt, 10), _LONGEST_BACKOFF))  # noqa: S311 - jitter, not a secret
