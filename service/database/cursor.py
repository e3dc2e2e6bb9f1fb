"""Server-side cursors: rows in portions."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, Self

import asyncpg

from service.database.block import Block
from service.database.scope import CopyInProgress, Executor

PREFETCH = 1000
"""Default number of rows per round trip; asyncpg's 50 costs 20 times as many round trips."""


class CursorFactory:
    """The result of `connection.cursor(...)`: `async for` it, or await it for a `Cursor`.

    Each loop and each await opens another cursor, as in asyncpg. Between two portions, other statements of the transaction
    can run.
    """

    __slots__ = ("_make", "_place", "_prefetch", "_timeout")

    def __init__(
        self,
        place: Callable[[], BlockAccess],
        make: Callable[[Block, int | None], asyncpg.cursor.CursorFactory[asyncpg.Record]],
        prefetch: int | None,
        timeout: float | None,
    ) -> None:
        """Store how to open a cursor later.

        Args:
            place: Returns the access to a block that a cursor can be opened in now.
            make: Returns asyncpg's factory for a block and a `prefetch`.
            prefetch: Rows per round trip.
            timeout: Seconds for each round trip.
        """
        self._place = place
        self._make = make
        self._prefetch = prefetch
        self._timeout = timeout

    def __aiter__(self) -> CursorIterator:
        access = self._place()
        prefetch = PREFETCH if self._prefetch is None else self._prefetch
        return CursorIterator(access, lambda: self._make(access.block, prefetch).__aiter__(), prefetch, self._timeout)

    def __await__(self) -> Generator[Any, None, Cursor]:
        return self._open().__await__()

    async def _open(self) -> Cursor:
        access = self._place()
        factory = self._make(access.block, self._prefetch)

        def opened() -> Awaitable[Any]:
            return _awaited(factory)

        return Cursor(access, await access.step(opened, self._timeout, opened))


class BlockAccess:
    """A cursor's or prepared statement's access to the connection of its block."""

    __slots__ = ("_running", "block")

    def __init__(self, block: Block, running: Callable[[], Executor]) -> None:
        """Store the block.

        Args:
            block: The block that the cursor or prepared statement ends with.
            running: Returns the executor of the running code.
        """
        self.block = block
        self._running = running

    async def step(
        self,
        call: Callable[[], Awaitable[Any]],
        timeout: float | None,
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """Wait for a turn on the connection, and await asyncpg's call.

        Args:
            call: The call, with the caller's timeout in it.
            timeout: The caller's timeout in seconds.
            again: As in `PooledConnection.guard`.

        Raises:
            TransactionClosed: The block has ended.
        """
        lease = self.block.lease
        return await self.turn().in_turn(lambda: lease.guard(call, timeout, again))

    def turn(self) -> Block:
        """Return the block to take a turn in: the running one if it has the same connection, as a savepoint has.

        Raises:
            asyncpg.InterfaceError: The running code is the source or output of a COPY on that connection.
        """
        self.block.check_open()
        executor = self._running()
        if isinstance(executor, Block) and executor.lease is self.block.lease:
            return executor
        around: Executor | None = executor
        while around is not None:  # outwards: each is entered once, after its outer one
            if (
                isinstance(around, CopyInProgress)
                and isinstance(around.outer, Block)
                and around.outer.lease is self.block.lease
            ):
                raise around.refusal("a cursor or prepared statement")
            around = around.outer
        return self.block

    def close_later(self, cursor: asyncpg.cursor.BaseCursor[asyncpg.Record]) -> None:
        """Close a cursor before the connection's next statement. An open cursor would block an ALTER of its table."""
        if not self.block.has_ended():
            self.block.pending_closes.append(lambda: self._close(cursor))

    async def _close(self, cursor: asyncpg.cursor.BaseCursor[asyncpg.Record]) -> None:
        # asyncpg has no public method to close a cursor before its end
        if not self.block.has_ended() and cursor._portal_name is not None:  # type: ignore[attr-defined]  # noqa: SLF001
            with suppress(asyncpg.InterfaceError):  # its statement is closed already
                await self.block.lease.guard(lambda: cursor._close_portal(None), None)  # type: ignore[attr-defined]  # noqa: SLF001


class CursorIterator:
    """The rows of one `async for`. The cursor is closed at its end, or after `break` before the connection's next statement."""

    __slots__ = ("_access", "_begun", "_cursor", "_make", "_open", "_prefetch", "_rows", "_timeout")

    def __init__(
        self,
        access: BlockAccess,
        make: Callable[[], asyncpg.cursor.CursorIterator[asyncpg.Record]],
        prefetch: int,
        timeout: float | None,
    ) -> None:
        self._open = False  # nothing to close if asyncpg refuses
        self._access = access
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
            again = None if self._begun else self._reopen_and_fetch
            await self._access.step(self._fetch, self._timeout, again)
            self._begun = True
        if not self._rows:
            raise StopAsyncIteration
        return self._rows.popleft()

    async def _reopen_and_fetch(self) -> None:
        self._cursor = self._make()
        await self._fetch()

    async def _fetch(self) -> None:
        """Read a portion from asyncpg's iterator, which makes one round trip for it."""
        rows, cursor = self._rows, self._cursor
        try:
            for _ in range(self._prefetch):
                rows.append(await anext(cursor))
        except StopAsyncIteration:
            self._open = False

    def __del__(self) -> None:
        if self._open:
            self._access.close_later(self._cursor)


class Cursor:
    """A cursor with `fetch`, `fetchrow` and `forward`. It ends with the transaction that it was made in.

    After its last row, or when it is garbage collected, it is closed before the connection's next statement.
    """

    __slots__ = ("_access", "_cursor", "_open")

    def __init__(self, access: BlockAccess, cursor: asyncpg.cursor.Cursor[asyncpg.Record]) -> None:
        self._access = access
        self._cursor = cursor
        self._open = True

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[asyncpg.Record]:
        """Return the next `n` rows, fewer at the end. Raise `asyncpg.InterfaceError` if `n` is not greater than zero."""
        rows: list[asyncpg.Record] = await self._access.step(lambda: self._cursor.fetch(n, timeout=timeout), timeout)
        if len(rows) < n:
            self._close()
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> asyncpg.Record | None:
        """Return the next row, or `None` at the end."""
        row: asyncpg.Record | None = await self._access.step(lambda: self._cursor.fetchrow(timeout=timeout), timeout)
        if row is None:
            self._close()
        return row

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip `n` rows, and return how many there were. Raise `asyncpg.InterfaceError` if `n` is not greater than zero."""
        if not self._open and n > 0:
            return 0
        skipped: int = await self._access.step(lambda: self._cursor.forward(n, timeout=timeout), timeout)
        if skipped < n:
            self._close()
        return skipped

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._access.close_later(self._cursor)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._cursor!r}>"

    def __del__(self) -> None:
        self._close()


async def _awaited(factory: asyncpg.cursor.CursorFactory[asyncpg.Record]) -> asyncpg.cursor.Cursor[asyncpg.Record]:
    return await factory
