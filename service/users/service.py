"""Operations on users, with their transactions."""

import builtins
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

from service.auth.caller import Caller
from service.auth.caller_cache import CallerCache
from service.auth.passwords import PasswordHasher
from service.database import ScopedConnection
from service.errors import PreconditionFailed
from service.idempotency.keys import Idempotency, IdempotentRequest
from service.users.errors import LastAdmin, UserNotFound, WrongPassword
from service.users.repository import UserRepository
from service.users.schemas import ChangedPassword, ChangedUser, NewUser, User
from service.web.input import ETags


class UserService:
    """Registers, finds and changes users."""

    def __init__(
        self,
        users: UserRepository,
        connection: ScopedConnection,
        passwords: PasswordHasher,
        idempotency: Idempotency,
        callers: CallerCache,
    ) -> None:
        self._users = users
        self._connection = connection
        self._passwords = passwords
        self._idempotency = idempotency
        self._callers = callers

    async def register(self, new: NewUser, idempotent_request: IdempotentRequest | None = None) -> User:
        """Create a user, once for each `idempotent_request`. No connection is held while the password is hashed.

        Raises `EmailTaken`, `PasswordTooShort` and the errors of `Idempotency.once`.
        """
        password_hash = await self._passwords.hash(new.password.get_secret_value())
        return await self._idempotency.once(
            idempotent_request, User, lambda: self._users.add(new.email, password_hash), about=lambda user: user.id
        )

    async def make_admin(self, user_id: int) -> None:
        """Let a user read and change everything."""
        with self._callers.invalidating(user_id):
            await self._users.make_admin(user_id)

    async def get(self, user_id: int) -> User:
        """Return the user with this id. Raises `UserNotFound`."""
        return _found(await self._users.get(user_id))

    async def list(self, skip: int, limit: int, *, after: int = 0) -> builtins.list[User]:
        """Return at most `limit` users with ids above `after`, in the order of their ids, without the first `skip`."""
        return await self._users.list(skip, limit, after=after)

    async def change(self, user_id: int, change: ChangedUser, *, tags: ETags = None) -> User:
        """Change a user. Making it inactive ends its tokens.

        Raises `UserNotFound`, `EmailTaken`, `LastAdmin`, and `PreconditionFailed` if its version is not among `tags`.
        """
        with self._callers.invalidating(user_id):
            if change.is_active is not False:
                return await self._update(user_id, change, tags)
            async with self._keeping_an_admin(user_id):
                return await self._update(user_id, change, tags)

    async def _update(self, user_id: int, change: ChangedUser, tags: ETags) -> User:
        return await self._users.update(user_id, change, tags) or await self._refuse(user_id)

    async def _refuse(self, user_id: int) -> NoReturn:
        await self.get(user_id)
        raise PreconditionFailed

    async def change_password(
        self, caller: Caller, user_id: int, change: ChangedPassword, *, tags: ETags = None
    ) -> None:
        """Change a password and end the user's tokens. Callers who are not admins have to send the current password.

        Raises `UserNotFound`, `WrongPassword`, `PasswordTooShort`, and `PreconditionFailed` if the user's version is not
        among `tags`.
        """
        stored = await self._users.password(user_id)
        if stored is None:
            raise UserNotFound
        if change.current_password is not None:
            known = await self._passwords.verify(change.current_password.get_secret_value(), stored.hash)
        else:
            known = caller.is_admin
        password_hash = await self._passwords.hash(change.password.get_secret_value())
        with self._callers.invalidating(user_id):
            if not known:
                raise WrongPassword
            if not await self._users.change_password(user_id, stored.token_version, password_hash, tags):
                raise WrongPassword if tags is None else PreconditionFailed

    async def delete(self, user_id: int, *, tags: ETags = None) -> None:
        """Delete a user and its items.

        Raises `UserNotFound`, `LastAdmin`, and `PreconditionFailed` if its version is not among `tags`.
        """
        with self._callers.invalidating(user_id):
            async with self._keeping_an_admin(user_id):
                if not await self._users.delete(user_id, tags):
                    await self._refuse(user_id)

    @asynccontextmanager
    async def _keeping_an_admin(self, user_id: int) -> AsyncIterator[None]:
        """Open a transaction that may take a user's admin rights. Raises `LastAdmin` if there is no other active admin."""
        async with self._connection.transaction():
            if await self._users.is_last_admin(user_id):
                raise LastAdmin
            yield


def _found(user: User | None) -> User:
    if user is None:
        raise UserNotFound
    return user
