"""The connection itself, for what belongs to a session and not to a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from service.database.block import Block
from service.database.failures import unavailable

if TYPE_CHECKING:
    from types import TracebackType

    from service.database.lease import Lease

_DRIVERS_OWN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)


class Session(Block):
    """`async with connection.session() as raw:` gives asyncpg's connection, exclusively; it is always reset after.

    What a reset cannot undo, codecs, listeners and loggers, costs the connection: another is opened in its place.

    Statements, transactions and repositories used inside the block run on the same connection. What was begun by hand and
    is still open at the end is rolled back. Inside a transaction it is the transaction's connection, and the reset comes
    when the transaction has ended; at its end the block raises `asyncpg.InterfaceError` when that was ended by hand.
    """

    what = "session"
    by_hand = True
    _ended_outer = False

    async def __aenter__(self) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
        lease = await self.take_lease()
        lease.tainted = True
        lease.fresh_at = -1  # nobody knows what is done on the raw connection
        self.enter()
        return lease.connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        lost = self.lease.is_closed()
        await self.settle(self._end())
        if lost and isinstance(error, _DRIVERS_OWN):
            raise unavailable(error) from error
        if self._ended_outer:
            raise asyncpg.InterfaceError(
                "the transaction around the session was ended by hand: what came after was not part of it. "
                "End it by leaving its block"
            )

    async def _end(self) -> None:
        self.ended = True
        try:
            async with self.lease.wire:  # a child task's statement may be under way
                self._look_after_outer_transaction(self.lease)
                if self.lease.raw.altered:  # type: ignore[attr-defined]
                    self.lease.expires_at = 0.0
        finally:
            self.return_lease()

    def _look_after_outer_transaction(self, lease: Lease) -> None:
        if lease.in_transaction and not lease.is_closed() and not lease.is_in_transaction(now=True):
            lease.in_transaction = False
            self._ended_outer = True
