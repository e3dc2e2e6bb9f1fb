"""COPY with asyncpg's methods: rows in bulk into and out of PostgreSQL."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from os import PathLike
from typing import Any, BinaryIO, Literal, LiteralString

from service.database.database import Database
from service.database.driver_methods import CopyMethod

Format = Literal["text", "csv", "binary"]
Output = str | PathLike[Any] | BinaryIO | Callable[[bytes], Awaitable[object]]
"""A path, a binary file, or a coroutine function that is called with each part."""
Source = str | PathLike[Any] | BinaryIO | AsyncIterable[bytes] | bytearray | memoryview
"""A path, a binary file, an asynchronous iterable of parts, or a buffer. asyncpg takes `bytes` for a path."""


class CopyMethods:
    """asyncpg's `copy_...` methods. The options are those of PostgreSQL's COPY; each method returns a status such as `COPY 3`.

    COPY keeps the connection busy. If the source or output is code that uses the scope's connection, it gets
    `asyncpg.InterfaceError`. An `OSError` from a file leaves the connection usable.
    """

    __slots__ = ("_database",)
    _database: Database

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Sequence[Any]] | AsyncIterable[Sequence[Any]],
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        where: str | None = None,
    ) -> str:
        """COPY an iterable or asynchronous iterable of tuples into a table."""
        return await self._copy("copy_records_to_table", table_name, (), _given(locals()))

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Source,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        format: Format | None = None,  # noqa: A002 - asyncpg's
        oids: bool | None = None,
        freeze: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Iterable[str] | None = None,
        force_not_null: bool | Iterable[str] | None = None,
        force_null: bool | Iterable[str] | None = None,
        encoding: str | None = None,
        where: str | None = None,
    ) -> str:
        """COPY a file or a stream of bytes into a table."""
        return await self._copy("copy_to_table", table_name, (), _given(locals()))

    async def copy_from_table(
        self,
        table_name: str,
        *,
        output: Output,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        format: Format | None = None,  # noqa: A002 - asyncpg's
        oids: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Iterable[str] | None = None,
        encoding: str | None = None,
    ) -> str:
        """COPY a table to a file or a coroutine function."""
        return await self._copy("copy_from_table", table_name, (), _given(locals()))

    async def copy_from_query(
        self,
        query: LiteralString,
        *args: Any,
        output: Output,
        timeout: float | None = None,
        format: Format | None = None,  # noqa: A002 - asyncpg's
        oids: bool | None = None,
        delimiter: str | None = None,
        null: str | None = None,
        header: bool | None = None,
        quote: str | None = None,
        escape: str | None = None,
        force_quote: bool | Iterable[str] | None = None,
        encoding: str | None = None,
    ) -> str:
        """COPY the rows of a query to a file or a coroutine function."""
        return await self._copy("copy_from_query", query, args, _given(locals()))

    async def _copy(self, method: CopyMethod, subject: str, args: tuple[Any, ...], options: dict[str, Any]) -> str:
        with self._database.copying(method) as executor:
            status: str = await executor.send(method, subject, args, options)
            return status


_POSITIONAL = frozenset({"self", "table_name", "query", "args"})


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the options among a method's parameters, without those that are `None`."""
    return {name: value for name, value in parameters.items() if name not in _POSITIONAL and value is not None}
