"""Accounts in PostgreSQL, for signing in."""

from dataclasses import dataclass

from service.auth.addresses import address_key
from service.auth.caller import Caller
from service.auth.tokens import Claims
from service.database import ScopedConnection

GET_ACCOUNT = """
    SELECT id, password_hash, is_active, token_version
    FROM users
    WHERE coalesce(email_key, lower(email COLLATE "C")) = $1
"""
"""By the key of an address: `email_key`, or the address in lower case if it is ASCII."""

GET_CALLER = """
    SELECT is_admin
    FROM users
    WHERE id = $1 AND token_version = $2 AND is_active
"""

RENEW_HASH = """
    UPDATE users
    SET password_hash = $3
    WHERE id = $1 AND password_hash = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The columns of a user that signing in needs."""

    id: int
    password_hash: str
    is_active: bool
    token_version: int


class AccountRepository:
    """Finds accounts, on the connection of the running scope."""

    def __init__(self, connection: ScopedConnection) -> None:
        self._connection = connection

    async def with_email(self, email: str) -> Account | None:
        """Return the account with this e-mail address, in any spelling."""
        row = await self._connection.fetchrow(GET_ACCOUNT, address_key(email))
        return None if row is None else Account(**row)

    async def renew_hash(self, account: Account, password_hash: str) -> None:
        """Store another hash of the same password, unless the password has changed since. Tokens stay valid."""
        await self._connection.execute(RENEW_HASH, account.id, account.password_hash, password_hash)

    async def caller(self, claims: Claims) -> Caller | None:
        """Return the caller of a token, or `None` if the user is gone or inactive, or has ended its tokens since."""
        is_admin = await self._connection.fetchval(GET_CALLER, claims.sub, claims.ver)
        return None if is_admin is None else Caller(user_id=claims.sub, is_admin=is_admin)
