"""How to put something else in a provider's place: a page to copy from.

Where the database is not the subject, a fake service or repository makes a test quick and exact. Where it is, use the
fixtures `client` or `cloned_client`, with the real thing.
"""

import builtins
from collections.abc import AsyncIterator

import pytest
from dependency_injector import providers
from httpx import AsyncClient

from containers import Container
from service.users.errors import EmailTaken
from service.users.schemas import User
from tests.support.clients import client_of


class FakeUsers:
    """A repository in memory."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}

    async def add(self, email: str, password_hash: str) -> User:
        if email in self.users:
            raise EmailTaken
        self.users[email] = User(id=len(self.users) + 1, email=email, is_active=True, items=[])
        return self.users[email]

    async def list(self, skip: int, limit: int, *, after: int = 0) -> builtins.list[User]:
        return list(self.users.values())[skip : skip + limit]


@pytest.fixture
async def client_with_fake() -> AsyncIterator[AsyncClient]:
    """The application on a fake repository. The pool is never opened: a statement that got through would raise."""
    container = Container()
    with container.user_repository.override(providers.Object(FakeUsers())):
        async with client_of(container) as client:
            yield client


async def test_the_application_runs_on_the_fake(client_with_fake: AsyncClient) -> None:
    """Router, service and error mapping are the real ones; only the repository is not."""
    ada = {"email": "ada@example.com", "password": "correct horse"}
    assert (await client_with_fake.post("/users/", json=ada)).status_code == 201
    assert (await client_with_fake.post("/users/", json=ada)).json()["detail"] == "Email already registered"
    assert [user["email"] for user in (await client_with_fake.get("/users/")).json()] == ["ada@example.com"]


async def test_what_is_not_overridden_is_real(client_with_fake: AsyncClient) -> None:
    """Items still want the database, which is not there: 503, not a silent success."""
    assert (await client_with_fake.get("/items/")).status_code == 503
