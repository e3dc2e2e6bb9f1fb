"""What can be done with users."""

from service.idempotency.keys import Attempt, Idempotency
from service.passwords import PasswordHasher
from service.users.repository import UserNotFound, UserRepository
from service.users.schemas import NewUser, User


class UserService:
    """Registers and finds users."""

    def __init__(self, users: UserRepository, passwords: PasswordHasher, idempotency: Idempotency) -> None:
        self._users = users
        self._passwords = passwords
        self._idempotency = idempotency

    async def register(self, new: NewUser, attempt: Attempt | None = None) -> User:
        """Create a user, once for an attempt. Raises `EmailTaken`, and what `Idempotency.once` raises.

        While the password is hashed, no connection is held.
        """
        password_hash = await self._passwords.hash(new.password.get_secret_value())
        return await self._idempotency.once(
            attempt, User, lambda: self._users.add(new.email, password_hash), about=lambda user: user.id
        )

    async def get(self, user_id: int) -> User:
        """The user with this id. Raises `UserNotFound`."""
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def list(self, skip: int, limit: int) -> list[User]:
        """At most `limit` users in the order of their ids, without the first `skip`."""
        return await self._users.list(skip, limit)
