"""What a program does with each connection before its first use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from service.database.errors import DatabaseUnavailable

Init = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]
"""An async function that is given asyncpg's connection."""


def in_order(init: Init | Sequence[Init]) -> tuple[Init, ...]:
    """The functions, of which there may be one, several or none."""
    return (init,) if callable(init) else tuple(init)


async def initialise(connection: asyncpg.Connection[asyncpg.Record], functions: Sequence[Init], seconds: float) -> None:
    """Await the functions in their order, all within `seconds`.

    When one raises, closes the connection or leaves a transaction open, the connection is ended and `DatabaseUnavailable`
    names the function, with its error as the cause.
    """
    for function in functions:
        try:
            async with asyncio.timeout(seconds):
                await function(connection)
            _check_left(connection)
        except BaseException as error:
            connection.terminate()
            if not is_failure(error):
                raise
            name = getattr(function, "__qualname__", repr(function))
            raise DatabaseUnavailable(f"init {name} failed: {type(error).__name__}: {error}") from error


def _check_left(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raises `asyncpg.InterfaceError` for a connection on which a statement would fail, or would never be committed."""
    if connection.is_closed():
        raise asyncpg.InterfaceError("it closed the connection")
    if connection.is_in_transaction():
        raise asyncpg.InterfaceError("it left a transaction open: end it in the function that begins it")


def is_failure(error: BaseException) -> bool:
    """Whether the program's function failed. A `CancelledError` may come from a task that it awaits, and not be for us."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(error, Exception)
