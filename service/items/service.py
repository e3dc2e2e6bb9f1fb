"""What can be done with items."""

from service.idempotency.keys import Attempt, Idempotency
from service.items.repository import ItemRepository
from service.items.schemas import Item, NewItem


class ItemService:
    """Creates and lists items."""

    def __init__(self, items: ItemRepository, idempotency: Idempotency) -> None:
        self._items = items
        self._idempotency = idempotency

    async def create(self, owner_id: int, new: NewItem, attempt: Attempt | None = None) -> Item:
        """Give a user an item, once for an attempt. Raises `UserNotFound`, and what `Idempotency.once` raises."""
        return await self._idempotency.once(
            attempt, Item, lambda: self._items.add(owner_id, new), about=lambda item: item.owner_id
        )

    async def list(self, skip: int, limit: int) -> list[Item]:
        """At most `limit` items in the order of their ids, without the first `skip`."""
        return await self._items.list(skip, limit)
