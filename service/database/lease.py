"""A connection in the hands of one scope."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.caller import Line, in_words
from service.database.failures import breaks_connection, unavailable
from service.database.modes import PLAIN
from service.database.session_state import Effects, effects_of

if TYPE_CHECKING:
    from service.database.pool import Pool


_OF_A_TABLE = frozenset({"copy_records_to_table", "copy_to_table", "copy_from_table"})
"""Methods whose first argument is no statement, but a table's name."""
_RUNS_CALLERS_CODE = frozenset(
    {"copy_from_query", "copy_from_table", "copy_records_to_table", "copy_to_table", "executemany", "fetchmany"}
)
_WRITES_OUTPUT = frozenset({"copy_from_query", "copy_from_table"})

logger = logging.getLogger("service.database")


class Lease:
    """One pooled connection and what the pool has to know of it. It lives as long as its connection."""

    __slots__ = (
        "connection",
        "expires_at",
        "holder",
        "idle_since",
        "in_transaction",
        "modes",
        "pool",
        "raw",
        "reported",
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
        self.taken_by: Line | None = None
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
        self.savepoints = 0
        """How many were ever made on this connection: a source of names."""
        self.wire = asyncio.Lock()
        """Taken for each statement of a transaction, whose tasks share the connection."""

    def keep(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """Take the connection as asyncpg's pool hands it out.

        `raw` is what is in the wrapper, which costs as much again as a look whether the connection is closed.
        """
        self.connection = connection
        self.raw: asyncpg.Connection[asyncpg.Record] = connection._con  # type: ignore[attr-defined]  # noqa: SLF001

    def report_if_slow(self, held: float, limit: float) -> None:
        """Log once that it is held for longer than `limit` seconds, where there is a limit."""
        if 0 < limit < held and not self.reported:
            self.reported = True
            line = self.taken_by and in_words(self.taken_by)
            taken = f", taken at {line}" if line else ""
            logger.warning("%s has held a connection for %.3f s%s", self.holder, held, taken)

    def clean(self) -> None:
        """Forget what was done on the connection: it has been reset."""
        self.statements = 0
        self.tainted = False
        self.in_transaction = False

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
                return await self._unhurried(lambda: getattr(self.raw, method)(query, *args, **options), timeout)
            return await getattr(self.raw, method)(query, *args, **options)
        except BaseException as error:
            if not (method in _WRITES_OUTPUT and self._is_cut_off(error)):
                self._name(error, timeout, callers_code=method in _RUNS_CALLERS_CODE)
            raise

    def note(self, query: str, *, by_hand: bool) -> None:
        """Count a statement that does not come through `send`, and refuse or note what it does, as `send` does."""
        if effects := effects_of(query):
            self._allow(effects, by_hand=by_hand)
        self.statements += 1
        self.pool.totals.statements += 1

    def _allow(self, effects: Effects, *, by_hand: bool) -> None:
        """Note that the session changes; raise `asyncpg.InterfaceError` for what would upset transactions."""
        if not (by_hand and not self.in_transaction):
            inside = self.is_in_transaction()
            if effects & Effects.CONTROL or (inside and effects & Effects.WHOLE_TRANSACTION):
                raise asyncpg.InterfaceError(_REFUSED + (_NOT_INSIDE if inside else _ON_ANY_CONNECTION))
            if effects & Effects.SAVEPOINT and not inside:
                raise asyncpg.InterfaceError(_REFUSED + _ON_ANY_CONNECTION)
        if effects & Effects.CHANGES_SESSION:
            self.tainted = True

    async def command(self, sql: str) -> str:
        """Send one of the transaction's own commands; gives the server's answer. Raises as `send` does."""
        status: str = await self.guard(lambda: self.raw.execute(sql), None)
        return status

    async def roll_back(self, sql: str) -> None:
        """Send a ROLLBACK, which gets as long as cleaning a connection does. Raises as `send` does."""
        await self.guard(lambda: self.raw.execute(sql, timeout=self.pool.clean_timeout), None)

    async def guard(
        self, call: Callable[[], Awaitable[Any]], timeout: float | None, *, callers_code: bool = False
    ) -> Any:
        """Await an asyncpg call and name its failure, as `send` does. `timeout`: the caller's own, already in the call."""
        try:
            if timeout is not None and self.pool.statement_limit.is_shorter_than(timeout):
                return await self._unhurried(call, timeout)
            return await call()
        except BaseException as error:
            self._name(error, timeout, callers_code=callers_code)
            raise

    async def _unhurried(self, call: Callable[[], Awaitable[Any]], timeout: float) -> Any:
        """Await a call whose `timeout` is longer than the server's limit, which is lifted meanwhile."""
        set_back = await self.pool.statement_limit.lift(self.raw, timeout)
        if set_back is None:
            return await call()
        try:
            result = await call()
        except BaseException:
            self.tainted = True  # nothing can be sent now: the reset sets it back, or the end of the transaction does
            raise
        await self.raw.execute(set_back)
        return result

    def _is_cut_off(self, error: BaseException) -> bool:
        """Whether the output of a COPY has failed; the connection is ended then.

        asyncpg cancels the COPY and waits for the server's word on it. Where that came before, together with the last part,
        the connection's next user would wait for ever.
        """
        failed = not isinstance(error, asyncpg.PostgresError) and self.raw._protocol._is_cancelling()  # type: ignore[attr-defined]  # noqa: SLF001
        if failed:
            self.terminate()
        return bool(failed)

    def _name(self, error: BaseException, timeout: float | None, *, callers_code: bool = False) -> None:
        """Note what a failure has left, and raise `DatabaseUnavailable` from it if the connection is of no more use.

        `callers_code`: whether the call runs code of the caller's: it iterates over arguments or records, or writes to a file.
        """
        if isinstance(error, asyncio.CancelledError):
            self.tainted = True
            return
        if not isinstance(error, Exception):
            return
        if isinstance(error, TimeoutError) and timeout is not None:
            self.tainted = True  # asyncpg cancels the statement, and the connection lives on
            return
        if callers_code and isinstance(error, OSError) and not isinstance(error, TimeoutError) and not self.is_closed():
            self.tainted = True  # a file of the caller's, and not the connection, has failed
            return
        if breaks_connection(error) or self.is_closed() or self._leads_to_a_standby(error):
            self.terminate()
            raise unavailable(error) from error

    def _leads_to_a_standby(self, error: BaseException) -> bool:
        """Whether the server refuses to write (25006) though nobody asked for a read-only transaction.

        Then it is a standby, or a primary that was demoted under the connection: the next connection finds the new one.
        """
        asked_for = self.tainted or (self.in_transaction and self.modes.readonly)
        return isinstance(error, asyncpg.ReadOnlySQLTransactionError) and not asked_for


_REFUSED = (
    "a transaction is begun and ended by `async with connection.transaction():`, nested for a savepoint, and not by a "
    "statement: "
)
_ON_ANY_CONNECTION = (
    "the next one may run on another connection. By hand, use `async with connection.session() as raw:`"
)
_NOT_INSIDE = "it would end the block that is open here"


def renewal_time(max_lifetime: float) -> float:
    """When, on the monotonic clock, a connection opened now is renewed: up to a tenth early, so that not all are at once."""
    if not max_lifetime:
        return float("inf")
    return monotonic() + max_lifetime * random.uniform(0.9, 1.0)  # noqa: S311 - jitter, not a secret
