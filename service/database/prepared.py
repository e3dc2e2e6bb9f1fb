"""A prepared statement on the connection of a block."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.cursor import CursorFactory, Portal
from service.database.modes import PLAIN

if TYPE_CHECKING:
    from service.database.block import Block
    from service.database.database import Database


class PreparedStatement:
    """asyncpg's prepared statement. Its calls take turns with the block's other statements.

    It can be used until the block that leased the connection has ended, and raises `TransactionClosed` after.
    """

    def __init__(
        self,
        statement: asyncpg.prepared_stmt.PreparedStatement[asyncpg.Record],
        query: str,
        block: Block,
        database: Database,
    ) -> None:
        self._statement = statement
        self._query = query
        self._database = database
        self._portal = Portal(block, database.frame)

    def get_name(self) -> str:
        """Its name on the server."""
        return self._statement.get_name()

    def get_query(self) -> str:
        """The SQL text."""
        return self._statement.get_query()

    def get_statusmsg(self) -> str | None:
        """The status of the last execution, such as `INSERT 0 1`; `None` before the first."""
        return self._statement.get_statusmsg()

    def get_parameters(self) -> tuple[asyncpg.types.Type, ...]:
        """The types of its parameters."""
        return self._statement.get_parameters()

    def get_attributes(self) -> tuple[asyncpg.types.Attribute, ...]:
        """The names and types of its columns."""
        return self._statement.get_attributes()

    async def fetch(self, *args: Any, timeout: float | None = None) -> list[asyncpg.Record]:
        """All rows."""
        rows: list[asyncpg.Record] = await self._run(self._statement.fetch, args, {}, timeout)
        return rows

    async def fetchval(self, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or `None`."""
        return await self._run(self._statement.fetchval, args, {"column": column}, timeout)

    async def fetchrow(self, *args: Any, timeout: float | None = None) -> asyncpg.Record | None:
        """The first row, or `None`."""
        row: asyncpg.Record | None = await self._run(self._statement.fetchrow, args, {}, timeout)
        return row

    async def fetchmany(self, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> list[asyncpg.Record]:
        """All rows of an execution for each sequence of arguments: all or nothing."""
        rows: list[asyncpg.Record] = await self._run(self._statement.fetchmany, (args,), {}, timeout)
        return rows

    async def executemany(self, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> None:
        """Run it for each sequence of arguments: all or nothing."""
        await self._run(self._statement.executemany, (args,), {}, timeout)

    async def explain(self, *args: Any, analyze: bool = False) -> Any:
        """PostgreSQL's plan, read from JSON. With `analyze` the statement runs, and what it did is rolled back."""
        block = self._portal.turn()
        if not analyze:
            return await self._explain(block, "", args)
        undone = self._database.transaction(PLAIN, block)
        try:
            async with undone:
                plan = await self._explain(undone, ", ANALYZE", args)
                raise _Undo  # noqa: TRY301 - only an exception rolls back
        except _Undo:
            return plan

    async def _explain(self, block: Block, more: str, args: tuple[Any, ...]) -> Any:
        query = f"EXPLAIN (FORMAT JSON, VERBOSE{more}) {self._query}"
        return json.loads(await block.send("fetchval", query, args, {}))

    def cursor(self, *args: Any, prefetch: int | None = None, timeout: float | None = None) -> CursorFactory:
        """A cursor on its rows, as `ScopedConnection.cursor` gives.

        Raises `asyncpg.NoActiveSQLTransactionError` where it is used outside a transaction.
        """
        kept: dict[str, Any] = {} if timeout is None else {"timeout": timeout}

        def place() -> Portal:
            block = self._portal.turn()
            block.lease.note(self._query, by_hand=block.by_hand)
            block.scope.statements += 1
            return Portal(block.home(), self._database.frame)

        def make(_: Block, prefetch: int | None) -> asyncpg.cursor.CursorFactory[asyncpg.Record]:
            return self._statement.cursor(*args, prefetch=prefetch, **kept)

        return CursorFactory(place, make, prefetch, timeout)

    async def _run(
        self,
        method: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        options: dict[str, Any],
        timeout: float | None,
    ) -> Any:
        block = self._portal.turn()
        block.lease.note(self._query, by_hand=block.by_hand)
        block.scope.statements += 1
        call = partial(method, *args, timeout=timeout, **options)
        return await self._portal.step(call, timeout)


class _Undo(Exception):
    """Leaves a transaction that is to be rolled back."""
