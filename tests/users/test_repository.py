"""Users in PostgreSQL: what a violated constraint raises."""

import pytest
from asyncpg import UniqueViolationError

from containers import Container
from service.users.errors import EmailTaken


async def test_a_known_constraint_raises_its_error(container: Container) -> None:
    """The second user with one address is refused by name, and the driver's error is the cause."""
    async with container.database().scope("users"):
        users = container.user_repository()
        await users.add("ada@example.com", "x")
        with pytest.raises(EmailTaken) as caught:
            await users.add("ADA@example.com", "y")
    assert isinstance(caught.value.__cause__, UniqueViolationError)


async def test_an_unknown_constraint_raises_the_drivers_error(container: Container) -> None:
    """A constraint that a migration adds, and the repository does not know yet, is named in the log."""
    async with container.database().scope("users"):
        users = container.user_repository()
        await container.connection().execute("CREATE UNIQUE INDEX users_password_hash_key ON users (password_hash)")
        await users.add("ada@example.com", "x")
        with pytest.raises(UniqueViolationError, match="users_password_hash_key"):
            await users.add("bob@example.com", "x")
