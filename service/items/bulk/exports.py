"""Exports of items."""

from collections.abc import Awaitable, Callable

from service.database import ScopedConnection
from service.items.bulk.repository import BulkItemRepository
from service.items.bulk.slots import BulkSlots

_CHUNK_BYTES = 64 * 1024
"""Size of a chunk, roughly: a message for each row would cost more than the row."""
_MAX_ROWS = 1000
_FIRST_ROWS = 100


class ItemExports:
    """Writes items as JSON lines, in constant memory."""

    def __init__(self, items: BulkItemRepository, connection: ScopedConnection, slots: BulkSlots) -> None:
        self._items = items
        self._connection = connection
        self._slots = slots

    async def run(self, owner_id: int | None, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write all items of an owner, or of all owners for `None`, as they are at one moment.

        Raises `TooManyAtOnce`, and `TookTooLong` at the time limit, which includes the time that `write` takes.
        """
        with self._slots.taken():
            async with self._connection.transaction(readonly=True), self._slots.limit():
                await self._items.allow(self._slots.seconds)
                await self._write(owner_id, write)

    async def _write(self, owner_id: int | None, write: Callable[[bytes], Awaitable[None]]) -> None:
        cursor = await self._items.as_json(owner_id, self._slots.seconds)
        count = _FIRST_ROWS
        while rows := await cursor.fetch(count):
            lines = "".join([f"{row[0]}\n" for row in rows]).encode()
            await write(lines)
            count = max(1, min(_MAX_ROWS, len(rows) * _CHUNK_BYTES // len(lines)))
