"""Records in PostgreSQL."""

import builtins

from benchmarks.http.ours.schemas import NewRecord, Record
from service.database import ScopedConnection

GET_RECORD = "SELECT id, name, email, city, amount, active, created_at FROM records WHERE id = $1"

LIST_RECORDS = """
    SELECT id, name, email, city, amount, active, created_at
    FROM records
    ORDER BY id
    OFFSET $1 LIMIT $2
"""

GET_PREVIOUS = """
    SELECT id, name, email, city, amount, active, created_at
    FROM records
    WHERE id < $1
    ORDER BY id DESC
    LIMIT 1
"""

GET_NEXT = """
    SELECT id, name, email, city, amount, active, created_at
    FROM records
    WHERE id > $1
    ORDER BY id
    LIMIT 1
"""

INSERT_RECORD = """
    INSERT INTO records (name, email, city, amount, active)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING id, name, email, city, amount, active, created_at
"""


class RecordRepository:
    """Reads and writes records, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def get(self, record_id: int) -> Record | None:
        """Return the record with this id."""
        row = await self._connection.fetchrow(GET_RECORD, record_id)
        return None if row is None else Record(*row)

    async def list(self, skip: int, limit: int) -> builtins.list[Record]:
        """Return at most `limit` records in the order of their ids, after the first `skip`."""
        return [Record(*row) for row in await self._connection.fetch(LIST_RECORDS, skip, limit)]

    async def previous(self, record_id: int) -> Record | None:
        """Return the record before this one."""
        row = await self._connection.fetchrow(GET_PREVIOUS, record_id)
        return None if row is None else Record(*row)

    async def next(self, record_id: int) -> Record | None:
        """Return the record after this one."""
        row = await self._connection.fetchrow(GET_NEXT, record_id)
        return None if row is None else Record(*row)

    async def add(self, new: NewRecord) -> Record:
        """Store a record."""
        row = await self._connection.fetchrow(INSERT_RECORD, new.name, new.email, new.city, new.amount, new.active)
        assert row is not None  # RETURNING
        return Record(*row)
