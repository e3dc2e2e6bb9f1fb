"""The connection itself, for what belongs to a session and not to a statement."""

from __future__ import annotations

from types import TracebackType

import asyncpg

from service.database.failures import unavailable
from service.database.held import Held

_DRIVERS_OWN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Session(Held):
    """`async with connection.session() as raw:` gives asyncpg's connection, exclusively; it is always reset after.

    Statements, transactions and repositories used inside the block run on the same connection. Inside a transaction it is
    the transaction's connection, and the reset comes when the transaction has ended.
    """

    what = "session"

    async def __aenter__(self) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record]:
        lease = await self.take_lease()
        lease.tainted = True
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

    async def _end(self) -> None:
        self.ended = True
        try:
            async with self.lease.wire:  # a child task's statement may be under way
                pass
        finally:
            self.return_lease()
