"""What a program does with each connection before its first use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from service.database.errors import DatabaseUnavailable

if TYPE_CHECKING:
    import asyncpg

Init = Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[None]]
"""An async function that is given asyncpg's connection."""


def in_order(init: Init | Sequence[Init]) -> tuple[Init, ...]:
    """The functions, of which there may be one, several or none."""
    return (init,) if callable(init) else tuple(init)


async def initialise(connection: asyncpg.Connection[asyncpg.Record], functions: Sequence[Init], seconds: float) -> None:
    """Await the functions in their order, all within `seconds`.

    When one raises, the connection is ended and `DatabaseUnavailable` names the function, with its error as the cause.
    """
    for function in functions:
        try:
            async with asyncio.timeout(seconds):
                await function(connection)
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, Exception):
                raise
            name = getattr(function, "__qualname__", repr(function))
            raise DatabaseUnavailable(f"init {name} failed: {type(error).__name__}: {error}") from error
