"""What can be done with items."""

import builtins
from collections.abc import Sequence
from typing import NoReturn

from service.errors import PreconditionFailed, Tags
from service.idempotency.keys import Idempotency, IdempotentRequest
from service.items.errors import ItemNotFound, OwnerNotFound
from service.items.repository import ItemRepository
from service.items.schemas import ChangedItem, Item, NewItem


class ItemService:
    """Creates, finds and changes items. Where `owner_id` is given, those of other users are not there."""

    def __init__(self, items: ItemRepository, idempotency: Idempotency) -> None:
        self._items = items
        self._idempotency = idempotency

    async def create(self, owner_id: int, new: NewItem, attempt: IdempotentRequest | None = None) -> Item:
        """Give a user an item, once for an attempt. Raises `OwnerNotFound`, and what `Idempotency.once` raises."""
        return await self._idempotency.once(
            attempt, Item, lambda: self._items.add(owner_id, new), about=lambda item: item.owner_id
        )

    async def list(self, skip: int, limit: int, *, after: int = 0, owner_id: int | None = None) -> builtins.list[Item]:
        """At most `limit` items in the order of their ids, from beyond `after`, without the first `skip`."""
        return await self._items.list(skip, limit, after=after, owner_id=owner_id)

    async def list_of(self, owner_id: int, skip: int, limit: int, *, after: int = 0) -> Sequence[Item]:
        """The same of one user. Raises `OwnerNotFound`."""
        items = await self._items.list(skip, limit, after=after, owner_id=owner_id)
        if not items and not await self._items.owner_exists(owner_id):
            raise OwnerNotFound
        return items

    async def get(self, item_id: int, *, owner_id: int | None = None) -> Item:
        """The item with this id. Raises `ItemNotFound`."""
        return _found(await self._items.get(item_id, owner_id))

    async def change(
        self, item_id: int, change: ChangedItem, *, owner_id: int | None = None, tags: Tags = None
    ) -> Item:
        """Change an item. Raises `ItemNotFound`, and `PreconditionFailed` where its version is none of `tags`."""
        item = await self._items.update(item_id, owner_id, change, tags)
        return item or await self._refuse(item_id, owner_id)

    async def delete(self, item_id: int, *, owner_id: int | None = None, tags: Tags = None) -> None:
        """Delete an item. Raises `ItemNotFound`, and `PreconditionFailed` where its version is none of `tags`."""
        if not await self._items.delete(item_id, owner_id, tags):
            await self._refuse(item_id, owner_id)

    async def _refuse(self, item_id: int, owner_id: int | None) -> NoReturn:
        _found(await self._items.get(item_id, owner_id))
        raise PreconditionFailed


def _found(item: Item | None) -> Item:
    if item is None:
        raise ItemNotFound
    return item
