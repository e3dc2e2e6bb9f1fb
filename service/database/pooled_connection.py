"""One connection of the pool: the state of its session and transaction, and the mapping of its failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

import asyncpg

from service.database.cancel import Backend, backend_of, is_cancelling, statement_ends
from service.database.driver_errors import ends_session, unavailable
from service.database.errors import SchemaChanged
from service.database.options import DatabaseOptions
from service.database.session_state import Effects, effects_of, refuse_control
from service.database.stale_errors import drop_caches, is_stale
from service.database.statement_timeout import StatementTimeout
from service.database.stats import Totals
from service.database.transaction_modes import PLAIN

_TIMER_TOLERANCE_SECONDS = 0.01
"""A timer may fire this much early."""

logger = logging.getLogger("service.database")


class ConnectionPool(Protocol):
    """The part of the pool that its connections use."""

    options: DatabaseOptions
    totals: Totals
    statement_timeout: StatementTimeout

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in a task of the pool."""

    def renew(self) -> None:
        """Replace each connection as soon as it is idle."""


class PooledConnection:
    """An asyncpg connection and its state."""

    __slots__ = (
        "backend",
        "cancel_task",
        "connection",
        "copy_out_failed",
        "in_transaction",
        "leased_at",
        "modes",
        "pool",
        "raw",
        "savepoint",
        "savepoint_count",
        "statement_lock",
        "statements",
        "statements_at_begin",
        "tainted",
    )

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], pool: ConnectionPool) -> None:
        self.pool = pool
        self.attach(connection)
        self.leased_at = 0.0
        """When the pool lent it last, on the monotonic clock."""
        self.statements = 0
        self.tainted = False
        """The session may have changed: reset it in full before another scope gets it."""
        self.in_transaction = False
        """BEGIN was sent, and no COMMIT or ROLLBACK was answered."""
        self.modes = PLAIN
        """The modes of the open transaction."""
        self.statements_at_begin = -1
        """The value of `statements` when the innermost open block began; -1 after it did something that is not counted."""
        self.savepoint: str | None = None
        """The savepoint of the innermost open block; `None` for the transaction itself."""
        self.savepoint_count = 0
        """Savepoints made on this connection so far: the source of their names."""
        self.cancel_task: asyncio.Task[None] | None = None
        """The task that ends a cancelled statement, while it runs."""
        self.copy_out_failed = False
        """Whether the last failed statement was a COPY to the caller's output."""
        self.statement_lock = asyncio.Lock()
        """Held for each statement of a transaction, because its tasks share the connection."""

    def attach(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """Store a connection that asyncpg's pool handed out.

        `raw` is the connection inside asyncpg's proxy. A call through the proxy costs twice as much as checking here whether
        the connection is closed.
        """
        self.connection = connection
        self.raw: asyncpg.Connection[asyncpg.Record] = connection._con  # type: ignore[attr-defined]  # noqa: SLF001
        self.raw.altered = False  # changes by `init` are part of the connection
        self.backend: Backend | None = backend_of(self.raw)
        """The server process; `None` while asyncpg's pool has the connection."""

    async def settle(self) -> None:
        """Wait until a cancelled statement has ended; close the connection if it does not end."""
        if self.cancel_task is None and is_cancelling(self.raw):
            self.cancel_task = self.pool.spawn(self._end_statement(), "end a cancelled statement")
        if self.cancel_task is not None:
            await asyncio.wait([self.cancel_task])  # which goes on if this task is cancelled

    async def _end_statement(self) -> None:
        try:
            if not await statement_ends(self.raw, copy_out_failed=self.copy_out_failed):
                logger.warning(
                    "a cancelled statement still runs in PostgreSQL; closing its connection, %s", self.backend
                )
                self.terminate()
        finally:
            self.cancel_task = None

    def is_closed(self) -> bool:
        """Return whether the connection is lost or closed."""
        return self.raw.is_closed()

    def is_in_transaction(self, *, now: bool = False) -> bool:
        """Return whether a transaction is open on the connection, begun by a block or by hand.

        Args:
            now: Use only the state that the server reported last, and ignore a BEGIN without an answer.
        """
        if self.is_closed():
            return self.in_transaction and not now
        return (self.in_transaction and not now) or self.raw.is_in_transaction()

    def terminate(self) -> None:
        """Close the connection without telling the server, unless asyncpg's pool has taken it back."""
        with suppress(asyncpg.InterfaceError):
            self.connection.terminate()

    def record_statement(self, query: str, *, by_hand: bool) -> None:
        """Count a statement that does not go through `Lease.send`, and check its effects as `send` does."""
        if effects := effects_of(query):
            self.check_effects(effects, by_hand=by_hand)
        self.statements += 1
        self.pool.totals.statements += 1

    def check_effects(self, effects: Effects, *, by_hand: bool) -> None:
        """Mark a changed session. Raise `asyncpg.InterfaceError` for a statement that would end a block's transaction."""
        if not by_hand or self.in_transaction:
            refuse_control(effects, inside=self.is_in_transaction())
        if effects & Effects.CHANGES_SESSION:
            self.tainted = True

    async def command(self, sql: str) -> str:
        """Send BEGIN, COMMIT or a savepoint command, and return the server's answer. Raise as `Lease.send` does."""
        status: str = await self.guard(lambda: self.raw.execute(sql), None)
        return status

    async def roll_back(self, sql: str) -> None:
        """Send a ROLLBACK, limited by `connect_timeout` as a reset is. Raise as `Lease.send` does."""
        await self.settle()
        await self.guard(lambda: self.raw.execute(sql, timeout=self.pool.options.connect_timeout), None)

    async def guard(
        self,
        call: Callable[[], Awaitable[Any]],
        timeout: float | None,
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Await a call to asyncpg, and translate its failure as `Lease.send` does.

        Args:
            call: The call, with the caller's timeout in it.
            timeout: The caller's timeout in seconds.
            again: The call to await instead when the first statement of a transaction used a stale prepared statement.
        """
        try:
            if timeout is not None and self.pool.statement_timeout.is_shorter_than(timeout):
                return await self.with_longer_timeout(call, timeout)
            return await call()
        except BaseException as error:
            if again is not None and is_stale(error) and await self.restart_block():
                drop_caches(self.raw)
                return await self.guard(again, timeout)
            self.translate(error, timeout)
            raise

    async def with_longer_timeout(self, call: Callable[[], Awaitable[Any]], timeout: float) -> Any:
        """Await a call whose timeout is longer than the server's limit, which is raised for it."""
        restore = await self.pool.statement_timeout.extend(self.raw, timeout)
        if restore is None:
            return await call()
        try:
            result = await call()
        except BaseException:
            self.tainted = True  # nothing can be sent now: the reset or the end of the transaction restores it
            raise
        await self.raw.execute(restore)
        return result

    async def restart_block(self) -> bool:
        """Begin the open block again if the failed statement was its first; return whether it was."""
        if not self.in_transaction or self.statements != self.statements_at_begin + 1:
            return False
        if self.savepoint is None:
            await self.command("ROLLBACK")
            await self.command(self.modes.begin)
        else:
            await self.command(f"ROLLBACK TO SAVEPOINT {self.savepoint}")
        return True

    def translate(self, error: BaseException, timeout: float | None, *, copy_out_failed: bool = False) -> None:
        """Record the state after a failure, and raise the package's error for it if there is one.

        Raises:
            DatabaseUnavailable: The connection is lost, PostgreSQL did not answer in time, or it is a standby. A codec, a
                source of rows and a foreign data wrapper can raise what a lost connection raises; they do not count.
            SchemaChanged: A prepared statement is stale.
        """
        self.copy_out_failed = copy_out_failed
        if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
            self.tainted = True
        elif self.is_closed() or ends_session(error) or self._is_on_standby(error):
            self.terminate()
            raise unavailable(error) from error
        elif isinstance(error, OSError) or is_cancelling(self.raw):
            self.tainted = True  # asyncpg cancels the running statement and keeps the connection
            if isinstance(error, TimeoutError) and timeout is None and self._exceeded_command_timeout():
                raise unavailable(error) from error
        elif is_stale(error):
            drop_caches(self.raw)
            raise SchemaChanged(str(error)) from error

    def _exceeded_command_timeout(self) -> bool:
        """Return whether a `TimeoutError` can come from the command timeout, and not from the caller's code."""
        limit = self.pool.options.command_timeout
        return 0 < limit <= monotonic() - self.leased_at + _TIMER_TOLERANCE_SECONDS

    def _is_on_standby(self, error: BaseException) -> bool:
        """Return whether the server refuses to write (25006) although the program did not ask for read-only.

        It is a standby then, or a primary that was demoted: a new connection finds the new primary.
        """
        asked_for = self.tainted or (self.in_transaction and self.modes.readonly)
        return isinstance(error, asyncpg.ReadOnlySQLTransactionError) and not asked_for
