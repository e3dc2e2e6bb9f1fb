"""A block with asyncpg's connection itself, for work that belongs to a session and not to a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from service.database.block import Block
from service.database.driver_errors import unavailable

if TYPE_CHECKING:
    from types import TracebackType

    from service.database.lease import Lease

_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)


class Session(Block):
    """`async with connection.session() as raw:` provides asyncpg's connection, exclusively, and always resets it after.

    A reset does not undo codecs, listeners and loggers. After these the connection is closed, and another one opened.

    Statements, transactions and repositories inside the block use the same connection. A transaction that was begun by hand
    and is still open at the end is rolled back. Inside a transaction block the session uses the transaction's connection,
    and the reset comes when the transaction has ended; if the transaction was ended by hand, the session raises
    `asyncpg.InterfaceError` at its end.
    """

    kind = "session"
    by_hand = True
    _outer_transaction_lost = False

    async def __aenter__(self) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
        lease = await self.take_lease()
        lease.tainted = True
        lease.statements_at_begin = -1  # statements on the raw connection are not counted
        self.enter()
        return lease.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        lost = self.lease.is_closed()
        await self.finish(self._end())
        if lost and isinstance(error, _DRIVER_ERRORS):
            raise unavailable(error) from error
        if self._outer_transaction_lost:
            raise asyncpg.InterfaceError(
                "the transaction around the session was ended by hand: later statements were not part of it. "
                "End it by leaving its block"
            )

    async def _end(self) -> None:
        self.ended = True
        try:
            async with self.lease.statement_lock:  # a child task's statement may be running
                self._check_outer_transaction(self.lease)
                if self.lease.raw.altered:  # type: ignore[attr-defined]
                    self.lease.expires_at = 0.0
        finally:
            self.return_lease()

    def _check_outer_transaction(self, lease: Lease) -> None:
        if lease.in_transaction and not lease.is_closed() and not lease.is_in_transaction(now=True):
            lease.in_transaction = False
            self._outer_transaction_lost = True
