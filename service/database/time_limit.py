"""The server's limit for one statement, lifted for a call that asks for more time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from service.database.lease import Lease

_LONGEST = 2**31 - 1
"""Milliseconds: PostgreSQL counts its limits in 32 bits."""


class StatementLimit:
    """The `statement_timeout` that the pool gives to each connection.

    A call with a longer `timeout` of its own gets it: the limit is lifted before the call and set back after it, which
    costs that call two round trips. A limit that the transaction or session has set for itself stays as it is.
    """

    __slots__ = ("_margin", "_seconds")

    def __init__(self, seconds: Callable[[], float], margin: float) -> None:
        """`seconds`: gives the limit, 0 for none. `margin`: how much later than the client's the server's limit comes."""
        self._seconds = seconds
        self._margin = margin

    def is_shorter_than(self, timeout: Any) -> bool:
        """Whether the server would end a call before its `timeout`; what is no number is left for asyncpg to refuse."""
        return isinstance(timeout, (int, float)) and 0 < self._seconds() < timeout

    async def lifted(self, lease: Lease, call: Callable[[], Awaitable[Any]], timeout: float) -> Any:
        """Await a call whose `timeout` is longer than the server's limit, which is lifted meanwhile."""
        set_back = await self._lift(lease.raw, timeout)
        if set_back is None:
            return await call()
        try:
            result = await call()
        except BaseException:
            lease.tainted = True  # nothing can be sent now: the reset sets it back, or the end of the transaction does
            raise
        await lease.raw.execute(set_back)
        return result

    async def _lift(self, connection: asyncpg.Connection[asyncpg.Record], timeout: float) -> str | None:
        """Lift the limit for a call of `timeout` seconds; gives the SQL that sets it back, where it was lifted."""
        local = connection.is_in_transaction()
        longer = ceil(min((timeout + self._margin) * 1000, _LONGEST))
        status = await connection.execute(
            f"SELECT set_config('statement_timeout', '{longer}ms', {local}) "
            f"WHERE current_setting('statement_timeout')::interval = '{round(self._seconds() * 1000)}ms'::interval",
            timeout=timeout,
        )
        if status == "SELECT 0":
            return None
        return "SET LOCAL statement_timeout TO DEFAULT" if local else "RESET statement_timeout"
