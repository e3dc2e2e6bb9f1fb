"""Which of the driver's errors mean that there is no connection, or none any more."""

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
    """Whether opening a connection, or work on one that is not looked at, failed for the server or the network."""
    return isinstance(error, _CONNECTION_IS_GONE)


def ends_session(error: BaseException) -> bool:
    """Whether a statement's error means that its connection cannot be used any more, though it still looks open.

    The class alone does not say it: dblink has errors of connections of its own, and a codec may raise `OSError`.
    """
    if isinstance(error, asyncpg.PostgresError):
        return (error.severity_en or error.severity) in {"FATAL", "PANIC"}
    return (
        isinstance(error, asyncpg.InternalClientError)
        and not isinstance(error, asyncpg.OutdatedSchemaCacheError)
        and not str(error).startswith("no binary format encoder")  # of a type with a codec for text
    )


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """The named error for a lost or refused connection; raise it `from` the driver's."""
    if isinstance(error, TimeoutError):
        return DatabaseUnavailable("PostgreSQL did not answer in time")
    return DatabaseUnavailable(f"the connection to PostgreSQL failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """What an error of the server or the system says; of any other only its name, as its text may quote a DSN's password."""
    if isinstance(error, asyncpg.ClientConfigurationError):  # it has seen no secret: `Connector` gives them apart
        return str(error.args[0])
    speaks = isinstance(error, (OSError, asyncpg.PostgresError, DatabaseError)) and str(error)
    return str(error) if speaks else type(error).__name__
