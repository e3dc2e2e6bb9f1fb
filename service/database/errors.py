"""The errors of the package.

Errors of a statement (a unique violation, a syntax error, a serialization failure) are asyncpg's.
"""


class DatabaseError(Exception):
    """Base of the errors that this package raises."""


class PoolNotOpen(DatabaseError):
    """The pool has not been opened yet, or is closed."""


class WrongEventLoop(DatabaseError):
    """The pool was opened in another event loop than the running one."""


class NoActiveScope(DatabaseError):
    """A statement was sent outside `async with database.scope(...)`."""


class ScopeClosed(DatabaseError):
    """A task uses a scope that has ended."""


class TransactionClosed(DatabaseError):
    """A task uses a transaction or session block that has ended."""


class TransactionAborted(DatabaseError):
    """Nothing was saved: the code caught a statement's error, and PostgreSQL answered the COMMIT with ROLLBACK."""


class CommitOutcomeUnknown(DatabaseError):
    """The connection was lost during COMMIT: it is unknown whether the work was saved.

    Also raised when a single statement was executed, but its rows cannot be read because one of their types has changed.
    """


class SchemaChanged(DatabaseError):
    """The schema changed during a transaction. Nothing was saved; the transaction can be repeated.

    The driver's error is the cause.
    """


class PoolTimeout(DatabaseError):
    """No connection became free in time, or too many statements already wait for one."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL cannot be reached, the connection broke in use, or the server has become a standby.

    The driver's error is the cause.
    """


class InvalidDsn(DatabaseError, ValueError):
    """The DSN is invalid or ambiguous, or contradicts an option. The message contains no secret."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the DSN {what}")
        self.what = what
        """The message without `the DSN`."""
