"""Many items into and out of PostgreSQL."""

from collections.abc import AsyncIterator
from typing import TypeAlias

from service.database import Cursor, ScopedConnection
from service.database.constraints import constraint_errors
from service.items.errors import OwnerNotFound
from service.items.repository import ERROR_OF_CONSTRAINT, OWNER_EXISTS

ItemRecord: TypeAlias = tuple[str, str | None, int]
"""An item's title, description and owner, in the order of `COLUMNS`."""

COLUMNS = ("title", "description", "owner_id")

ALLOW_SECONDS = """
    SELECT set_config('statement_timeout', $1, true), set_config('idle_in_transaction_session_timeout', $1, true)
"""

# The server makes JSON in a third of the time that pydantic takes, measured on a million rows.
ALL_AS_JSON = """
    SELECT row_to_json(item)::text
    FROM (SELECT id, title, description, owner_id FROM items ORDER BY id) AS item
"""

OWNED_AS_JSON = """
    SELECT row_to_json(item)::text
    FROM (SELECT id, title, description, owner_id FROM items WHERE owner_id = $1 ORDER BY id) AS item
"""

_MARGIN = 10.0
"""Seconds by which the limits of driver and server exceed the caller's own limit, which ends the work in order."""


class BulkItemRepository:
    """Moves items in bulk, in the open transaction."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def allow(self, seconds: float) -> None:
        """Lift the server's limits for short statements: the transaction waits for a client, for up to `seconds`."""
        await self._connection.execute(ALLOW_SECONDS, f"{round((seconds + _MARGIN) * 1000)}ms")

    async def check_owner(self, owner_id: int) -> None:
        """Raise `OwnerNotFound` before any data is sent."""
        if not await self._connection.fetchval(OWNER_EXISTS, owner_id):
            raise OwnerNotFound

    async def add_all(self, records: AsyncIterator[ItemRecord], seconds: float) -> None:
        """COPY all items within `seconds`. Raises `OwnerNotFound` if their owner is gone at the end."""
        with constraint_errors(ERROR_OF_CONSTRAINT):
            await self._connection.copy_records_to_table(
                "items", records=records, columns=COLUMNS, timeout=seconds + _MARGIN
            )

    async def as_json(self, owner_id: int | None, seconds: float) -> Cursor:
        """Open a cursor on the items of an owner, or of all, in the order of their ids: rows with one column of JSON."""
        owned = (ALL_AS_JSON,) if owner_id is None else (OWNED_AS_JSON, owner_id)
        return await self._connection.cursor(*owned, timeout=seconds + _MARGIN)
