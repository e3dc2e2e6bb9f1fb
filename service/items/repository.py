"""Items in PostgreSQL."""

import builtins

from service.database import ScopedConnection
from service.database.constraints import constraint_errors
from service.items.errors import OwnerNotFound
from service.items.schemas import ChangedItem, Item, NewItem
from service.items.version import ITEM_TAG
from service.web.input import ETags

# The columns of an item are in the order of its fields everywhere, so that a row makes an item without validation.

INSERT_ITEM = """
    INSERT INTO items (title, description, owner_id)
    VALUES ($1, $2, $3)
    RETURNING id, title, description, owner_id
"""

LIST_ITEMS = """
    SELECT id, title, description, owner_id
    FROM items
    WHERE id > $1
    ORDER BY id
    OFFSET $2 LIMIT $3
"""

LIST_ITEMS_OF_OWNER = """
    SELECT id, title, description, owner_id
    FROM items
    WHERE (owner_id, id) > ($4, $1) AND owner_id <= $4
    ORDER BY owner_id, id
    OFFSET $2 LIMIT $3
"""
"""With `owner_id = $4`, PostgreSQL would search for the items of an owner of many in the index of all ids, from the first: a
long way to the items of users who registered late.
"""

GET_ITEM = """
    SELECT id, title, description, owner_id
    FROM items
    WHERE id = $1 AND ($2::bigint IS NULL OR owner_id = $2)
"""

UPDATE_ITEM = f"""
    UPDATE items
    SET title = coalesce($3, title),
        description = CASE WHEN $4 THEN $5 ELSE description END
    WHERE id = $1 AND ($2::bigint IS NULL OR owner_id = $2) AND ($6::text[] IS NULL OR {ITEM_TAG} = ANY ($6))
    RETURNING id, title, description, owner_id
"""  # noqa: S608 - of constants

DELETE_ITEM = f"""
    DELETE FROM items
    WHERE id = $1 AND ($2::bigint IS NULL OR owner_id = $2) AND ($3::text[] IS NULL OR {ITEM_TAG} = ANY ($3))
    RETURNING id
"""  # noqa: S608 - of constants

OWNER_EXISTS = """
    SELECT EXISTS (SELECT FROM users WHERE id = $1)
"""

ERROR_OF_CONSTRAINT = {"items_owner_id_fkey": OwnerNotFound}


class ItemRepository:
    """Reads and writes items, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def add(self, owner_id: int, new: NewItem) -> Item:
        """Store an item. Raises `OwnerNotFound` if its owner does not exist."""
        with constraint_errors(ERROR_OF_CONSTRAINT):
            row = await self._connection.fetchrow(INSERT_ITEM, new.title, new.description, owner_id)
        assert row is not None  # RETURNING
        return Item(*row)

    async def list(self, skip: int, limit: int, *, after: int = 0, owner_id: int | None = None) -> builtins.list[Item]:
        """Return at most `limit` items with ids above `after`, in the order of their ids, without the first `skip`.

        `owner_id` restricts them to one user's; `None` is all.
        """
        if owner_id is None:
            rows = await self._connection.fetch(LIST_ITEMS, after, skip, limit)
        else:
            rows = await self._connection.fetch(LIST_ITEMS_OF_OWNER, after, skip, limit, owner_id)
        return [Item(*row) for row in rows]

    async def get(self, item_id: int, owner_id: int | None) -> Item | None:
        """Return the item with this id if it is the owner's, or if `owner_id` is `None`."""
        row = await self._connection.fetchrow(GET_ITEM, item_id, owner_id)
        return None if row is None else Item(*row)

    async def update(self, item_id: int, owner_id: int | None, change: ChangedItem, tags: ETags = None) -> Item | None:
        """Change an item. Return it, or `None` if `get` would not find it or its version is not among `tags`."""
        set_description = "description" in change.model_fields_set
        row = await self._connection.fetchrow(
            UPDATE_ITEM, item_id, owner_id, change.title, set_description, change.description, tags
        )
        return None if row is None else Item(*row)

    async def delete(self, item_id: int, owner_id: int | None, tags: ETags = None) -> bool:
        """Delete the item that `get` would return. Return whether there was one with a version among `tags`."""
        return await self._connection.fetchval(DELETE_ITEM, item_id, owner_id, tags) is not None

    async def owner_exists(self, owner_id: int) -> bool:
        """Return whether there is a user with this id."""
        exists: bool = await self._connection.fetchval(OWNER_EXISTS, owner_id)
        return exists
