"""Which of the driver's errors mean that the connection is gone."""

import asyncpg

from service.database.errors import DatabaseError, DatabaseUnavailable

_CONNECTION_IS_GONE = (
    OSError,  # TimeoutError is one: the statement outlived command_timeout
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.InternalClientError,
)


def breaks_connection(error: BaseException) -> bool:
    """Whether a connection cannot be used after this error."""
    return isinstance(error, _CONNECTION_IS_GONE)


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """The named error for a lost or refused connection; raise it `from` the driver's."""
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time")
    return DatabaseUnavailable(f"the connection to PostgreSQL failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """What an error of the server or the system says; of any other only its name, as its text may quote a DSN's password."""
    speaks = isinstance(error, (OSError, asyncpg.PostgresError, DatabaseError)) and str(error)
    return str(error) if speaks else type(error).__name__
