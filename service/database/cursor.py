"""Rows in portions, from a server-side cursor."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, Self

import asyncpg

from service.database.block import Block
from service.database.scope import CopyInProgress, Executor

PREFETCH = 1000
"""Rows per round trip when the caller names no number; asyncpg's 50 costs 20 times the round trips."""


class CursorFactory:
    """What `connection.cursor(...)` gives: `async for` it, or await it for a `Cursor`.

    Each loop and each await opens a cursor of its own, as asyncpg's does. Between two portions, other statements of the
    transaction have their turn.
    """

    __slots__ = ("_make", "_place", "_prefetch", "_timeout")

    def __init__(
        self,
        place: Callable[[], Portal],
        make: Callable[[Block, int | None], asyncpg.cursor.CursorFactory[asyncpg.Record]],
        prefetch: int | None,
        timeout: float | None,
    ) -> None:
        """`place`: gives where a cursor can be opened now. `make`: asyncpg's factory for a block and a `prefetch`."""
        self._place = place
        self._make = make
        self._prefetch = prefetch
        self._timeout = timeout

    def __aiter__(self) -> CursorIterator:
        portal = self._place()
        prefetch = PREFETCH if self._prefetch is None else self._prefetch
        return CursorIterator(portal, lambda: self._make(portal.block, prefetch).__aiter__(), prefetch, self._timeout)

    def __await__(self) -> Generator[Any, None, Cursor]:
        return self._open().__await__()

    async def _open(self) -> Cursor:
        portal = self._place()
        factory = self._make(portal.block, self._prefetch)

        def opened() -> Awaitable[Any]:
            return _awaited(factory)

        return Cursor(portal, await portal.step(opened, self._timeout, opened))


class Portal:
    """The block whose connection a cursor or prepared statement is on, and the way there."""

    __slots__ = ("_running", "block")

    def __init__(self, block: Block, running: Callable[[], Executor]) -> None:
        """`block`: the one that it ends with. `running`: gives the frame of the running code."""
        self.block = block
        self._running = running

    async def step(
        self,
        call: Callable[[], Awaitable[Any]],
        timeout: float | None,
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Await asyncpg's call on the connection, when its turn has come. `again`: as in `Lease.guard`.

        Raises `TransactionClosed` when the block has ended.
        """
        lease = self.block.lease
        return await self.turn().in_turn(lambda: lease.guard(call, timeout, again))

    def turn(self) -> Block:
        """The block whose turn a call takes: the running one where it is on the same connection, as in a savepoint.

        Raises `asyncpg.InterfaceError` inside the source or output of a COPY on that connection, which has the turn.
        """
        self.block.check_open()
        frame = self._running()
        if isinstance(frame, Block) and frame.lease is self.block.lease:
            return frame
        around: Executor | None = frame
        while around is not None:  # outwards: each frame is entered once, after its outer one
            if (
                isinstance(around, CopyInProgress)
                and isinstance(around.outer, Block)
                and around.outer.lease is self.block.lease
            ):
                raise around.refusal("a cursor or prepared statement")
            around = around.outer
        return self.block

    def give_up(self, cursor: asyncpg.cursor.BaseCursor[asyncpg.Record]) -> None:
        """Have a cursor closed before the connection's next statement: its table could not be altered otherwise."""
        if not self.block.has_ended():
            self.block.leftovers.append(lambda: self._close(cursor))

    async def _close(self, cursor: asyncpg.cursor.BaseCursor[asyncpg.Record]) -> None:
        # asyncpg has no public way to close a cursor before its end
        if not self.block.has_ended() and cursor._portal_name is not None:  # type: ignore[attr-defined]  # noqa: SLF001
            with suppress(asyncpg.InterfaceError):  # its statement is closed already
                await self.block.lease.guard(lambda: cursor._close_portal(None), None)  # type: ignore[attr-defined]  # noqa: SLF001


class CursorIterator:
    """The rows of one `async for`. It is closed at its end; and by `break`, before the connection's next statement."""

    __slots__ = ("_begun", "_cursor", "_make", "_open", "_portal", "_prefetch", "_rows", "_timeout")

    def __init__(
        self,
        portal: Portal,
        make: Callable[[], asyncpg.cursor.CursorIterator[asyncpg.Record]],
        prefetch: int,
        timeout: float | None,
    ) -> None:
        self._open = False  # so that a refusal leaves nothing to close
        self._portal = portal
        self._make = make
        self._cursor = make()
        self._begun = False
        self._prefetch = prefetch
        self._timeout = timeout
        self._rows: deque[asyncpg.Record] = deque()
        self._open = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> asyncpg.Record:
        if not self._rows and self._open:
            again = None if self._begun else self._fetch_anew
            await self._portal.step(self._fetch, self._timeout, again)
            self._begun = True
        if not self._rows:
            raise StopAsyncIteration
        return self._rows.popleft()

    async def _fetch_anew(self) -> None:
        self._cursor = self._make()
        await self._fetch()

    async def _fetch(self) -> None:
        """Take a portion over from asyncpg's iterator, which sends something for the first of its rows alone."""
        rows, cursor = self._rows, self._cursor
        try:
            for _ in range(self._prefetch):
                rows.append(await anext(cursor))
        except StopAsyncIteration:
            self._open = False

    def __del__(self) -> None:
        if self._open:
            self._portal.give_up(self._cursor)


class Cursor:
    """A cursor with `fetch`, `fetchrow` and `forward`. It lives as long as the transaction that it was made in.

    Read to its end or dropped, it is closed before the connection's next statement.
    """

    __slots__ = ("_cursor", "_open", "_portal")

    def __init__(self, portal: Portal, cursor: asyncpg.cursor.Cursor[asyncpg.Record]) -> None:
        self._portal = portal
        self._cursor = cursor
        self._open = True

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[asyncpg.Record]:
        """The next `n` rows, fewer at the end. Raises `asyncpg.InterfaceError` when `n` is not greater than zero."""
        rows: list[asyncpg.Record] = await self._portal.step(lambda: self._cursor.fetch(n, timeout=timeout), timeout)
        if len(rows) < n:
            self._close()
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> asyncpg.Record | None:
        """The next row, or `None` at the end."""
        row: asyncpg.Record | None = await self._portal.step(lambda: self._cursor.fetchrow(timeout=timeout), timeout)
        if row is None:
            self._close()
        return row

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip `n` rows; gives how many there were. Raises `asyncpg.InterfaceError` when `n` is not greater than zero."""
        if not self._open and n > 0:
            return 0
        skipped: int = await self._portal.step(lambda: self._cursor.forward(n, timeout=timeout), timeout)
        if skipped < n:
            self._close()
        return skipped

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._portal.give_up(self._cursor)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._cursor!r}>"

    def __del__(self) -> None:
        self._close()


async def _awaited(factory: asyncpg.cursor.CursorFactory[asyncpg.Record]) -> asyncpg.cursor.Cursor[asyncpg.Record]:
    return await factory
