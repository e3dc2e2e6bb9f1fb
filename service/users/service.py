"""What can be done with users."""

import builtins
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from service.auth.caller import Caller
from service.auth.callers import Callers
from service.auth.passwords import PasswordHasher
from service.database import ScopedConnection
from service.errors import PreconditionFailed, Tags
from service.idempotency.keys import Idempotency, IdempotentRequest
from service.users.errors import LastAdmin, UserNotFound, WrongPassword
from service.users.repository import UserRepository
from service.users.schemas import ChangedPassword, ChangedUser, NewUser, User


class UserService:
    """Registers, finds and changes users."""

    def __init__(
        self,
        users: UserRepository,
        connection: ScopedConnection,
        passwords: PasswordHasher,
        idempotency: Idempotency,
        callers: Callers,
    ) -> None:
        self._users = users
        self._connection = connection
        self._passwords = passwords
        self._idempotency = idempotency
        self._callers = callers

    async def register(self, new: NewUser, attempt: IdempotentRequest | None = None) -> User:
        """Create a user, once for an attempt. Raises `EmailTaken`, `PasswordTooShort`, and what `Idempotency.once` raises.

        While the password is hashed, no connection is held.
        """
        password_hash = await self._passwords.hash(new.password.get_secret_value())
        return await self._idempotency.once(
            attempt, User, lambda: self._users.add(new.email, password_hash), about=lambda user: user.id
        )

    async def make_admin(self, user_id: int) -> None:
        """Let a user read and change everything."""
        with self._callers.changing(user_id):
            await self._users.make_admin(user_id)

    async def get(self, user_id: int) -> User:
        """The user with this id. Raises `UserNotFound`."""
        return _found(await self._users.get(user_id))

    async def list(self, skip: int, limit: int, *, after: int = 0) -> builtins.list[User]:
        """At most `limit` users in the order of their ids, from beyond `after`, without the first `skip`."""
        return await self._users.list(skip, limit, after=after)

    async def change(self, user_id: int, change: ChangedUser, *, tags: Tags = None) -> User:
        """Change a user. Making it inactive ends its tokens.

        Raises `UserNotFound`, `EmailTaken` and `LastAdmin`, and `PreconditionFailed` where its version is none of `tags`.
        """
        with self._callers.changing(user_id):
            if change.is_active is not False:
                return await self._update(user_id, change, tags)
            async with self._keeping_an_admin(user_id):
                return await self._update(user_id, change, tags)

    async def _update(self, user_id: int, change: ChangedUser, tags: Tags) -> User:
        return await self._users.update(user_id, change, tags) or await self._refuse(user_id)

    async def _refuse(self, user_id: int) -> NoReturn:
        await self.get(user_id)
        raise PreconditionFailed

    async def change_password(
        self, caller: Caller, user_id: int, change: ChangedPassword, *, tags: Tags = None
    ) -> None:
        """Change a password, which ends the user's tokens. Whoever is no admin has to know the current one.

        Raises `UserNotFound`, `WrongPassword` and `PasswordTooShort`, and `PreconditionFailed` where the user's version is
        none of `tags`.
        """
        stored = await self._users.password(user_id)
        if stored is None:
            raise UserNotFound
        if change.current_password is not None:
            known = await self._passwords.verify(change.current_password.get_secret_value(), stored.hash)
        else:
            known = caller.is_admin
        password_hash = await self._passwords.hash(change.password.get_secret_value())
        with self._callers.changing(user_id):
            if not known:
                raise WrongPassword
            if not await self._users.change_password(user_id, stored.token_version, password_hash, tags):
                raise WrongPassword if tags is None else PreconditionFailed

    async def delete(self, user_id: int, *, tags: Tags = None) -> None:
        """Delete a user and its items.

        Raises `UserNotFound` and `LastAdmin`, and `PreconditionFailed` where its version is none of `tags`.
        """
        with self._callers.changing(user_id):
            async with self._keeping_an_admin(user_id):
                if not await self._users.delete(user_id, tags):
                    await self._refuse(user_id)

    @asynccontextmanager
    async def _keeping_an_admin(self, user_id: int) -> AsyncIterator[None]:
        """A transaction in which this user can cease to be an admin. Raises `LastAdmin` where no other is left."""
        async with self._connection.transaction():
            if await self._users.is_last_admin(user_id):
                raise LastAdmin
            yield


def _found(user: User | None) -> User:
    if user is None:
        raise UserNotFound
    return user
