"""The operations on records."""

import builtins

from benchmarks.http.ours.repository import RecordRepository
from benchmarks.http.ours.schemas import Neighbours, NewRecord, Record
from service.database import ScopedConnection
from service.errors import NotFound


class RecordNotFound(NotFound):
    """No record has this id."""

    message = "Record not found"


class RecordService:
    """Reads, lists and creates records."""

    def __init__(self, records: RecordRepository, connection: ScopedConnection) -> None:
        self._records = records
        self._connection = connection

    async def get(self, record_id: int) -> Record:
        """Return the record with this id. Raise `RecordNotFound`."""
        record = await self._records.get(record_id)
        if record is None:
            raise RecordNotFound
        return record

    async def list(self, skip: int, limit: int) -> builtins.list[Record]:
        """Return at most `limit` records in the order of their ids, after the first `skip`."""
        return await self._records.list(skip, limit)

    async def create(self, new: NewRecord) -> Record:
        """Create a record."""
        async with self._connection.transaction():
            return await self._records.add(new)

    async def neighbours(self, record_id: int) -> Neighbours:
        """Return a record and its neighbours. Raise `RecordNotFound`."""
        record = await self.get(record_id)
        before = await self._records.previous(record_id)
        return Neighbours(previous=before, record=record, next=await self._records.next(record_id))
