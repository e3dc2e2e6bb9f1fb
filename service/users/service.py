"""What can be done with users."""

from service.passwords import PasswordHasher
from service.users.repository import UserNotFound, UserRepository
from service.users.schemas import NewUser, User


class UserService:
    """Registers and finds users."""

    def __init__(self, users: UserRepository, passwords: PasswordHasher) -> None:
        self._users = users
        self._passwords = passwords

    async def register(self, new: NewUser) -> User:
        """Create a user. Raises `EmailTaken`. While the password is hashed, no connection is held."""
        password_hash = await self._passwords.hash(new.password.get_secret_value())
        return await self._users.add(new.email, password_hash)

    async def get(self, user_id: int) -> User:
        """The user with this id. Raises `UserNotFound`."""
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def list(self, skip: int, limit: int) -> list[User]:
        """At most `limit` users in the order of their ids, without the first `skip`."""
        return await self._users.list(skip, limit)
