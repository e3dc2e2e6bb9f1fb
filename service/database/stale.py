"""Statements and types that asyncpg keeps of a connection, after the schema has changed under them.

Each connection keeps its latest statements prepared, and the layout of the types in them. asyncpg prepares again in some
cases outside a transaction. Here the rest is healed: nothing of it reaches the caller where the work can be done again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg

from service.database.errors import CommitOutcomeUnknown, SchemaChanged
from service.database.modes import modes

if TYPE_CHECKING:
    from service.database.lease import Lease

    Raw = asyncpg.Connection[asyncpg.Record]

_READ_ONLY = modes(None, True, False)
_MANY = frozenset({"executemany", "fetchmany"})


def is_stale(error: BaseException) -> bool:
    """Whether a statement or type that asyncpg kept is not the schema's any more: prepared anew, it works."""
    if isinstance(error, asyncpg.InternalServerError):  # a type was made anew, and the statement asks for the old one
        function = error.server_source_function
        return function in {"getTypeInputInfo", "getTypeBinaryInputInfo"} and "cache lookup failed" in str(error)
    if isinstance(error, asyncpg.InvalidSQLStatementNameError):  # DEALLOCATE ALL or DISCARD ALL
        return '"__asyncpg_' in str(error)
    return isinstance(error, (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError))


def may_be_stale(error: BaseException, method: str) -> bool:
    """Whether it is stale, or else a mistake in the arguments. asyncpg refuses those without asking the server."""
    if method == "copy_records_to_table":
        return isinstance(error, (asyncpg.DataError, TypeError, ValueError, OverflowError))
    if isinstance(error, asyncpg.DatatypeMismatchError):
        return error.server_source_function == "record_recv"
    return isinstance(error, asyncpg.DataError) and error.severity is None


def forget(raw: Raw) -> None:
    """Have all connections of the pool prepare their statements and look up their types again."""
    raw._drop_global_type_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - `reload_schema_state`, which is no
    raw._drop_global_statement_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - coroutine but by its name


async def heal(
    lease: Lease, error: BaseException, method: str, query: str, args: Iterable[Any], options: dict[str, Any]
) -> Any:
    """Do a call again, once, that failed with `error`; raise what that means where it is not stale, or cannot be healed.

    Only in a transaction in which something was done before, it cannot. Raises `SchemaChanged` then.
    """
    call, timeout = partial(getattr(lease.raw, method), query, *args, **options), options.get("timeout")
    if is_stale(error):
        forget(lease.raw)
        if isinstance(error, asyncpg.InternalServerError):
            lease.pool.renew()  # codecs that were set for the old type know nothing of the new one
        if _can_be_repeated(method, args, options):
            if isinstance(error, asyncpg.OutdatedSchemaCacheError) and not lease.is_in_transaction():
                return await _read_again(lease, call, timeout)
            if not lease.is_in_transaction() or await lease.begin_anew():
                return await lease.guard(call, timeout)
        raise SchemaChanged(_CHANGED) from error
    if (
        may_be_stale(error, method)
        and _can_be_repeated(method, args, options)
        and await _has_changed(lease, error, query, options)
    ):
        return await lease.guard(call, timeout)
    lease.name(error, timeout)
    raise error


async def _has_changed(lease: Lease, error: BaseException, query: str, options: dict[str, Any]) -> bool:
    """Whether what was refused may be taken after preparing again, and is begun anew where that is needed."""
    if not isinstance(error, asyncpg.DataError) or error.severity is not None:  # the server was asked
        forget(lease.raw)
        return not lease.is_in_transaction() or await lease.begin_anew()
    cache = lease.raw._stmt_cache  # type: ignore[attr-defined]  # noqa: SLF001
    record_class = options.get("record_class") or lease.raw._protocol.get_record_class()  # type: ignore[attr-defined]  # noqa: SLF001
    kept = cache.get((query, record_class, False))
    if kept is None:
        return False
    before = kept._get_parameters()  # noqa: SLF001
    if all(parameter.kind == "scalar" for parameter in before):
        prepared = await lease.guard(lambda: lease.raw.prepare(query), None)
        if prepared.get_parameters() == before:
            return False
    forget(lease.raw)
    return True


async def _read_again(lease: Lease, call: partial[Any], timeout: float | None) -> Any:
    """Repeat a statement that was done, and whose rows could not be read: where it only reads, which the server sees to."""
    lease.modes, lease.in_transaction = _READ_ONLY, True
    await lease.command(_READ_ONLY.begin)
    try:
        return await lease.guard(call, timeout)
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise CommitOutcomeUnknown(_DONE) from error
    finally:
        await lease.roll_back("ROLLBACK")
        lease.in_transaction = False


def _can_be_repeated(method: str, args: Iterable[Any], options: dict[str, Any]) -> bool:
    """Whether a call gives the same once more: an iterator is used up."""
    if method in _MANY:
        return isinstance(next(iter(args)), Collection)
    return method != "copy_records_to_table" or isinstance(options["records"], Collection)


class Once:
    """An iterator that asyncpg does not silently find empty when it prepares again and starts from the beginning."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items: Iterable[Any] | None = items

    def __iter__(self) -> Iterator[Any]:
        items, self._items = self._items, None
        if items is None:
            raise SchemaChanged(_CHANGED)
        return iter(items)


_CHANGED = (
    "the schema changed under a prepared statement, and what was done before cannot be repeated here: "
    "do the whole transaction again, as `run_transaction` does"
)
_DONE = "the statement was carried out, and its rows could not be read, as one of their types has changed"
