"""The program's `init` functions, which set up each connection before its first use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from service.database.errors import DatabaseUnavailable

Init = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]
"""An async function that gets asyncpg's connection."""


def as_tuple(init: Init | Sequence[Init]) -> tuple[Init, ...]:
    """Return one function or several as a tuple."""
    return (init,) if callable(init) else tuple(init)


async def run_init(connection: asyncpg.Connection[asyncpg.Record], functions: Sequence[Init], seconds: float) -> None:
    """Await the functions in order, each within `seconds`.

    Raises:
        DatabaseUnavailable: A function raised, closed the connection or left a transaction open. The message names it, its
            error is the cause, and the connection is closed.
    """
    for function in functions:
        try:
            async with asyncio.timeout(seconds):
                await function(connection)
            _check_usable(connection)
        except BaseException as error:
            connection.terminate()
            if not is_failure(error):
                raise
            name = getattr(function, "__qualname__", repr(function))
            raise DatabaseUnavailable(f"init {name} failed: {type(error).__name__}: {error}") from error


def _check_usable(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raise `asyncpg.InterfaceError` if the connection is closed, or in a transaction that no block would commit."""
    if connection.is_closed():
        raise asyncpg.InterfaceError("it closed the connection")
    if connection.is_in_transaction():
        raise asyncpg.InterfaceError("it left a transaction open: end it in the function that begins it")


def is_failure(error: BaseException) -> bool:
    """Return whether the program's function failed. A `CancelledError` from a task it awaits is a failure too."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, Exception)
