"""What can be done with items."""

from service.items.repository import ItemRepository
from service.items.schemas import Item, NewItem


class ItemService:
    """Creates and lists items."""

    def __init__(self, items: ItemRepository) -> None:
        self._items = items

    async def create(self, owner_id: int, new: NewItem) -> Item:
        """Give a user an item. Raises `UserNotFound`."""
        return await self._items.add(owner_id, new)

    async def list(self, skip: int, limit: int) -> list[Item]:
        """At most `limit` items in the order of their ids, without the first `skip`."""
        return await self._items.list(skip, limit)
