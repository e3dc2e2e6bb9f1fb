"""Rows in portions, from a server-side cursor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from typing import Any

import asyncpg

from service.database.held import Held
from service.database.scope import Frame

PREFETCH = 1000
"""Rows per round trip when the caller names no number; asyncpg's 50 costs 20 times the round trips."""


class Cursor:
    """`async for row in connection.cursor(...)`, or `cursor = await connection.cursor(...)` and `fetch`.

    It lives as long as the transaction that it was made in. Between two portions, other statements of the transaction
    have their turn.
    """

    def __init__(
        self,
        held: Held,
        running: Callable[[], Frame],
        query: str,
        args: tuple[Any, ...],
        prefetch: int | None,
        options: dict[str, Any],
    ) -> None:
        self._held = held
        self._running = running
        self._query = query
        self._args = args
        self._prefetch = prefetch or PREFETCH
        self._options = options
        self._cursor: asyncpg.cursor.Cursor[asyncpg.Record] | None = None

    def __await__(self) -> Generator[Any, None, Cursor]:
        return self._open().__await__()

    async def __aiter__(self) -> AsyncIterator[asyncpg.Record]:
        await self._open()
        while rows := await self.fetch(self._prefetch):
            for row in rows:
                yield row

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[asyncpg.Record]:
        """The next `n` rows, fewer at the end."""
        rows: list[asyncpg.Record] = await self._call("fetch", n, timeout=timeout)
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> asyncpg.Record | None:
        """The next row, or `None` at the end."""
        row: asyncpg.Record | None = await self._call("fetchrow", timeout=timeout)
        return row

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip `n` rows; gives how many there were."""
        skipped: int = await self._call("forward", n, timeout=timeout)
        return skipped

    async def _open(self) -> Cursor:
        if self._cursor is None:
            self._cursor = await self._held.send("cursor", self._query, self._args, self._options)
        return self

    async def _call(self, method: str, *args: int, timeout: float | None) -> Any:
        await self._open()
        lease = self._held.lease
        step = partial(getattr(self._cursor, method), *args, timeout=timeout)
        return await self._turn().in_turn(lambda: lease.guard(step, timeout))

    def _turn(self) -> Held:
        """The block whose turn it takes: the running one where it is on the same connection, as in a savepoint."""
        frame = self._running()
        return frame if isinstance(frame, Held) and frame.lease is self._held.lease else self._held
