"""The server's limit for one statement, raised for a call that asks for more time."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import asyncpg

_MAX_TIMEOUT_MILLISECONDS = 2**31 - 1
"""PostgreSQL stores its timeouts in 32 bits."""


class StatementTimeout:
    """The `statement_timeout` that the pool sets on each connection.

    A call with a longer `timeout` gets it: the limit is raised before the call and restored after it, at a cost of two round
    trips. A limit that the transaction or session has set is left alone.
    """

    __slots__ = ("_margin", "_seconds")

    def __init__(self, seconds: Callable[[], float], margin: float) -> None:
        """Store the limit without reading it yet.

        Args:
            seconds: Returns the limit in seconds; 0 for no limit.
            margin: Seconds that the server's limit ends after the client's.
        """
        self._seconds = seconds
        self._margin = margin

    def is_shorter_than(self, timeout: Any) -> bool:
        """Return whether the server would end a call before its `timeout`. asyncpg refuses a `timeout` that is not a number."""
        return isinstance(timeout, (int, float)) and 0 < self._seconds() < timeout

    async def extend(self, connection: asyncpg.Connection[asyncpg.Record], timeout: float) -> str | None:
        """Raise the limit for a call of `timeout` seconds.

        Returns:
            The SQL that restores the limit; `None` if the limit was not changed.
        """
        local = connection.is_in_transaction()
        longer = ceil(min((timeout + self._margin) * 1000, _MAX_TIMEOUT_MILLISECONDS))
        status = await connection.execute(
            f"SELECT set_config('statement_timeout', '{longer}ms', {local}) "
            f"WHERE current_setting('statement_timeout')::interval = '{round(self._seconds() * 1000)}ms'::interval",
            timeout=timeout,
        )
        if status == "SELECT 0":
            return None
        return "SET LOCAL statement_timeout TO DEFAULT" if local else "RESET statement_timeout"
