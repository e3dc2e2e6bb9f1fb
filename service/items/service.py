"""Operations on items."""

import builtins
from collections.abc import Sequence
from typing import NoReturn

from service.errors import PreconditionFailed
from service.idempotency.keys import Idempotency, IdempotentRequest
from service.items.errors import ItemNotFound, OwnerNotFound
from service.items.repository import ItemRepository
from service.items.schemas import ChangedItem, Item, NewItem
from service.web.input import ETags


class ItemService:
    """Creates, finds and changes items. With an `owner_id`, items of other users are not found."""

    def __init__(self, items: ItemRepository, idempotency: Idempotency) -> None:
        self._items = items
        self._idempotency = idempotency

    async def create(self, owner_id: int, new: NewItem, idempotent_request: IdempotentRequest | None = None) -> Item:
        """Create an item, once for each request with a key. Raises `OwnerNotFound` and the errors of `Idempotency.once`."""
        return await self._idempotency.once(
            idempotent_request, Item, lambda: self._items.add(owner_id, new), about=lambda item: item.owner_id
        )

    async def list(self, skip: int, limit: int, *, after: int = 0, owner_id: int | None = None) -> builtins.list[Item]:
        """Return at most `limit` items with ids above `after`, in the order of their ids, without the first `skip`."""
        return await self._items.list(skip, limit, after=after, owner_id=owner_id)

    async def list_of(self, owner_id: int, skip: int, limit: int, *, after: int = 0) -> Sequence[Item]:
        """Return the same for one user. Raises `OwnerNotFound`."""
        items = await self._items.list(skip, limit, after=after, owner_id=owner_id)
        if not items and not await self._items.owner_exists(owner_id):
            raise OwnerNotFound
        return items

    async def get(self, item_id: int, *, owner_id: int | None = None) -> Item:
        """Return the item with this id. Raises `ItemNotFound`."""
        return _found(await self._items.get(item_id, owner_id))

    async def change(
        self, item_id: int, change: ChangedItem, *, owner_id: int | None = None, tags: ETags = None
    ) -> Item:
        """Change an item. Raises `ItemNotFound`, and `PreconditionFailed` if its version is not among `tags`."""
        item = await self._items.update(item_id, owner_id, change, tags)
        return item or await self._refuse(item_id, owner_id)

    async def delete(self, item_id: int, *, owner_id: int | None = None, tags: ETags = None) -> None:
        """Delete an item. Raises `ItemNotFound`, and `PreconditionFailed` if its version is not among `tags`."""
        if not await self._items.delete(item_id, owner_id, tags):
            await self._refuse(item_id, owner_id)

    async def _refuse(self, item_id: int, owner_id: int | None) -> NoReturn:
        _found(await self._items.get(item_id, owner_id))
        raise PreconditionFailed


def _found(item: Item | None) -> Item:
    if item is None:
        raise ItemNotFound
    return item
