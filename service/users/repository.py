"""Users, with their items, in PostgreSQL."""

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from asyncpg import Record, UniqueViolationError

from service.database import ScopedConnection
from service.errors import BadRequest, NotFound
from service.items.schemas import Item
from service.users.schemas import User

INSERT_USER = """
    INSERT INTO users (email, password_hash)
    VALUES ($1, $2)
    RETURNING id, email, is_active
"""

GET_USER_WITH_ITEMS = """
    SELECT users.id, email, is_active, items.id AS item_id, title, description
    FROM users
    LEFT JOIN items ON items.owner_id = users.id
    WHERE users.id = $1
    ORDER BY items.id
"""

LIST_USERS_WITH_ITEMS = """
    SELECT page.id, email, is_active, items.id AS item_id, title, description
    FROM (SELECT id, email, is_active FROM users ORDER BY id OFFSET $1 LIMIT $2) AS page
    LEFT JOIN items ON items.owner_id = page.id
    ORDER BY page.id, items.id
"""


class UserNotFound(NotFound):
    """There is no user with this id."""

    message = "User not found"


class EmailTaken(BadRequest):
    """Another user has this e-mail address, in whatever case."""

    message = "Email already registered"


ERROR_OF_CONSTRAINT = {"users_email_key": EmailTaken}


class UserRepository:
    """Reads and writes users, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def add(self, email: str, password_hash: str) -> User:
        """Store a user. Raises `EmailTaken` when the address is there already, in whatever case."""
        try:
            row = await self._connection.fetchrow(INSERT_USER, email, password_hash)
        except UniqueViolationError as error:
            raise ERROR_OF_CONSTRAINT[error.constraint_name or ""] from error
        assert row is not None  # RETURNING
        return User(**row, items=[])

    async def get(self, user_id: int) -> User | None:
        """The user with this id, or `None`."""
        users = _with_items(await self._connection.fetch(GET_USER_WITH_ITEMS, user_id))
        return users[0] if users else None

    async def list(self, skip: int, limit: int) -> list[User]:
        """At most `limit` users in the order of their ids, without the first `skip`."""
        return _with_items(await self._connection.fetch(LIST_USERS_WITH_ITEMS, skip, limit))


def _with_items(rows: Iterable[Record]) -> list[User]:
    """Users from rows of users joined with their items, in the order of users' ids."""
    return [_user(list(group)) for _, group in groupby(rows, key=itemgetter("id"))]


def _user(rows: list[Record]) -> User:
    user_id = rows[0]["id"]
    items = [
        Item(id=row["item_id"], title=row["title"], description=row["description"], owner_id=user_id)
        for row in rows
        if row["item_id"] is not None
    ]
    return User(id=user_id, email=rows[0]["email"], is_active=rows[0]["is_active"], items=items)
