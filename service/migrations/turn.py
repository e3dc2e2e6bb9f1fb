"""A connection to migrate on, and the lock that makes migrations of one database take turns."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

import asyncpg

from service.database import DatabaseUnavailable
from service.database.driver_errors import breaks_connection, reason
from service.migrations import DatabaseAbsent, MigrationError

logger = logging.getLogger("service")

LOCK = 7_665_443_217_001
"""The advisory lock that one migration at a time holds; any number that nobody else uses."""
_POLL = 0.25
"""Seconds between two tries to get the lock."""
_REMIND = 30.0
"""Seconds after which the log says again what is waited for."""
_PATIENCE = 10.0
"""Seconds that ending an interrupted migration may take."""

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"

HOLDER = """
    SELECT pid, application_name, client_addr, backend_start
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = $1::bigint >> 32 AND objid::bigint = $1::bigint & 4294967295
"""

END_HOLDER = f"SELECT pg_terminate_backend(pid, 5000) FROM ({HOLDER}) AS holder WHERE pid = $2"  # noqa: S608 - a constant

_NOT_CONNECTED = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailable,
)

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


@contextlib.asynccontextmanager
async def connected(connect: Connect) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection until the end of the block. Raises `DatabaseAbsent` without a server, `MigrationError` for its refusals."""
    try:
        connection = await connect()
    except _NOT_CONNECTED as error:
        away = breaks_connection(error) or isinstance(error, DatabaseUnavailable)
        kind = DatabaseAbsent if away else MigrationError
        raise kind(f"cannot connect to PostgreSQL to migrate: {reason(error)}") from error
    try:
        yield connection
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(f"the schema cannot be read or changed: {reason(error)}") from error
    finally:
        if _interrupted():
            connection.terminate()  # closing it would wait for its statement
        else:
            await connection.close()


@contextlib.asynccontextmanager
async def turn(connect: Connect) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection that holds the lock of migrations until the end of the block. The log says what is waited for.

    When the block is cancelled, its session is ended on the server as well: a cancel request alone may come too early for
    the statement that it is meant for, which would then run to its end, with all its locks.
    """
    async with connected(connect) as connection:
        await _wait_for_lock(connection)
        session = connection.get_server_pid()
        try:
            yield connection
        except BaseException:
            if _interrupted():
                await _end(connect, session)
            raise


async def _wait_for_lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Ask again and again, each time in a statement of its own.

    `pg_advisory_lock` would wait within one statement, whose snapshot CREATE INDEX CONCURRENTLY in the session that holds
    the lock waits for: a deadlock.
    """
    started = reminded = monotonic()
    while not await connection.fetchval(TRY_LOCK, LOCK):
        if monotonic() >= reminded:
            reminded = monotonic() + _REMIND
            await _say_what_is_waited_for(connection, monotonic() - started)
        await asyncio.sleep(_POLL)


async def _say_what_is_waited_for(connection: "asyncpg.Connection[asyncpg.Record]", seconds: float) -> None:
    holder = await connection.fetchrow(HOLDER, LOCK)
    if holder is None:
        return
    since = f", connected since {holder['backend_start']:%Y-%m-%d %H:%M:%S} UTC" if holder["backend_start"] else ""
    where = f" from {holder['client_addr']}" if holder["client_addr"] else ""
    logger.warning(
        "waiting for another migration of this database, for %.0f s now: PostgreSQL's process %d (%s%s%s) holds the lock. "
        "If it migrates no more, end it: SELECT pg_terminate_backend(%d)",
        seconds, holder["pid"], holder["application_name"] or "unnamed", where, since, holder["pid"],
    )  # fmt: skip


async def _end(connect: Connect, session: int) -> None:
    """End a session that still holds the lock, and wait until it is gone."""
    logger.warning("the migration was interrupted: what its revision did in a transaction is rolled back")
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with asyncio.timeout(_PATIENCE):
            other = await connect()
            try:
                await other.execute(END_HOLDER, LOCK, session)
            finally:
                other.terminate()


def _interrupted() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
