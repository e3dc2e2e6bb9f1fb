"""Errors of prepared statements and types that asyncpg cached, after the schema has changed.

Each connection caches its latest prepared statements, and the layout of the types in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from service.database.driver_methods import Method

    Raw = asyncpg.Connection[asyncpg.Record]


def is_stale(error: BaseException) -> bool:
    """Return whether a cached statement or type no longer matches the schema, so that preparing it again helps."""
    if isinstance(error, asyncpg.InternalServerError):  # a type was recreated, and the statement asks for the old one
        function = error.server_source_function
        return function in {"getTypeInputInfo", "getTypeBinaryInputInfo"} and "cache lookup failed" in str(error)
    if isinstance(error, asyncpg.InvalidSQLStatementNameError):  # DEALLOCATE ALL or DISCARD ALL
        return '"__asyncpg_' in str(error)
    return isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError))


def may_be_stale(error: BaseException, method: Method) -> bool:
    """Return whether a cache is stale or an argument is wrong. asyncpg refuses arguments without asking the server."""
    if method == "copy_records_to_table":
        return isinstance(error, (asyncpg.DataError, TypeError, ValueError, OverflowError))
    if isinstance(error, asyncpg.DatatypeMismatchError):
        return error.server_source_function == "record_recv"
    return isinstance(error, asyncpg.DataError) and error.severity is None


def drop_caches(raw: Raw) -> None:
    """Have all connections of the pool prepare their statements and look up their types again."""
    raw._drop_global_type_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - as `reload_schema_state`, which is
    raw._drop_global_statement_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - a coroutine for no reason
