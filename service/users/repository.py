"""Users, with their items, in PostgreSQL."""

import builtins
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from asyncpg import Record

from service.auth.addresses import address_key
from service.database import ScopedConnection
from service.database.constraints import constraint_errors
from service.items.schemas import Item
from service.users.errors import EmailTaken
from service.users.schemas import ChangedUser, User
from service.users.version import USER_TAG
from service.web.input import ETags

INSERT_USER = """
    INSERT INTO users (email, password_hash, email_key)
    VALUES ($1, $2, $3)
    RETURNING id, email, is_active
"""

GET_USER_WITH_ITEMS = """
    SELECT users.id, email, is_active, items.id AS item_id, title, description
    FROM users
    LEFT JOIN LATERAL (
        SELECT id, title, description FROM items WHERE owner_id = users.id ORDER BY id LIMIT 500
    ) AS items ON true
    WHERE users.id = $1
    ORDER BY items.id
"""

LIST_USERS_WITH_ITEMS = """
    SELECT page.id, email, is_active, items.id AS item_id, title, description
    FROM (SELECT id, email, is_active FROM users WHERE id > $1 ORDER BY id OFFSET $2 LIMIT $3) AS page
    LEFT JOIN LATERAL (
        SELECT id, title, description FROM items WHERE owner_id = page.id ORDER BY id LIMIT 500
    ) AS items ON true
    ORDER BY page.id, items.id
"""
"""LATERAL looks up the items of each user. A generic plan, which does not know how short a page is, would read all items."""

UPDATE_USER = f"""
    WITH changed AS (
        UPDATE users
        SET email = coalesce($2, email),
            email_key = CASE WHEN $2 IS NULL THEN email_key ELSE $4 END,
            is_active = coalesce($3, is_active),
            token_version = token_version + CASE WHEN NOT $3 THEN 1 ELSE 0 END
        WHERE id = $1 AND ($5::text[] IS NULL OR {USER_TAG} = ANY ($5))
        RETURNING id, email, is_active
    )
    SELECT changed.id, email, is_active, items.id AS item_id, title, description
    FROM changed
    LEFT JOIN LATERAL (
        SELECT id, title, description FROM items WHERE owner_id = changed.id ORDER BY id LIMIT 500
    ) AS items ON true
    ORDER BY items.id
"""  # noqa: S608 - of constants

MAKE_ADMIN = """
    UPDATE users
    SET is_admin = true
    WHERE id = $1
"""

DELETE_USER = f"""
    DELETE FROM users
    WHERE id = $1 AND ($2::text[] IS NULL OR {USER_TAG} = ANY ($2))
    RETURNING id
"""  # noqa: S608 - of constants

LOCK_ADMINS = """
    SELECT id
    FROM users
    WHERE is_admin AND is_active AND EXISTS (SELECT FROM users WHERE id = $1 AND is_admin AND is_active)
    ORDER BY id
    FOR NO KEY UPDATE
"""
"""All active admins if the user is one of them, or no row: removing an ordinary user locks no admin.

It waits for other transactions that remove an admin, so that each sees the admins that the one before has left.
"""

GET_HASH = """
    SELECT password_hash, token_version
    FROM users
    WHERE id = $1
"""

UPDATE_HASH = f"""
    UPDATE users
    SET password_hash = $3, token_version = token_version + 1
    WHERE id = $1 AND token_version = $2 AND ($4::text[] IS NULL OR {USER_TAG} = ANY ($4))
    RETURNING id
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """A user's password as a hash, and the version of the user's tokens, which each change of the password increases."""

    hash: str
    token_version: int


ERROR_OF_CONSTRAINT = {"users_email_key": EmailTaken}


class UserRepository:
    """Reads and writes users, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def add(self, email: str, password_hash: str) -> User:
        """Store a user. Raises `EmailTaken` if another user has the address, in any spelling."""
        with constraint_errors(ERROR_OF_CONSTRAINT):
            row = await self._connection.fetchrow(INSERT_USER, email, password_hash, _stored_key(email))
        assert row is not None  # RETURNING
        return User(row["id"], row["email"], row["is_active"], [])

    async def get(self, user_id: int) -> User | None:
        """Return the user with this id, or `None`."""
        users = _with_items(await self._connection.fetch(GET_USER_WITH_ITEMS, user_id))
        return users[0] if users else None

    async def list(self, skip: int, limit: int, *, after: int = 0) -> builtins.list[User]:
        """Return at most `limit` users with ids above `after`, in the order of their ids, without the first `skip`."""
        return _with_items(await self._connection.fetch(LIST_USERS_WITH_ITEMS, after, skip, limit))

    async def update(self, user_id: int, change: ChangedUser, tags: ETags = None) -> User | None:
        """Change a user. Making it inactive ends its tokens. Raises `EmailTaken`.

        Returns:
            The changed user; `None` if there is no such user, or its version is not among `tags`.
        """
        email_key = change.email and _stored_key(change.email)
        with constraint_errors(ERROR_OF_CONSTRAINT):
            rows = await self._connection.fetch(UPDATE_USER, user_id, change.email, change.is_active, email_key, tags)
        return _user(rows) if rows else None

    async def make_admin(self, user_id: int) -> None:
        """Give a user the rights of an admin."""
        await self._connection.execute(MAKE_ADMIN, user_id)

    async def is_last_admin(self, user_id: int) -> bool:
        """Return whether this user is the only active admin. The answer holds until the transaction ends."""
        admins = await self._connection.fetch(LOCK_ADMINS, user_id)
        return [row["id"] for row in admins] == [user_id]

    async def delete(self, user_id: int, tags: ETags = None) -> bool:
        """Delete a user with its items. Return whether there was one with a version among `tags`."""
        return await self._connection.fetchval(DELETE_USER, user_id, tags) is not None

    async def password(self, user_id: int) -> StoredPassword | None:
        """Return a user's password as it is stored, or `None` if there is no such user."""
        row = await self._connection.fetchrow(GET_HASH, user_id)
        return None if row is None else StoredPassword(row["password_hash"], row["token_version"])

    async def change_password(self, user_id: int, token_version: int, password_hash: str, tags: ETags = None) -> bool:
        """Store another hash and end the user's tokens.

        Tokens are compared by their version, not the hash itself: a sign-in may have hashed the same password again.

        Returns:
            `False`, with nothing changed, if the tokens were ended since `token_version`, or the user's version is not among
            `tags`.
        """
        changed = await self._connection.fetchval(UPDATE_HASH, user_id, token_version, password_hash, tags)
        return changed is not None


def _stored_key(email: str) -> str | None:
    """Return the value of `email_key` for an address: `None` for an ASCII one, as PostgreSQL derives its key."""
    return None if email.isascii() else address_key(email)


def _with_items(rows: Iterable[Record]) -> list[User]:
    """Return users from rows of users joined with their items, in the order of the users' ids."""
    return [_user(list(group)) for _, group in groupby(rows, key=itemgetter("id"))]


def _user(rows: list[Record]) -> User:
    user_id = rows[0]["id"]
    items = [
        Item(row["item_id"], row["title"], row["description"], user_id) for row in rows if row["item_id"] is not None
    ]
    return User(user_id, rows[0]["email"], rows[0]["is_active"], items)
