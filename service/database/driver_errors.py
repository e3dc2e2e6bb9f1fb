"""Tells which of the driver's errors mean that a connection is lost, and makes messages of them."""

import asyncpg

from service.database.errors import DatabaseError, DatabaseUnavailable

_CONNECTION_ERRORS = (
    OSError,  # includes TimeoutError: the statement exceeded command_timeout
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
    """Return whether the server or the network made connecting fail, or work on a connection outside the pool."""
    return isinstance(error, _CONNECTION_ERRORS)


def ends_session(error: BaseException) -> bool:
    """Return whether a statement's error makes its connection unusable, though it still looks open.

    The class alone does not tell: dblink raises errors of other connections, and a codec may raise `OSError`.
    """
    if isinstance(error, asyncpg.PostgresError):
        return (error.severity_en or error.severity) in {"FATAL", "PANIC"}
    return (
        isinstance(error, asyncpg.InternalClientError)
        and not isinstance(error, asyncpg.OutdatedSchemaCacheError)
        and not str(error).startswith("no binary format encoder")  # a type with a codec for text
    )


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """Return the error for a lost or refused connection; raise it `from` the driver's."""
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time")
    return DatabaseUnavailable(f"the connection to PostgreSQL failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """Return the message of an error of the server or the system.

    For any other error return only its class: the text may quote a DSN's password.
    """
    if isinstance(error, asyncpg.ClientConfigurationError):  # contains no secret: `Connector` passes those separately
        return str(error.args[0])
    is_safe = isinstance(error, (OSError, asyncpg.PostgresError, DatabaseError)) and str(error)
    return str(error) if is_safe else type(error).__name__
