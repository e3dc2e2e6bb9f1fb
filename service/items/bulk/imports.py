"""Imports of items."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from service.database import ScopedConnection
from service.idempotency.keys import Idempotency, IdempotentRequest
from service.items.bulk.errors import BadLines
from service.items.bulk.formats import Reader
from service.items.bulk.lines import Mistakes, lines_of
from service.items.bulk.repository import BulkItemRepository, ItemRecord
from service.items.bulk.settings import BulkSettings
from service.items.bulk.slots import BulkSlots
from service.items.schemas import Imported


class ItemImports:
    """Reads items from a stream and stores all of them or nothing, in constant memory.

    `max_bytes` and `max_seconds` are the limits of a stream. The caller, who makes the stream, checks its size.
    """

    def __init__(
        self,
        items: BulkItemRepository,
        connection: ScopedConnection,
        slots: BulkSlots,
        idempotency: Idempotency,
        settings: BulkSettings,
    ) -> None:
        self.max_bytes = settings.max_bytes
        self.max_seconds = slots.seconds
        self._items = items
        self._connection = connection
        self._slots = slots
        self._idempotency = idempotency

    async def run(
        self,
        owner_id: int,
        reader: type[Reader],
        chunks: AsyncIterator[bytes],
        idempotent_request: IdempotentRequest | None = None,
    ) -> Imported:
        """Create the items in `chunks` for a user, once for each `idempotent_request`.

        Raises `BadLines`, `OwnerNotFound`, `TooManyAtOnce`, `TookTooLong` at the time limit, and the errors of `chunks` and
        `Idempotency.once`. Nothing is stored then.
        """

        async def copy() -> Imported:
            async with aclosing(source.read()) as records:
                await self._items.check_owner(owner_id)
                await self._items.add_all(records, self._slots.seconds)
            return Imported(imported=source.count)

        source = _Records(owner_id, reader, chunks)
        with self._slots.taken():
            async with self._connection.transaction(isolation="read_committed"), self._slots.limit():
                await self._items.allow(self._slots.seconds)
                return await self._idempotency.once(idempotent_request, Imported, copy, about=lambda _: owner_id)


class _Records:
    """The source of COPY. After the first bad line nothing is stored; reading goes on to find the other bad lines."""

    def __init__(self, owner_id: int, reader: type[Reader], chunks: AsyncIterator[bytes]) -> None:
        self.count = 0
        self._owner_id = owner_id
        self._mistakes = Mistakes()
        self._reader = reader(self._mistakes)
        self._chunks = chunks

    async def read(self) -> AsyncGenerator[ItemRecord, None]:
        """Yield all items as COPY takes them. Raises `BadLines` at the end of the stream, or at the hundredth bad line."""
        async for lines in lines_of(self._chunks):
            for item in self._reader.items(lines):
                self.count += 1
                yield item.title, item.description, self._owner_id
        for item in self._reader.items((), last=True):
            self.count += 1
            yield item.title, item.description, self._owner_id
        self._mistakes.check()
        if self.count == 0:
            raise BadLines([("body", "contains no item")])
