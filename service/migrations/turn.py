"""A connection for migrations, and the lock by which migrations of one database take turns."""

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
"""The advisory lock that one migration at a time holds; any number that no other program uses."""
_POLL_SECONDS = 0.25
"""The pause between two attempts to get the lock."""
_REMIND_SECONDS = 30.0
"""The pause between two lines in the log while waiting for the lock."""
_END_SECONDS = 10.0
"""How long ending an interrupted migration may take."""

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
    """Open a connection for the block. Raises `DatabaseAbsent` if no server answers, `MigrationError` for other errors."""
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
    """Open a connection that holds the lock of migrations until the end of the block. Waiting for the lock is logged.

    If the block is cancelled, its session is ended on the server too: a cancel request alone may arrive before the statement
    that it is for, which would then run to its end, with all its locks.
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
    """Poll for the lock, each time in a separate statement.

    `pg_advisory_lock` would wait within one statement. CREATE INDEX CONCURRENTLY in the session with the lock waits for the
    snapshot of that statement: a deadlock.
    """
    started = reminded = monotonic()
    while not await connection.fetchval(TRY_LOCK, LOCK):
        if monotonic() >= reminded:
            reminded = monotonic() + _REMIND_SECONDS
            await _log_holder(connection, monotonic() - started)
        await asyncio.sleep(_POLL_SECONDS)


async def _log_holder(connection: "asyncpg.Connection[asyncpg.Record]", seconds: float) -> None:
    holder = await connection.fetchrow(HOLDER, LOCK)
    if holder is None:
        return
    since = f", connected since {holder['backend_start']:%Y-%m-%d %H:%M:%S} UTC" if holder["backend_start"] else ""
    where = f" from {holder['client_addr']}" if holder["client_addr"] else ""
    logger.warning(
        "waiting for another migration of this database, for %.0f s now: PostgreSQL's process %d (%s%s%s) holds the lock. "
        "If it has stopped migrating, end it: SELECT pg_terminate_backend(%d)",
        seconds, holder["pid"], holder["application_name"] or "unnamed", where, since, holder["pid"],
    )  # fmt: skip


async def _end(connect: Connect, session: int) -> None:
    """End a session that still holds the lock, and wait until it has ended."""
    logger.warning("the migration was interrupted: the transaction of its revision is rolled back")
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with asyncio.timeout(_END_SECONDS):
            other = await connect()
            try:
                await other.execute(END_HOLDER, LOCK, session)
            finally:
                other.terminate()


def _interrupted() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
