"""Items in PostgreSQL."""

from asyncpg import ForeignKeyViolationError

from service.database import ScopedConnection
from service.items.schemas import Item, NewItem
from service.users.repository import UserNotFound

INSERT_ITEM = """
    INSERT INTO items (title, description, owner_id)
    VALUES ($1, $2, $3)
    RETURNING id, title, description, owner_id
"""

LIST_ITEMS = """
    SELECT id, title, description, owner_id
    FROM items
    ORDER BY id
    OFFSET $1 LIMIT $2
"""

ERROR_OF_CONSTRAINT = {"items_owner_id_fkey": UserNotFound}


class ItemRepository:
    """Reads and writes items, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def add(self, owner_id: int, new: NewItem) -> Item:
        """Store an item. Raises `UserNotFound` when its owner does not exist."""
        try:
            row = await self._connection.fetchrow(INSERT_ITEM, new.title, new.description, owner_id)
        except ForeignKeyViolationError as error:
            raise ERROR_OF_CONSTRAINT[error.constraint_name or ""] from error
        assert row is not None  # RETURNING
        return Item(**row)

    async def list(self, skip: int, limit: int) -> list[Item]:
        """At most `limit` items in the order of their ids, without the first `skip`."""
        return [Item(**row) for row in await self._connection.fetch(LIST_ITEMS, skip, limit)]
