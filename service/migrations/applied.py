"""The revisions of a database."""

from typing import Any, Protocol

from asyncpg import UndefinedTableError

APPLIED = "SELECT version_num FROM alembic_version"


class Fetches(Protocol):
    """A connection of asyncpg, or a `ScopedConnection`."""

    async def fetch(self, query: str, /) -> Any:
        """Run a query and return its rows."""


async def applied_revisions(connection: Fetches) -> tuple[str, ...]:
    """Return the revisions that the schema is at: none before the first migration.

    Call it outside a transaction, which the missing table would abort.
    """
    try:
        return tuple(row[0] for row in await connection.fetch(APPLIED))
    except UndefinedTableError:
        return ()
