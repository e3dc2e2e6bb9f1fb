"""A prepared statement on the connection of a block."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.cursor import BlockAccess, CursorFactory
from service.database.transaction_modes import PLAIN

if TYPE_CHECKING:
    from service.database.block import Block
    from service.database.database import Database


class PreparedStatement:
    """asyncpg's prepared statement. Its calls take turns with the block's other statements.

    After the end of the block that leased the connection, its methods raise `TransactionClosed`.
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
        self._access = BlockAccess(block, database.executor)

    def get_name(self) -> str:
        """Return its name on the server."""
        return self._statement.get_name()

    def get_query(self) -> str:
        """Return the SQL."""
        return self._statement.get_query()

    def get_statusmsg(self) -> str | None:
        """Return the status of the last execution, for example `INSERT 0 1`; `None` before the first."""
        return self._statement.get_statusmsg()

    def get_parameters(self) -> tuple[asyncpg.types.Type, ...]:
        """Return the types of its parameters."""
        return self._statement.get_parameters()

    def get_attributes(self) -> tuple[asyncpg.types.Attribute, ...]:
        """Return the names and types of its columns."""
        return self._statement.get_attributes()

    async def fetch(self, *args: Any, timeout: float | None = None) -> list[asyncpg.Record]:
        """Return all rows."""
        rows: list[asyncpg.Record] = await self._run(self._statement.fetch, args, {}, timeout)
        return rows

    async def fetchval(self, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Return one value of the first row, or `None`."""
        return await self._run(self._statement.fetchval, args, {"column": column}, timeout)

    async def fetchrow(self, *args: Any, timeout: float | None = None) -> asyncpg.Record | None:
        """Return the first row, or `None`."""
        row: asyncpg.Record | None = await self._run(self._statement.fetchrow, args, {}, timeout)
        return row

    async def fetchmany(self, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> list[asyncpg.Record]:
        """Execute it for each sequence of arguments, all or nothing, and return all rows."""
        rows: list[asyncpg.Record] = await self._run(self._statement.fetchmany, (args,), {}, timeout)
        return rows

    async def executemany(self, args: Iterable[Sequence[Any]], *, timeout: float | None = None) -> None:
        """Execute it for each sequence of arguments, all or nothing."""
        await self._run(self._statement.executemany, (args,), {}, timeout)

    async def explain(self, *args: Any, analyze: bool = False) -> Any:
        """Return PostgreSQL's plan, parsed from JSON. With `analyze` the statement runs, and its changes are rolled back."""
        block = self._access.turn()
        if not analyze:
            return await self._explain(block, "", args)
        rolled_back = self._database.transaction(PLAIN, block)
        try:
            async with rolled_back:
                plan = await self._explain(rolled_back, ", ANALYZE", args)
                raise _Undo  # noqa: TRY301 - only an exception rolls back
        except _Undo:
            return plan

    async def _explain(self, block: Block, more: str, args: tuple[Any, ...]) -> Any:
        query = f"EXPLAIN (FORMAT JSON, VERBOSE{more}) {self._query}"
        return json.loads(await block.send("fetchval", query, args, {}))

    def cursor(self, *args: Any, prefetch: int | None = None, timeout: float | None = None) -> CursorFactory:
        """Return a cursor on its rows, as `ScopedConnection.cursor` does.

        Raises:
            asyncpg.NoActiveSQLTransactionError: The cursor is used outside a transaction.
        """
        kept: dict[str, Any] = {} if timeout is None else {"timeout": timeout}

        def place() -> BlockAccess:
            block = self._access.turn()
            block.record_statement(self._query)
            return BlockAccess(block.cursor_block(), self._database.executor)

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
        block = self._access.turn()
        block.record_statement(self._query)
        call = partial(method, *args, timeout=timeout, **options)
        return await self._access.step(call, timeout)


class _Undo(Exception):
    """Raised to roll back the transaction of EXPLAIN ANALYZE."""
