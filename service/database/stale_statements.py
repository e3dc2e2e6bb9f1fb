"""Repeats statements that failed because the schema changed under asyncpg's caches.

asyncpg prepares a statement again in some cases outside a transaction. This handles the rest: the caller sees no error
if the work can be repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.driver_methods import BATCH_METHODS
from service.database.errors import CommitOutcomeUnknown, SchemaChanged
from service.database.stale_errors import drop_caches, is_stale
from service.database.transaction_modes import modes

if TYPE_CHECKING:
    from service.database.driver_methods import Method
    from service.database.pooled_connection import PooledConnection

_READ_ONLY = modes(None, True, False)


async def retry_stale(
    connection: PooledConnection, error: BaseException, method: Method, call: partial[Awaitable[Any]]
) -> Any:
    """Repeat a failed call once if a stale cache is the cause, and translate its error otherwise.

    It cannot be repeated in a transaction that has done something before.

    Args:
        connection: The connection that the call failed on.
        error: The error of the call.
        method: The name of asyncpg's method.
        call: The method with its arguments.

    Raises:
        SchemaChanged: A cache is stale, and the call cannot be repeated.
        CommitOutcomeUnknown: The statement has run and written, but its rows cannot be read.
    """
    timeout = call.keywords.get("timeout")
    if is_stale(error):
        drop_caches(connection.raw)
        if isinstance(error, asyncpg.InternalServerError):
            connection.pool.renew()  # codecs set for the old type do not apply to the new one
        if _can_be_repeated(method, call):
            if isinstance(error, asyncpg.OutdatedSchemaCacheError) and not connection.is_in_transaction():
                return await _read_again(connection, call, timeout)
            if not connection.is_in_transaction() or await connection.restart_block():
                return await connection.guard(call, timeout)
        raise SchemaChanged(_CHANGED) from error
    if _can_be_repeated(method, call) and await _has_changed(connection, error, call):
        return await connection.guard(call, timeout)
    connection.translate(error, timeout)
    raise error


async def _has_changed(connection: PooledConnection, error: BaseException, call: partial[Awaitable[Any]]) -> bool:
    """Return whether the refused arguments may be accepted after preparing again. Restart the block if needed."""
    if not isinstance(error, asyncpg.DataError) or error.severity is not None:  # the server was asked
        drop_caches(connection.raw)
        return not connection.is_in_transaction() or await connection.restart_block()
    query, raw = call.args[0], connection.raw
    cache = raw._stmt_cache  # type: ignore[attr-defined]  # noqa: SLF001
    record_class = call.keywords.get("record_class") or raw._protocol.get_record_class()  # type: ignore[attr-defined]  # noqa: SLF001
    kept = cache.get((query, record_class, False))
    if kept is None:
        return False
    before = kept._get_parameters()  # noqa: SLF001
    if all(parameter.kind == "scalar" for parameter in before):
        prepared = await connection.guard(lambda: raw.prepare(query), None)
        if prepared.get_parameters() == before:
            return False
    drop_caches(raw)
    return True


async def _read_again(connection: PooledConnection, call: partial[Awaitable[Any]], timeout: float | None) -> Any:
    """Repeat a statement that ran, but whose rows could not be read, in a read-only transaction: it must not write twice."""
    connection.modes, connection.in_transaction = _READ_ONLY, True
    await connection.command(_READ_ONLY.begin)
    try:
        return await connection.guard(call, timeout)
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise CommitOutcomeUnknown(_EXECUTED) from error
    finally:
        await connection.roll_back("ROLLBACK")
        connection.in_transaction = False


def _can_be_repeated(method: Method, call: partial[Awaitable[Any]]) -> bool:
    """Return whether the call's arguments can be read twice; an iterator cannot."""
    if method in BATCH_METHODS:
        return isinstance(call.args[1], Collection)
    return method != "copy_records_to_table" or isinstance(call.keywords["records"], Collection)


class SinglePass:
    """An iterable over an iterator that raises on a second pass.

    asyncpg starts again from the beginning when it prepares again, and would find a plain iterator empty without an error.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items: Iterable[Any] | None = items

    def __iter__(self) -> Iterator[Any]:
        items, self._items = self._items, None
        if items is None:
            raise SchemaChanged(_CHANGED)
        return iter(items)


_CHANGED = (
    "the schema changed under a prepared statement, and the work before it cannot be repeated here; "
    "repeat the whole transaction, as `run_transaction` does"
)
_EXECUTED = "the statement was executed, but its rows could not be read because one of their types has changed"
