"""Users who sign in, in mode `token`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from containers import Container
from service.users.schemas import NewUser
from tests.conftest import client_of

PASSWORD = "correct horse"


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
        new = NewUser(email=email, password=SecretStr(PASSWORD))
        async with container.database().scope("a person"):
            user = await container.user_service().register(new)
            if is_admin:
                await container.user_service().make_admin(user.id)
        return Person(user.id, email, await sign_in(guarded, email))

    return make


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD) -> dict[str, str]:
    """The headers of a user that has just signed in."""
    answer = await client.post("/token", data={"username": email, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


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
