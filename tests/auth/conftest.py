"""Users who sign in, in mode `token`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from httpx import AsyncClient

from containers import Container
from tests.support.clients import client_of, register, sign_in


@dataclass(frozen=True)
class Person:
    """A user, and the headers that it sends."""

    id: int
    email: str
    headers: dict[str, str]


@pytest.fixture
def token_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no token is refused."""
    monkeypatch.setenv("POOLKEEPER_AUTH__MODE", "token")


@pytest.fixture
async def guarded(container: Container) -> AsyncIterator[AsyncClient]:
    """A client of the application; with `pytestmark = usefixtures("token_mode")`, in that mode."""
    async with client_of(container) as client:
        yield client


@pytest.fixture
def person(container: Container, guarded: AsyncClient) -> Callable[..., Awaitable[Person]]:
    """Makes a user and signs it in."""

    async def make(email: str, *, is_admin: bool = False) -> Person:
        user = await register(container, email, is_admin=is_admin)
        return Person(user.id, email, await sign_in(guarded, email))

    return make


@pytest.fixture
async def ada(person: Callable[..., Awaitable[Person]]) -> Person:
    """An ordinary user."""
    return await person("ada@example.com")


@pytest.fixture
async def bob(person: Callable[..., Awaitable[Person]]) -> Person:
    """Another one."""
    return await person("bob@example.com")


@pytest.fixture
async def admin(person: Callable[..., Awaitable[Person]]) -> Person:
    """An admin."""
    return await person("admin@example.com", is_admin=True)
