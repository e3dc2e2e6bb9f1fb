"""What can go wrong between a scope and PostgreSQL, by name.

Errors of the statement itself (a unique violation, a syntax error, a serialization failure) stay asyncpg's own.
"""


class DatabaseError(Exception):
    """Base of the errors that this package raises."""


class PoolNotOpen(DatabaseError):
    """The pool has not been opened yet, or is closed."""


class WrongEventLoop(DatabaseError):
    """The pool was opened in another event loop than the one that asks for a connection."""


class NoActiveScope(DatabaseError):
    """A statement was sent outside `async with database.scope(...)`."""


class ScopeClosed(DatabaseError):
    """A task uses a scope that has ended."""


class TransactionClosed(DatabaseError):
    """A task uses a transaction or session block that has ended."""


class TransactionAborted(DatabaseError):
    """Nothing was saved: the code swallowed a statement's error, and PostgreSQL answered the COMMIT with ROLLBACK."""


class CommitOutcomeUnknown(DatabaseError):
    """The connection was lost while COMMIT was under way: the work is saved or it is not, and nobody can say which.

    Or a single statement was carried out whose rows cannot be read, since a type in them has changed.
    """


class SchemaChanged(DatabaseError):
    """The schema changed under a transaction that had done something already. The same again works: nothing was saved.

    The driver's error is the cause.
    """


class PoolTimeout(DatabaseError):
    """No connection became free in time, or too many others wait already."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL cannot be reached, the connection broke in use, or it leads to a server that does not write any more.

    The driver's error is the cause.
    """


class InvalidDsn(DatabaseError, ValueError):
    """A DSN that cannot be meant as it is written, or that contradicts an option. The message has no secret."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the DSN {what}")
        self.what = what
        """The message without its subject."""
