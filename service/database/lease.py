"""A connection in the hands of one scope."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.call_site import CallSite, in_words
from service.database.cancel import Backend, backend_of, is_cancelling, statement_ends
from service.database.errors import SchemaChanged
from service.database.failures import ends_session, unavailable
from service.database.lifetime import renewal_time
from service.database.modes import PLAIN
from service.database.session_state import Effects, effects_of, refuse_control
from service.database.stale import forget, heal, is_stale, may_be_stale

if TYPE_CHECKING:
    from service.database.options import DatabaseOptions
    from service.database.pool import Pool


_OF_A_TABLE = frozenset({"copy_records_to_table", "copy_to_table", "copy_from_table"})
"""Methods whose first argument is no statement, but a table's name."""
_COPIES_OUT = frozenset({"copy_from_query", "copy_from_table"})

_EARLY = 0.01
"""Seconds by which a timer may come too early."""

logger = logging.getLogger("service.database")


class Lease:
    """One pooled connection and what the pool has to know of it. It lives as long as its connection."""

    __slots__ = (
        "backend",
        "connection",
        "copied_out",
        "ending",
        "expires_at",
        "fresh_at",
        "holder",
        "idle_since",
        "in_transaction",
        "modes",
        "pool",
        "raw",
        "reported",
        "savepoint",
        "savepoints",
        "statements",
        "tainted",
        "taken_at",
        "taken_by",
        "wire",
    )

    def __init__(
        self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], pool: Pool, max_lifetime: float
    ) -> None:
        self.pool = pool
        self.keep(connection)
        self.expires_at = renewal_time(max_lifetime)
        self.idle_since = monotonic()
        self.holder: str | None = None
        """The name of the scope that has it, for messages; `None` while nobody has."""
        self.taken_at = 0.0
        self.taken_by: CallSite | None = None
        """The line of code that asked for it, where slow leases are logged."""
        self.reported = False
        """Whether this lease was logged as slow."""
        self.statements = 0
        self.tainted = False
        """The session may have changed: reset it in full before anybody else gets it."""
        self.in_transaction = False
        """BEGIN was sent and neither COMMIT nor ROLLBACK was answered."""
        self.modes = PLAIN
        """Those of the open transaction."""
        self.fresh_at = -1
        """The number of statements when the innermost block that is open had done nothing yet."""
        self.savepoint: str | None = None
        """The one that this block is; `None` where it is the transaction itself."""
        self.savepoints = 0
        """How many were ever made on this connection: a source of names."""
        self.ending: asyncio.Task[None] | None = None
        """What ends a cancelled statement, while it is at it."""
        self.copied_out = False
        """Whether the last statement that failed was a COPY to something of the caller's."""
        self.wire = asyncio.Lock()
        """Taken for each statement of a transaction, whose tasks share the connection."""

    def keep(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """Take the connection as asyncpg's pool hands it out.

        `raw` is what is in the wrapper, which costs as much again as a look whether the connection is closed.
        """
        self.connection = connection
        self.raw: asyncpg.Connection[asyncpg.Record] = connection._con  # type: ignore[attr-defined]  # noqa: SLF001
        self.raw.altered = False  # what `init` has set belongs to it
        self.backend: Backend | None = backend_of(self.raw)
        """The process at the other end, for as long as the connection is this lease's."""

    def report_if_slow(self, held: float, limit: float) -> None:
        """Log once that it is held for longer than `limit` seconds, where there is a limit."""
        if 0 < limit < held and not self.reported:
            self.reported = True
            line = self.taken_by and in_words(self.taken_by)
            taken = f", taken at {line}" if line else ""
            logger.warning("%s has held a connection for %.3f s%s", self.holder, held, taken)

    async def reset(self, driver: asyncpg.Pool[asyncpg.Record], options: DatabaseOptions) -> None:
        """Roll back what is open, and have asyncpg's pool reset the session, or renew the connection after `max_queries`.

        Raises what the driver does.
        """
        await self.settle()
        if self.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("it was lost")
        if self.is_in_transaction():
            await self.connection.execute("ROLLBACK")
        await driver.release(self.connection)
        self.backend = None
        self.keep(await driver.acquire())
        totals = self.pool.totals
        totals.resets += 1
        if self.statements >= options.max_queries:  # asyncpg's pool has replaced the connection
            totals.opened += 1
            totals.closed += 1
            self.expires_at = renewal_time(options.max_lifetime)
        self.statements = 0
        self.tainted = False
        self.in_transaction = False

    async def settle(self) -> None:
        """Wait until a statement that was cancelled has ended; where it does not, the connection is ended."""
        if self.ending is None and is_cancelling(self.raw):
            self.ending = self.pool.spawn(self._end_statement(), "end a cancelled statement")
        if self.ending is not None:
            await asyncio.wait([self.ending])  # and let it finish, should this task be cancelled

    async def _end_statement(self) -> None:
        try:
            if not await statement_ends(self.raw, copied_out=self.copied_out):
                logger.warning("a cancelled statement goes on in PostgreSQL: its connection is ended, %s", self.backend)
                self.terminate()
        finally:
            self.ending = None

    def is_closed(self) -> bool:
        """Whether the connection is lost or closed."""
        return self.raw.is_closed()

    def is_in_transaction(self, *, now: bool = False) -> bool:
        """Whether a transaction is open on the connection, by whomever it was begun.

        `now`: as the server said last, whatever was sent since.
        """
        if self.is_closed():
            return self.in_transaction and not now
        return (self.in_transaction and not now) or self.raw.is_in_transaction()

    def terminate(self) -> None:
        """End the connection without a word to the server, unless asyncpg's pool has taken it back."""
        with suppress(asyncpg.InterfaceError):
            self.connection.terminate()

    async def send(
        self, method: str, query: str, args: Iterable[Any], options: dict[str, Any], *, by_hand: bool = False
    ) -> Any:
        """Call asyncpg's method of this name on the connection.

        `by_hand`: whether the text may begin and end transactions, where none of ours is open.

        Raises `DatabaseUnavailable` when the connection is lost, the command timeout is over or the server is a standby
        that cannot write, else what asyncpg raises.
        """
        effects = effects_of(query)
        if effects and method not in _OF_A_TABLE:
            self._allow(effects, by_hand=by_hand)
        self.statements += 1
        self.pool.totals.statements += 1
        timeout = options.get("timeout")
        try:
            if timeout is not None and self.pool.statement_limit.is_shorter_than(timeout):
                call = partial(getattr(self.raw, method), query, *args, **options)
                return await self.pool.statement_limit.lifted(self, call, timeout)
            return await getattr(self.raw, method)(query, *args, **options)
        except BaseException as error:
            if is_stale(error) or may_be_stale(error, method):
                return await heal(self, error, method, query, args, options)
            self.name(error, timeout, copied_out=method in _COPIES_OUT)
            raise

    def note(self, query: str, *, by_hand: bool) -> None:
        """Count a statement that does not come through `send`, and refuse or note what it does, as `send` does."""
        if effects := effects_of(query):
            self._allow(effects, by_hand=by_hand)
        self.statements += 1
        self.pool.totals.statements += 1

    def _allow(self, effects: Effects, *, by_hand: bool) -> None:
        """Note that the session changes; raise `asyncpg.InterfaceError` for what would upset transactions."""
        if not by_hand or self.in_transaction:
            refuse_control(effects, inside=self.is_in_transaction())
        if effects & Effects.CHANGES_SESSION:
            self.tainted = True

    async def command(self, sql: str) -> str:
        """Send one of the transaction's own commands; gives the server's answer. Raises as `send` does."""
        status: str = await self.guard(lambda: self.raw.execute(sql), None)
        return status

    async def roll_back(self, sql: str) -> None:
        """Send a ROLLBACK, which gets as long as cleaning a connection does. Raises as `send` does."""
        await self.settle()
        await self.guard(lambda: self.raw.execute(sql, timeout=self.pool.options.connect_timeout), None)

    async def guard(
        self,
        call: Callable[[], Awaitable[Any]],
        timeout: float | None,
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Await an asyncpg call and name its failure, as `send` does.

        `timeout`: the caller's own, already in the call. `again`: what to await instead where the call was the first of its
        transaction, and what asyncpg had prepared for it was stale.
        """
        try:
            if timeout is not None and self.pool.statement_limit.is_shorter_than(timeout):
                return await self.pool.statement_limit.lifted(self, call, timeout)
            return await call()
        except BaseException as error:
            if again is not None and is_stale(error) and await self.begin_anew():
                forget(self.raw)
                return await self.guard(again, timeout)
            self.name(error, timeout)
            raise

    async def begin_anew(self) -> bool:
        """Begin the block that is open once more, where the statement that failed was the first in it."""
        if not self.in_transaction or self.statements != self.fresh_at + 1:
            return False
        if self.savepoint is None:
            await self.command("ROLLBACK")
            await self.command(self.modes.begin)
        else:
            await self.command(f"ROLLBACK TO SAVEPOINT {self.savepoint}")
        return True

    def name(self, error: BaseException, timeout: float | None, *, copied_out: bool = False) -> None:
        """Note what a failure has left, and raise `DatabaseUnavailable` from it if PostgreSQL is to blame.

        A codec, a source of rows and a foreign data wrapper raise what a lost connection raises: they are not to blame it.
        """
        self.copied_out = copied_out
        if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
            self.tainted = True
        elif self.is_closed() or ends_session(error) or self._leads_to_a_standby(error):
            self.terminate()
            raise unavailable(error) from error
        elif isinstance(error, OSError) or is_cancelling(self.raw):
            self.tainted = True  # asyncpg cancels what was running, and the connection lives on
            if isinstance(error, TimeoutError) and timeout is None and self._outlived_command_timeout():
                raise unavailable(error) from error
        elif is_stale(error):
            forget(self.raw)
            raise SchemaChanged(str(error)) from error

    def _outlived_command_timeout(self) -> bool:
        """Whether a `TimeoutError` can be that of the command timeout, and not one that the caller's code raised."""
        limit = self.pool.options.command_timeout
        return 0 < limit <= monotonic() - self.taken_at + _EARLY

    def _leads_to_a_standby(self, error: BaseException) -> bool:
        """Whether the server refuses to write (25006) though nobody asked for a read-only transaction.

        Then it is a standby, or a primary that was demoted under the connection: the next connection finds the new one.
        """
        asked_for = self.tainted or (self.in_transaction and self.modes.readonly)
        return isinstance(error, asyncpg.ReadOnlySQLTransactionError) and not asked_for
